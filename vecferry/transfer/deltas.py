"""A recorded delta on its way: loaded into a store, then read back by another reader and compared.

The delta was recorded before its first write, so it is the open intent of all of them. A crash leaves it open; then it
is loaded and read back again, which changes nothing that was done already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from vecferry import batch as columns
from vecferry import failpoints, sealing
from vecferry.align import Aligned, align
from vecferry.archive import Archive, DeltaHashRows, DeltaRows
from vecferry.contract import Source, Target
from vecferry.errors import DataDiffer, RetryLater
from vecferry.model import Receipt
from vecferry.transfer import retry
from vecferry.transfer.delta_making import Same
from vecferry.transfer.limits import Limits
from vecferry.transfer.ways import Way, intended

__all__ = ["Loaded", "load_delta", "read_back_delta", "require_untouched"]

_SHOWN = 5
Mask = npt.NDArray[np.bool_]
Hashes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Loaded:
    """How many records were written and removed. `unknown_fate`: a call failed, and may still take effect later."""

    written: int = 0
    removed: int = 0
    unknown_fate: bool = False


def load_delta(
    archive: Archive,
    number: int,
    way: Way,
    store: Target,
    limits: Limits,
    before: Callable[[DeltaRows], None] | None = None,
) -> Loaded:
    """Write and remove what the delta says. A second time changes nothing.

    `before` looks at the rows of each batch before they are written, and raises where that must not be.
    """
    loader = _Loader(way, store, limits)
    with store.changing():
        for rows in archive.read_delta(number, limits.batch_rows):
            limits.check()
            if before is not None:
                before(rows)
            loader.load(rows)
            failpoints.reached("delta.batch_written")
            limits.moved(len(rows))
    return Loaded(loader.written, loader.removed, loader.unknown_fate)


class _Loader:
    def __init__(self, way: Way, store: Target, limits: Limits) -> None:
        self._way, self._store, self._limits = way, store, limits
        self.written = self.removed = 0
        self.unknown_fate = False

    def load(self, rows: DeltaRows) -> None:
        """Write what is written, remove what is removed."""
        written, removed = rows.filter(self._way.writes(rows)), rows.filter(self._way.removes(rows))
        if len(written):
            self._call(partial(self._store.write, self._way.wanted(written)))
        if len(removed):
            self._call(partial(self._store.delete, self._way.places(removed)))
        self.written, self.removed = self.written + len(written), self.removed + len(removed)

    def _call(self, change: Callable[[], None]) -> None:
        def once() -> None:
            try:
                change()
            except RetryLater:
                self.unknown_fate = True
                raise

        retry.call(self._limits.retry_budget_s, once)


def require_untouched(reader: Source, way: Way, same: Same, retry_budget_s: float, rows: DeltaRows) -> None:
    """Raise DataDiffer unless the target holds, of each row, what was known before, or what is wanted already.

    For a target that serves reads: what stands there may be somebody's own write.
    """
    placed = rows.filter(rows.placed())
    there = align(way.places(placed), retry.call(retry_budget_s, partial(reader.fetch, way.places(placed))))
    hashes, known = intended(placed)
    ours = there.found == known
    both = there.found & known
    now = np.zeros_like(hashes)
    now[there.found] = sealing.hash_parts(there.actual)
    ours[both] = (hashes[both] == now[both]).all(axis=1)
    ours |= ~there.found & way.removes(placed)
    strange = placed.filter(~ours)
    wanted = strange.filter(way.writes(strange))
    if len(wanted):
        pairs = _pairs(way, reader, wanted, retry_budget_s)
        arrived = np.zeros(len(wanted), dtype=np.bool_)
        arrived[pairs.found] = same(pairs.expected, pairs.actual).all(axis=1)
        wanted = wanted.filter(~arrived)
    others = [*_names(wanted), *_names(strange.filter(way.removes(strange)))]
    if others:
        raise DataDiffer(
            f"{reader.url} was written by somebody else: {len(others):,} records, for example {_listed(others)}",
            advice="until the switch only this migration may write it; find out who did, then validate again",
        )


def read_back_delta(
    archive: Archive,
    number: int,
    way: Way,
    reader: Source,
    same: Same,
    limits: Limits,
    as_known: Source | None = None,
) -> Receipt:
    """Read every record of a loaded delta back, compare it, and write the hashes of what was found to the archive.

    `reader` is opened apart from the writer. `as_known`: where records of this store are known in other terms than
    those in which they were written, the same store in those. Raises DataDiffer, naming ids, where one differs from
    what was written, or is there and should not be.
    """
    return archive.write_delta_hashes(number, _compared(archive, number, way, reader, same, limits, as_known))


def _compared(
    archive: Archive, number: int, way: Way, reader: Source, same: Same, limits: Limits, as_known: Source | None
) -> Iterator[DeltaHashRows]:
    for rows in archive.read_delta(number, limits.batch_rows):
        limits.check()
        _require_removed(way, reader, rows, limits.retry_budget_s)
        written = way.writes(rows)
        hashes = np.zeros((len(rows), columns.HASHES_BYTES), dtype=np.uint8)
        hashes[written] = _written(way, reader, rows.filter(written), same, limits, as_known)
        yield way.found(rows, hashes, written)
        limits.moved(len(rows))


def _written(way: Way, reader: Source, rows: DeltaRows, same: Same, limits: Limits, as_known: Source | None) -> Hashes:
    """Part hashes, `(n, 48)`, of what was read back of rows that were written."""
    if not len(rows):
        return np.zeros((0, columns.HASHES_BYTES), dtype=np.uint8)
    pairs = _pairs(way, reader, rows, limits.retry_budget_s)
    equal = np.zeros((len(rows), len(sealing.PART_ORDER)), dtype=np.bool_)
    equal[pairs.found] = same(pairs.expected, pairs.actual)
    if not equal.all():
        _refuse(reader, rows, pairs.found, equal)
    if as_known is None:
        return sealing.hash_parts(pairs.actual)
    again = retry.call(limits.retry_budget_s, partial(as_known.fetch, rows.ids()))
    return sealing.hash_parts(align(rows.ids(), again).actual)


def _pairs(way: Way, reader: Source, rows: DeltaRows, retry_budget_s: float) -> Aligned:
    expected = way.expected(rows)
    return align(expected, retry.call(retry_budget_s, partial(reader.fetch, columns.ids_of(expected))))


def _require_removed(way: Way, reader: Source, rows: DeltaRows, retry_budget_s: float) -> None:
    removed = rows.filter(way.removes(rows))
    if not len(removed):
        return
    left = retry.call(retry_budget_s, partial(reader.fetch, way.places(removed), frozenset()))
    if left.num_rows:
        names = [str(name) for name in columns.record_ids(columns.ids_of(left).slice(0, _SHOWN))]
        raise DataDiffer(
            f"{reader.url} still holds {left.num_rows:,} records that were removed, for example {_listed(names)}",
            advice="somebody else may write it; find out who does, then run it again",
        )


def _refuse(reader: Source, rows: DeltaRows, found: Mask, equal: npt.NDArray[np.bool_]) -> None:
    bad = ~equal.all(axis=1)
    words = []
    for row in np.flatnonzero(bad)[:_SHOWN].tolist():
        name = columns.record_ids(rows.ids().slice(row, 1))[0]
        parts = [part.value for part, fine in zip(sealing.PART_ORDER, equal[row], strict=True) if not fine]
        words.append(f"{name} ({', '.join(parts) if found[row] else 'missing'})")
    raise DataDiffer(
        f"{reader.url} does not hold what was written: {int(bad.sum()):,} records differ, for example {_listed(words)}",
        advice="the delta stays open; run it again, and look at the store if it happens twice",
    )


def _names(rows: DeltaRows) -> list[str]:
    return [str(name) for name in columns.record_ids(rows.ids())]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN])
