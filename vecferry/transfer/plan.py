"""The plan of one migration: immutable data, computed, shown and stored before the first row moves."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from vecferry import plain
from vecferry.contract import Source
from vecferry.mapping import Mapping
from vecferry.model import CollectionSchema, JsonObject, Slice

__all__ = ["FIRST_ROWS", "MAX_SLICES", "Plan", "cut", "limited"]

MAX_SLICES = 300
"""Three mapped steps a slice must stay below a flow run's 1,000 task runs."""

MIN_SLICE_ROWS = 5000

FIRST_ROWS = "vecferry:first_rows"
"""The key that tells the slice of a trial from a store's own."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What moves (`schema`, `rows`, `slices`) and what happens to it (`mapping`).

    `fingerprint` is that of the source's files when the plan was made.
    """

    schema: CollectionSchema
    mapping: Mapping
    rows: int
    fingerprint: str
    slices: tuple[Slice, ...]

    def to_json(self) -> dict[str, Any]:
        """Everything but the slices, which the ledger keeps in rows of their own."""
        return {
            "version": 1,
            "schema": plain.to_plain(self.schema),
            "mapping": self.mapping.to_json(),
            "rows": self.rows,
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_json(cls, content: JsonObject, slices: tuple[Slice, ...]) -> Plan:
        """The stored plan again."""
        schema = plain.from_plain(CollectionSchema, content["schema"])
        return cls(schema, Mapping.from_json(content["mapping"]), content["rows"], content["fingerprint"], slices)


def cut(source: Source, rows: int, slice_rows: int, workers: int) -> tuple[Slice, ...]:
    """Slices of about `slice_rows` rows; smaller ones where that keeps all workers busy."""
    busy = min(2 * workers, rows // MIN_SLICE_ROWS)
    wanted = max(1, min(MAX_SLICES, max(math.ceil(rows / slice_rows), busy)))
    return tuple(source.slices(wanted))


def limited(slices: tuple[Slice, ...], limit: int) -> tuple[Slice, ...]:
    """One slice that holds the first `limit` rows of all of these, in their order."""
    inner = [plain.to_plain(item) for item in slices]
    return (Slice(0, {FIRST_ROWS: limit, "of": inner}, limit),)
