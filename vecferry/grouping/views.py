"""A collection as if it held the records of one group alone.

What a view shows is filtered here, exactly, by the payload in original terms; an engine's own filter (`Narrowing`)
only spares it records that it would leave out anyway.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry.conditions import Condition, matches, matches_any
from vecferry.contract import Narrowing, Snapshots, Source, SourceFile, Target
from vecferry.errors import StoreRefused
from vecferry.forwarding import ForwardingSource, ForwardingTarget
from vecferry.grouping.encoded import side_key
from vecferry.mapping import Mapping
from vecferry.model import ALL_PARTS, IDS_ONLY, Part, Slice
from vecferry.transfer.decoded import needed_parts, only_parts

__all__ = ["SourceView", "TargetView", "target_view", "view"]

Mask = npt.NDArray[np.bool_]

_SCANNED_ROWS = 5000
_SAMPLED_ROWS, _SMALL = 1000, 0.5
_NAMED_IDS = 5


class SourceView(ForwardingSource):
    """Exactly the records of a source that a condition takes.

    `describe`, `capabilities`, `identity` and `fingerprint` are those of the whole. It has no files and no snapshots:
    a copy of those would be one of every group.
    """

    def __init__(self, inner: Source, condition: Condition, mapping: Mapping | None = None) -> None:
        super().__init__(inner)
        self.condition, self.mapping = condition, mapping

    def count(self) -> int:
        """The exact number of records, by reading them: an engine's own count knows its filter, which takes more."""
        return sum(
            batch.num_rows for part in self.inner.slices(1) for batch in self.read(part, IDS_ONLY, _SCANNED_ROWS)
        )

    def slices(self, n: int) -> list[Slice]:
        """Those of the whole, whose numbers of rows say nothing here."""
        return [replace(part, rows=None) for part in self.inner.slices(n)]

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        narrowed = self._narrowed()
        if narrowed is None and Part.VECTORS in columns and self._is_small_part_of(part):
            yield from self._looked_up(part, columns, batch_rows)
            return
        found = (narrowed or self.inner).read(part, self._needed(columns), batch_rows)
        yield from _gathered((self._shown(batch, columns) for batch in found), batch_rows)

    def _is_small_part_of(self, part: Slice) -> bool:
        """Whether vectors cost something to read, and most of a slice's first records are of other groups."""
        if self.capabilities().cheap_vectors:
            return False
        first = next(self.inner.read(part, self._needed(IDS_ONLY), _SAMPLED_ROWS), None)
        return first is not None and bool(matches(self.condition, self.original(first)).mean() < _SMALL)

    def _looked_up(self, part: Slice, wanted: frozenset[Part], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """The records of a slice by their ids, so that the vectors of all other groups are never sent."""
        for ids in self.read(part, IDS_ONLY, max(batch_rows, _SCANNED_ROWS)):
            for start in range(0, ids.num_rows, batch_rows):
                found = self.fetch(columns.ids_of(ids.slice(start, batch_rows)), wanted)
                if found.num_rows:
                    yield found

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        return self._shown(self.inner.fetch(ids, self._needed(columns)), columns)

    def files(self) -> Sequence[SourceFile]:
        return ()

    def snapshots(self) -> Snapshots | None:
        return None

    def original(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The ids, documents and payloads of a batch in the terms that conditions are asked in."""
        if self.mapping is None or not batch.num_rows:
            return batch
        names = [columns.ID, columns.ID_KIND, columns.DOCUMENT, columns.PAYLOAD]
        return self.mapping.backward(batch.select([name for name in names if name in batch.schema.names]))

    def _shown(self, batch: pa.RecordBatch, wanted: frozenset[Part]) -> pa.RecordBatch:
        mask = matches(self.condition, self.original(batch))
        return only_parts(batch if mask.all() else batch.filter(pa.array(mask)), wanted)

    def _needed(self, wanted: frozenset[Part]) -> frozenset[Part]:
        return wanted | {Part.PAYLOAD} if self.mapping is None else needed_parts(wanted)

    def _narrowed(self) -> Source | None:
        """What the engine's own filter leaves of the whole; asked anew each time, for an index may be new."""
        if not isinstance(self.inner, Narrowing):
            return None
        if self.mapping is None:
            return self.inner.narrowed([self.condition])
        beside = side_key(self.condition.field, self.mapping)
        return self.inner.narrowed([self.condition], beside) if beside else None


class TargetView(SourceView, ForwardingTarget):
    """Exactly the records of a target that a condition takes; what it deletes are its own records.

    A write may carry any record of the run; it never replaces one that `guards` take, where that is another's.
    """

    inner: Target

    def __init__(
        self, inner: Target, condition: Condition, guards: Sequence[Condition] = (), mapping: Mapping | None = None
    ) -> None:
        super().__init__(inner, condition, mapping)
        self.guards = tuple(guards)

    def write(self, batch: pa.RecordBatch) -> None:
        """Raises StoreRefused, before anything is written, where a record of a guarded group would be replaced."""
        if self.guards:
            self._refuse_guarded(columns.ids_of(batch))
        self.inner.write(batch)

    def delete(self, ids: pa.RecordBatch) -> None:
        """Remove those of these ids that are of this group now; one that moved to another group is that one's."""
        own = self.fetch(ids, IDS_ONLY)
        if own.num_rows:
            self.inner.delete(columns.ids_of(own))

    def drop(self) -> None:
        """Remove the records of this group; the collection stays, with its mark. Absent: nothing happens."""
        if not self.inner.exists():
            return
        found = [columns.ids_of(batch) for part in self.slices(1) for batch in self.read(part, IDS_ONLY, _SCANNED_ROWS)]
        for ids in found:
            self.delete(ids)

    def around(self, inner: Target) -> Target:
        return TargetView(inner, self.condition, self.guards, self.mapping)

    def _refuse_guarded(self, ids: pa.RecordBatch) -> None:
        there = self.inner.fetch(ids, self._needed(IDS_ONLY))
        original = self.original(there)
        guarded = matches_any(self.guards, original) & ~matches(self.condition, original)
        if not guarded.any():
            return
        texts = columns.id_texts(original.filter(pa.array(guarded))).to_pylist()
        more = f" and {len(texts) - _NAMED_IDS:,} more" if len(texts) > _NAMED_IDS else ""
        listed = ", ".join(map(repr, texts[:_NAMED_IDS])) + more
        raise StoreRefused(
            f"{self.url} serves the records {listed} in another workspace already: they are not replaced",
            advice="let a pass of that workspace carry the change, or delete the record that is wrong",
        )


def view(inner: Source, condition: Condition) -> SourceView:
    """The records of a source, in original terms, that a condition takes. Closing it closes the source."""
    return SourceView(inner, condition)


def target_view(
    inner: Target, condition: Condition, guards: Sequence[Condition] = (), mapping: Mapping | None = None
) -> TargetView:
    """The records of a target that a condition takes, raw as stored.

    `mapping`: how records came into the target, so that conditions are asked of payloads in original terms (None: as
    they are). `guards`: groups that this store serves already; a write never replaces one of their records, it raises
    StoreRefused naming ids. `delete` leaves records that are no longer of this group; `drop` deletes its records.
    """
    return TargetView(inner, condition, guards, mapping)


def _gathered(batches: Iterable[pa.RecordBatch], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Small batches joined to ones of at most `batch_rows` rows, empty ones left out."""
    pending: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        if pending and rows + batch.num_rows > batch_rows:
            yield pa.concat_batches(pending)
            pending, rows = [], 0
        if batch.num_rows:
            pending.append(batch)
            rows += batch.num_rows
    if pending:
        yield pa.concat_batches(pending)
