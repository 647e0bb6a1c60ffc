"""Phase 1 as data: what a source is, from one pass over all of its records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, Self, TypeVar

import numpy as np
import pyarrow as pa

from vecferry.config import MigrationConfig
from vecferry.contract import Source
from vecferry.mapping import Profile, Profiler, Rules
from vecferry.model import ALL_PARTS, CollectionSchema, Part, Slice
from vecferry.survey import Survey, Surveyor
from vecferry.transfer import progress, retry
from vecferry.transfer.plan import cut, limited
from vecferry.transfer.read import read_slice

__all__ = ["Inventory", "Surveyed", "rules_of", "take_inventory", "take_survey"]

BATCH_ROWS = 5000
_BATCH_BYTES = 32 << 20
"""Vectors of one batch, so that long ones do not fill the memory."""

_WITHOUT_VECTORS = ALL_PARTS - {Part.VECTORS}


@dataclass(frozen=True, slots=True)
class Inventory:
    """Schema, profile of all records, the slices that were read, and the fingerprint of the source's files."""

    schema: CollectionSchema
    profile: Profile
    slices: tuple[Slice, ...]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Surveyed:
    """An inventory with what people want to know beside it. `records`: all that the collection has, seen or not."""

    inventory: Inventory
    survey: Survey
    records: int


def take_inventory(
    source: Source, config: MigrationConfig, begin: Callable[[int], None], moved: Callable[[int], None]
) -> Inventory:
    """Read every id, payload and document once; vectors only where reading them costs little.

    `begin` is told the exact count, `moved` the rows as they pass. Memory: a batch, and 16 bytes an id.
    """
    wanted = ALL_PARTS if source.capabilities().cheap_vectors else _WITHOUT_VECTORS
    done = _read_once(source, config, begin, moved, Profiler, wanted)
    return Inventory(source.describe(), done.seen.profile(), done.slices, done.fingerprint)


def take_survey(
    source: Source,
    config: MigrationConfig,
    begin: Callable[[int], None],
    moved: Callable[[int], None],
    *,
    vectors: bool = True,
) -> Surveyed:
    """The inventory and the survey in one pass over everything, or over all but the vectors.

    Memory: a batch; 16 bytes an id; 16 bytes a vector and 128 KiB a payload key, both bounded (`survey.distinct`).
    """
    wanted = ALL_PARTS if vectors else _WITHOUT_VECTORS
    done = _read_once(source, config, begin, moved, _Both, wanted)
    inventory = Inventory(source.describe(), done.seen.profiler.profile(), done.slices, done.fingerprint)
    return Surveyed(inventory, done.seen.surveyor.survey(), done.records)


class _Observer(Protocol):
    def observe(self, batch: pa.RecordBatch) -> None: ...

    def merge(self, other: Self) -> None: ...


class _Both:
    """A profiler and a surveyor that see the same batches."""

    def __init__(self) -> None:
        self.profiler, self.surveyor = Profiler(), Surveyor()

    def observe(self, batch: pa.RecordBatch) -> None:
        self.profiler.observe(batch)
        self.surveyor.observe(batch)

    def merge(self, other: _Both) -> None:
        self.profiler.merge(other.profiler)
        self.surveyor.merge(other.surveyor)


_Seen = TypeVar("_Seen", bound=_Observer)


@dataclass(frozen=True, slots=True)
class _Pass(Generic[_Seen]):
    seen: _Seen
    slices: tuple[Slice, ...]
    fingerprint: str
    records: int


def _read_once(
    source: Source,
    config: MigrationConfig,
    begin: Callable[[int], None],
    moved: Callable[[int], None],
    observer: Callable[[], _Seen],
    wanted: frozenset[Part],
) -> _Pass[_Seen]:
    fingerprint, count = source.fingerprint(), retry.call(config.retry_budget_s, source.count)
    rows = count if config.limit is None else min(count, config.limit)
    begin(rows)
    slices = cut(source, rows, config.slice_rows, config.workers)
    if config.limit is not None:
        slices = limited(slices, config.limit)
    batch_rows = _batch_rows(source.describe()) if Part.VECTORS in wanted else BATCH_ROWS
    seen = observer()

    def look(part: Slice) -> _Seen:
        # One for each attempt: a slice that fails half-way is read anew.
        found = observer()
        with progress.provisional(moved) as passed:
            for batch in read_slice(source, part, wanted, batch_rows):
                found.observe(batch)
                passed(batch.num_rows)
        return found

    for part in slices:
        seen.merge(retry.call(config.retry_budget_s, partial(look, part)))
    return _Pass(seen, slices, fingerprint, count)


def _batch_rows(schema: CollectionSchema) -> int:
    row_bytes = sum(np.dtype(field.dtype).itemsize * (field.dimension or 64) for field in schema.vectors)
    return max(1, min(BATCH_ROWS, _BATCH_BYTES // max(1, row_bytes)))


def rules_of(config: MigrationConfig) -> Rules:
    """The user's wishes for the mapping."""
    return Rules(
        document_field=config.document_field,
        metric=config.metric,
        id_field=config.id_field,
        side_field=config.side_field,
        consent=config.consent,
        aliases_stay="a trial gets no alias" if config.limit is not None else "",
        target_name=config.target.public().name,
    )
