"""From candidates to a delta: what a pass saw is read once more by id, and only what really differs is written down.

A pass reads while the application writes, so what it saw may be half old, half new. A point read is what is true now:
a record that came back equal is dropped, one that was seen as gone and is there is carried over as it is, and one that
is gone is asked for twice before anything is deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry import sealing
from vecferry.align import align
from vecferry.archive import Archive, DeltaRows, WrittenDelta
from vecferry.archive.delta_rows import Before
from vecferry.archive.hash_rows import TARGET_HASH, TARGET_ID, TARGET_ID_KIND
from vecferry.contract import Source
from vecferry.idtable import IdTable
from vecferry.mapping import Mapping
from vecferry.model import VectorField
from vecferry.transfer import retry
from vecferry.transfer.differences import CHANGE
from vecferry.transfer.known import ARCHIVED_HASH, LIVE
from vecferry.transfer.limits import Limits
from vecferry.transfer.load import refuse_nonfinite

__all__ = ["AGAIN", "Absence", "Made", "Making", "Same", "make_delta"]

Mask = npt.NDArray[np.bool_]

AGAIN = "again"
"""The `change` of a candidate that is carried over whatever it holds."""

Same = Callable[[pa.RecordBatch, pa.RecordBatch], npt.NDArray[np.bool_]]
"""Two batches of the same records in the same order, expected and found: which parts are the same, `(n, 3) bool`."""


def _at_once() -> None:
    """No waiting."""


@dataclass(frozen=True, slots=True)
class Absence:
    """When a record counts as gone: two point reads with `wait` between them did not find it.

    `before`, where given, are ids that an earlier pass had found gone: any other one is left for the next pass, because
    an update may be a delete and an insert.
    """

    wait: Callable[[], None] = _at_once
    before: IdTable | None = None


@dataclass(frozen=True, slots=True)
class Making:
    """What a delta of the source's changes is made with.

    `takes_nonfinite`: the target holds NaN and infinities. `noise`: for a store that does not return the same bits
    twice, what is the same all the same.
    """

    mapping: Mapping
    vectors: tuple[VectorField, ...]
    target_url: str
    takes_nonfinite: bool
    absence: Absence = Absence()
    noise: Same | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """How many candidates turned out to be what.

    `equal` came back as known, `within_tolerance` nearly so, `unknown` were never known and are gone again, `waiting`
    are to be found gone by the next pass as well. `again` are carried over whatever they hold. `left_behind` are among
    the new, changed and repeated ones: they do not travel.
    """

    new: int = 0
    changed: int = 0
    gone: int = 0
    left_behind: int = 0
    equal: int = 0
    within_tolerance: int = 0
    unknown: int = 0
    waiting: int = 0
    again: int = 0

    def __add__(self, other: Made) -> Made:
        names = self.__slots__
        return Made(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def rows(self) -> int:
        """Rows of the delta."""
        return self.new + self.changed + self.gone + self.again


def make_delta(
    source: Source, candidates: Iterable[pa.RecordBatch], archive: Archive, number: int, making: Making, limits: Limits
) -> tuple[WrittenDelta, Made]:
    """Read candidates (batches of `CANDIDATES_SCHEMA`) again and write the delta `number` of those that differ.

    Memory: a few batches, and the rows of what is gone. Raises BadRecord for a record that the plan does not cover:
    then there is no delta, and nothing was written to the target.
    """
    maker = _Maker(source, archive, making, limits)
    written = archive.write_delta(number, making.vectors, maker.rows(candidates))
    return written, maker.made


class _Maker:
    def __init__(self, source: Source, archive: Archive, making: Making, limits: Limits) -> None:
        self._source, self._archive, self._making, self._limits = source, archive, making, limits
        self._absent: list[pa.RecordBatch] = []
        self._seq = 0
        self.made = Made()

    def rows(self, candidates: Iterable[pa.RecordBatch]) -> Iterator[DeltaRows]:
        """Upserts as they are found, then what is gone."""
        for batch in candidates:
            yield from self._present(batch, self._note_absent)
        if self._absent:
            self._making.absence.wait()
        for batch in self._absent:
            gone: list[pa.RecordBatch] = []
            yield from self._present(batch, gone.append)
            for missing in gone:
                yield self._numbered(self._tombstones(missing))

    def _note_absent(self, batch: pa.RecordBatch) -> None:
        """Keep what was known and is gone; anything else was never there, or is for the next pass."""
        known = _live(batch)
        self.made += Made(unknown=int((~known).sum()))
        rows = batch.filter(pa.array(known))
        before = self._making.absence.before
        if before is not None and rows.num_rows:
            confirmed = ~before.absent(sealing.hash_ids(rows))
            self.made += Made(waiting=int((~confirmed).sum()))
            rows = rows.filter(pa.array(confirmed))
        if rows.num_rows:
            self._absent.append(rows)

    def _present(self, batch: pa.RecordBatch, absent: Callable[[pa.RecordBatch], None]) -> Iterator[DeltaRows]:
        """What is there now and differs; the rest of the batch goes to `absent`."""
        self._limits.check()
        self._limits.pace.take(batch.num_rows)
        ids = columns.ids_of(batch)
        found = align(batch, retry.call(self._limits.retry_budget_s, partial(self._source.fetch, ids)))
        if not found.found.all():
            absent(batch.filter(pa.array(~found.found)))
        known, records = self._different(found.expected, found.actual)
        if records.num_rows:
            yield self._numbered(self._upserts(known, records))
        self._limits.moved(batch.num_rows)

    def _different(self, known: pa.RecordBatch, records: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """Candidates and records without those that are as known."""
        live = _live(known)
        hashes = sealing.hash_parts(records)
        equal = live.copy()
        was = known.column(columns.HASHES).filter(pa.array(live))
        equal[live] = (columns.fixed_binary(was) == hashes[live]).all(axis=1)
        self.made += Made(equal=int(equal.sum()))
        left = pa.array(~equal)
        return self._beyond_noise(known.filter(left), records.filter(left))

    def _beyond_noise(self, known: pa.RecordBatch, records: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        noise, weighed = self._making.noise, _live(known) & ~_again(known)
        if noise is None or not weighed.any():
            return known, records
        archived = columns.drop_hashes(self._archive.fetch(columns.ids_of(known.filter(pa.array(weighed)))))
        pairs = align(archived, records)
        same = noise(pairs.expected, pairs.actual).all(axis=1)
        near = IdTable([sealing.hash_ids(pairs.actual.filter(pa.array(same)))])
        left = near.absent(sealing.hash_ids(records))
        self.made += Made(within_tolerance=int((~left).sum()))
        return known.filter(pa.array(left)), records.filter(pa.array(left))

    def _upserts(self, known: pa.RecordBatch, records: pa.RecordBatch) -> DeltaRows:
        mapping, live = self._making.mapping, _live(known)
        travelling = mapping.travelling(records)
        mapped = mapping.forward(travelling)
        if not self._making.takes_nonfinite:
            refuse_nonfinite(mapped, travelling, self._making.target_url)
        stays = ~np.isin(np.arange(records.num_rows), _places(records, travelling))
        before = _before(known, _links(mapping, columns.ids_of(records), stays))
        again, left_behind = _again(known), int(stays.sum())
        changed = int((live & ~again).sum())
        self.made += Made(new=int((~live).sum()), changed=changed, again=int(again.sum()), left_behind=left_behind)
        return DeltaRows.upserts(self._seq, _typed(records, self._making.vectors), before)

    def _tombstones(self, known: pa.RecordBatch) -> DeltaRows:
        again = int(_again(known).sum())
        self.made += Made(gone=known.num_rows - again, again=again)
        return DeltaRows.tombstones(self._seq, self._making.vectors, columns.ids_of(known), _before(known, None))

    def _numbered(self, rows: DeltaRows) -> DeltaRows:
        self._seq += len(rows)
        return rows


def _live(batch: pa.RecordBatch) -> Mask:
    """`(n,) bool`: candidates that the source had when it was read last."""
    live: Mask = pc.fill_null(batch.column(LIVE), False).to_numpy(zero_copy_only=False)
    return live


def _again(batch: pa.RecordBatch) -> Mask:
    """`(n,) bool`: candidates that are carried over whatever they hold."""
    again: Mask = pc.equal(batch.column(CHANGE), AGAIN).to_numpy(zero_copy_only=False)
    return again


def _places(records: pa.RecordBatch, some: pa.RecordBatch) -> npt.NDArray[np.int64]:
    return IdTable([sealing.hash_ids(records)]).find(sealing.hash_ids(some))


def _links(mapping: Mapping, ids: pa.RecordBatch, stays: Mask) -> pa.RecordBatch:
    """Ids in the target as the plan gives them; null for what does not travel."""
    links = mapping.forward(ids)
    return links if not stays.any() else links.take(pa.array(np.arange(len(stays)), mask=stays))


def _before(known: pa.RecordBatch, links: pa.RecordBatch | None) -> Before:
    """What is known of candidates; a recorded link wins over a computed one."""
    texts, kinds = known.column(TARGET_ID), known.column(TARGET_ID_KIND).cast(pa.string())
    if links is not None:
        texts = pc.coalesce(texts, links.column(columns.ID))
        kinds = pc.coalesce(kinds, links.column(columns.ID_KIND).cast(pa.string()))
    live = pa.array(_live(known))
    archived = pc.if_else(live, known.column(ARCHIVED_HASH), pa.scalar(None, known.column(ARCHIVED_HASH).type))
    return Before(texts, kinds.cast(known.column(TARGET_ID_KIND).type), archived, known.column(TARGET_HASH))


def _typed(records: pa.RecordBatch, vectors: tuple[VectorField, ...]) -> pa.RecordBatch:
    """The records with the columns that the archive's parts have, in their order."""
    names = columns.arrow_schema(vectors).names
    return records.select([name for name in names if name in records.schema.names])
