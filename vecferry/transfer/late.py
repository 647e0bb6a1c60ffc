"""Late records: what a store holds beyond what is known of it, each one read again by id before it is told.

A pass may see half of a change. So its candidates are asked for by id; what came back as known is dropped, and what was
not found is asked for twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from vecferry import batch as columns
from vecferry import hashing, sealing
from vecferry.align import align
from vecferry.archive import Archive
from vecferry.archive.hash_rows import TARGET_HASH
from vecferry.contract import Source
from vecferry.idtable import IdTable
from vecferry.model import Digest
from vecferry.transfer import fence, retry
from vecferry.transfer.delta_making import Same
from vecferry.transfer.differences import Change, Side, read_candidates
from vecferry.transfer.known import LIVE, target_ids
from vecferry.transfer.limits import Limits
from vecferry.transfer.passes import Spool

__all__ = ["Late", "Looking", "find_late"]

MAX_EXAMPLES = 20
_SHOWN = 5
_LIST_SCHEMA = pa.schema([pa.field(name, pa.string()) for name in ("change", "id_kind", "id")])
Mask = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Late:
    """Records that differ from what is known: counts and examples by kind of change. False: none.

    `rows` were read. `digest` is that of the late records alone, as they are now: whoever agrees to it agrees to these
    and to no others. `listed` is the file that names them all (`""`: there are none).
    """

    rows: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, tuple[str, ...]] = field(default_factory=dict)
    digest: str = str(Digest())
    listed: str = ""

    def __bool__(self) -> bool:
        return any(self.counts.values())

    def __str__(self) -> str:
        found = [
            f"{count:,} {change} (for example {', '.join(self.examples.get(change, ())[:_SHOWN])})"
            for change, count in self.counts.items()
            if count
        ]
        return "; ".join(found) or "no late records"


@dataclass(frozen=True, slots=True)
class Looking:
    """How late records are looked for.

    `same`: for a store that does not give back the same bits twice, what is the same all the same (`archive` has what
    to compare with). `absence_wait_s` passes between the two reads that must both miss a record.
    """

    archive: Archive
    side: Side
    absence_wait_s: float
    same: Same | None = None


def find_late(store: Source, spool: Spool, looking: Looking, rows: int, listed: Path, limits: Limits) -> Late:
    """Read the candidates of the last comparison again; what still differs goes to the file `listed` (CSV).

    Memory: one batch; of what is gone, the candidates.
    """
    finder = _Finder(store, looking, limits)
    listed.parent.mkdir(parents=True, exist_ok=True)
    aside = listed.with_name(f".{listed.name}.part")
    with csv.CSVWriter(aside, _LIST_SCHEMA) as file:
        for batch in finder.found(read_candidates(spool, limits.batch_rows)):
            file.write_batch(batch)
    counts = {change.value: count for change, count in finder.counts.items()}
    examples = {change.value: tuple(names) for change, names in finder.examples.items()}
    if not any(counts.values()):
        aside.unlink()
        return Late(rows, counts, examples)
    aside.replace(listed)
    return Late(rows, counts, examples, str(finder.digest), str(listed))


class _Finder:
    def __init__(self, store: Source, looking: Looking, limits: Limits) -> None:
        self._store, self._looking, self._limits = store, looking, limits
        self.counts = dict.fromkeys(Change, 0)
        self.examples: dict[Change, list[str]] = {change: [] for change in Change}
        self.digest = Digest()

    def found(self, candidates: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Rows for the list."""
        absent: list[pa.RecordBatch] = []
        for batch in candidates:
            self._limits.check()
            yield from self._present(batch, absent)
        if absent:
            fence.wait(self._looking.absence_wait_s, self._limits.check)
        for batch in absent:
            again: list[pa.RecordBatch] = []
            yield from self._present(batch, again)
            for gone in again:
                none = np.zeros((gone.num_rows, columns.HASHES_BYTES), dtype=np.uint8)
                yield self._told(Change.GONE, self._ids(gone), none)

    def _present(self, batch: pa.RecordBatch, absent: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """What is there now and is not as known; what was known and is not there goes to `absent`."""
        ids, there = self._ids(batch), self._was_there(batch)
        keyed = pa.RecordBatch.from_arrays(
            [*ids.columns, pa.array(there), self._known_hashes(batch)], names=[*ids.schema.names, "there", "known"]
        )
        found = align(keyed, retry.call(self._limits.retry_budget_s, partial(self._store.fetch, ids)))
        lost = ~found.found & there
        if lost.any():
            absent.append(batch.filter(pa.array(lost)))
        was: Mask = found.expected.column("there").to_numpy(zero_copy_only=False)
        hashes = sealing.hash_parts(found.actual)
        differs = was.copy()
        known = columns.fixed_binary(found.expected.column("known").filter(pa.array(was)))
        differs[was] = (known != hashes[was]).any(axis=1)
        differs &= ~self._is_near(found.actual, differs)
        for change, rows in ((Change.NEW, ~was), (Change.CHANGED, differs)):
            if rows.any():
                yield self._told(change, columns.ids_of(found.actual).filter(pa.array(rows)), hashes[rows])

    def _ids(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        found = target_ids(batch) if self._looking.side is Side.TARGET else batch
        return columns.ids_of(found)

    def _was_there(self, batch: pa.RecordBatch) -> Mask:
        if self._looking.side is Side.TARGET:
            there: Mask = batch.column(TARGET_HASH).is_valid().to_numpy(zero_copy_only=False)
            return there
        live: Mask = pc.fill_null(batch.column(LIVE), False).to_numpy(zero_copy_only=False)
        return live

    def _known_hashes(self, batch: pa.RecordBatch) -> pa.Array:
        return batch.column(TARGET_HASH if self._looking.side is Side.TARGET else columns.HASHES)

    def _is_near(self, actual: pa.RecordBatch, differs: Mask) -> Mask:
        """Which of the records that differ are within the noise of their store."""
        same, near = self._looking.same, np.zeros(len(differs), dtype=np.bool_)
        if same is None or not differs.any():
            return near
        records = actual.filter(pa.array(differs))
        archived = columns.drop_hashes(self._looking.archive.fetch(columns.ids_of(records)))
        pairs = align(archived, records)
        alike = pairs.actual.filter(pa.array(same(pairs.expected, pairs.actual).all(axis=1)))
        near[differs] = ~IdTable([sealing.hash_ids(alike)]).absent(sealing.hash_ids(records))
        return near

    def _told(self, change: Change, ids: pa.RecordBatch, hashes: Hashes) -> pa.RecordBatch:
        self.counts[change] += ids.num_rows
        self.digest += hashing.digest(sealing.hash_ids(ids), hashes)
        shown = self.examples[change]
        shown += map(str, columns.record_ids(ids.slice(0, max(0, MAX_EXAMPLES - len(shown)))))
        kinds, texts = ids.column(columns.ID_KIND).cast(pa.string()), ids.column(columns.ID)
        changes = pa.array([change.value]).take(pa.array(np.zeros(ids.num_rows, dtype=np.int64)))
        return pa.RecordBatch.from_arrays([changes, kinds, texts], schema=_LIST_SCHEMA)
