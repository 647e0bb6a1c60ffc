"""Reading a store again and comparing ids and hashes with the archive: what was written since."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive import Archive
from vecferry.contract import Source
from vecferry.idtable import IdTable
from vecferry.model import IDS_ONLY, Slice
from vecferry.transfer import retry
from vecferry.transfer.limits import Limits
from vecferry.transfer.read import read_within

__all__ = ["Changes", "HashIndex", "changes_in", "target_changes"]

MAX_EXAMPLES = 20
_EXAMPLES_SHOWN = 5
Hashes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Changes:
    """Records that are new, changed or deleted against the archive: counts and examples. False: none."""

    rows: int = 0
    new: int = 0
    changed: int = 0
    deleted: int = 0
    new_ids: tuple[str, ...] = ()
    changed_ids: tuple[str, ...] = ()
    deleted_ids: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.new or self.changed or self.deleted)

    def __add__(self, other: Changes) -> Changes:
        return Changes(
            self.rows + other.rows,
            self.new + other.new,
            self.changed + other.changed,
            self.deleted + other.deleted,
            (self.new_ids + other.new_ids)[:MAX_EXAMPLES],
            (self.changed_ids + other.changed_ids)[:MAX_EXAMPLES],
            (self.deleted_ids + other.deleted_ids)[:MAX_EXAMPLES],
        )

    def __str__(self) -> str:
        named = (("new", self.new, self.new_ids), ("changed", self.changed, self.changed_ids))
        found = [
            f"{count:,} {word} (for example {', '.join(examples[:_EXAMPLES_SHOWN])})"
            for word, count, examples in (*named, ("deleted", self.deleted, self.deleted_ids))
            if count
        ]
        return "; ".join(found) or "no changes"

    def counts(self) -> dict[str, int]:
        """The counts alone."""
        return {"new": self.new, "changed": self.changed, "deleted": self.deleted}


class HashIndex:
    """Known records: ids, and the hashes of their parts; 72 bytes a record."""

    def __init__(self, blocks: Iterable[tuple[Hashes, Hashes]]) -> None:
        """`blocks` are id hashes `(n, 16)` with part hashes `(n, 48)`, both uint8."""
        pairs = list(blocks)
        self._ids = IdTable(pair[0] for pair in pairs)
        self._parts = np.concatenate([pair[1] for pair in pairs] or [np.zeros((0, columns.HASHES_BYTES), np.uint8)])
        self._seen = np.zeros(len(self._ids), dtype=bool)

    def look_up(self, keys: Hashes, parts: Hashes) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Per row: unknown id; known id with other hashes. Marks the known ones as seen."""
        at = self._ids.find(keys)
        known = at >= 0
        self._seen[at[known]] = True
        changed = np.zeros(len(at), dtype=bool)
        changed[known] = (self._parts[at[known]] != parts[known]).any(axis=1)
        return ~known, changed

    def unseen_rows(self) -> npt.NDArray[np.int64]:
        """Positions, in the order given, of records that no look-up has found."""
        return np.flatnonzero(~self._seen)


def changes_in(source: Source, part: Slice, archive: Archive, limits: Limits) -> Changes:
    """What of one slice differs from its part now, records that did not travel included. Tries again within limits.

    Memory: 72 bytes a record of the slice, and a batch.
    """

    def look() -> Changes:
        known = archive.read_part(part.number, limits.batch_rows, IDS_ONLY)
        index = HashIndex((sealing.hash_ids(batch), columns.stored_hashes(batch)) for batch in known)
        found = _compare(index, read_within(source, part, limits))
        return found + _deleted(index, archive.read_part(part.number, limits.batch_rows, IDS_ONLY))

    return retry.call(limits.retry_budget_s, look)


def target_changes(reader: Source, slices: Sequence[Slice], archive: Archive, batch_rows: int) -> Changes:
    """What of a whole target differs from what was read back for its verdict, and of deltas since.

    Memory: 72 bytes a record.
    """
    index = HashIndex((rows.target_id_hashes(), rows.target_hashes()) for rows in archive.target_rows())
    found = _compare(index, (batch for part in slices for batch in reader.read(part, batch_rows=batch_rows)))
    return found + _deleted(index, (rows.target_ids() for rows in archive.target_rows()))


def _compare(index: HashIndex, batches: Iterator[pa.RecordBatch]) -> Changes:
    total = Changes()
    for batch in batches:
        new, changed = index.look_up(sealing.hash_ids(batch), sealing.hash_parts(batch))
        total += Changes(
            rows=batch.num_rows,
            new=int(new.sum()),
            changed=int(changed.sum()),
            new_ids=_names(batch, new),
            changed_ids=_names(batch, changed),
        )
    return total


def _deleted(index: HashIndex, ids: Iterable[pa.RecordBatch]) -> Changes:
    """Known records that were not seen; their names are looked up only where there are any."""
    rows = index.unseen_rows()
    if not len(rows):
        return Changes()
    first, start, names = rows[:MAX_EXAMPLES], 0, []
    for batch in ids:
        here = first[(first >= start) & (first < start + batch.num_rows)] - start
        names += [str(name) for name in columns.record_ids(columns.ids_of(batch).take(pa.array(here)))]
        start += batch.num_rows
    return Changes(deleted=len(rows), deleted_ids=tuple(names))


def _names(batch: pa.RecordBatch, mask: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    rows = np.flatnonzero(mask)[:MAX_EXAMPLES]
    return tuple(map(str, columns.record_ids(columns.ids_of(batch).take(pa.array(rows))))) if len(rows) else ()
