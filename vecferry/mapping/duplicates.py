"""Ids that stand more than once, found among any number of records at 16 bytes a record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing

__all__ = ["MAX_EXAMPLES", "Duplicates"]

MAX_EXAMPLES = 5
_RUN_ROWS = 1 << 16
_NAMED_ROWS = 1 << 20

Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Run:
    """Distinct id hashes, sorted by their first half; `names` in the same order while the run is small."""

    high: Words
    low: Words
    names: pa.StringArray | None

    def __len__(self) -> int:
        return len(self.high)

    def contains(self, other: _Run) -> Mask:
        """Which rows of the other run stand in this one."""
        first = np.searchsorted(self.high, other.high, side="left")
        last = np.searchsorted(self.high, other.high, side="right")
        found = np.zeros(len(other), dtype=np.bool_)
        # Almost always at most one candidate; the loop ends after the longest run of equal first halves.
        for step in range(int((last - first).max(initial=0))):
            at = first + step
            inside = at < last
            found[inside] |= self.low[at[inside]] == other.low[inside]
        return found

    def keep(self, mask: Mask) -> _Run:
        """The rows where the mask is true."""
        names = None if self.names is None else self.names.filter(pa.array(mask))
        return _Run(self.high[mask], self.low[mask], names)


def _sorted(high: Words, low: Words, names: pa.StringArray | None) -> _Run:
    order = np.lexsort((low, high))
    return _Run(high[order], low[order], None if names is None else names.take(pa.array(order)))


def _merged(left: _Run, right: _Run) -> _Run:
    named = left.names is not None and right.names is not None and len(left) + len(right) <= _NAMED_ROWS
    names = pa.concat_arrays([left.names, right.names]) if named else None
    return _sorted(np.concatenate([left.high, right.high]), np.concatenate([left.low, right.low]), names)


class Duplicates:
    """Counts records whose id was seen before, and names some.

    Hashes live in sorted runs of growing size, all distinct; a new run is looked up in each and what it
    repeats is counted and left out. The ids' texts are kept only for the latest records.
    """

    def __init__(self) -> None:
        self.count = 0
        self.examples: list[str] = []
        self._waiting: list[_Run] = []
        self._runs: list[_Run] = []

    def observe(self, batch: pa.RecordBatch) -> None:
        """Take the ids of one batch."""
        halves = np.ascontiguousarray(sealing.hash_ids(batch)).view(np.uint64).reshape(-1, 2)
        self._waiting.append(_Run(halves[:, 0], halves[:, 1], columns.id_texts(batch)))
        if sum(map(len, self._waiting)) >= _RUN_ROWS:
            self.settle()

    def settle(self) -> None:
        """Count what waits."""
        if not self._waiting:
            return
        high, low = (np.concatenate([getattr(run, half) for run in self._waiting]) for half in ("high", "low"))
        run = _sorted(high, low, pa.concat_arrays([run.names for run in self._waiting]))
        self._waiting = []
        repeated = np.zeros(len(run), dtype=np.bool_)
        repeated[1:] = (run.high[1:] == run.high[:-1]) & (run.low[1:] == run.low[:-1])
        self._count(run, repeated)
        self._add(run.keep(~repeated))

    def merge(self, other: Duplicates) -> None:
        """Take everything that another one saw; it must not be used afterwards."""
        self.settle()
        other.settle()
        self.count += other.count
        self.examples = (self.examples + other.examples)[:MAX_EXAMPLES]
        for run in other._runs:
            self._add(run)

    def _add(self, run: _Run) -> None:
        for known in self._runs:
            repeated = known.contains(run)
            if repeated.any():
                self._count(run, repeated)
                run = run.keep(~repeated)
        self._runs.append(run)
        while len(self._runs) > 1 and 2 * len(self._runs[-1]) >= len(self._runs[-2]):
            last = self._runs.pop()
            self._runs.append(_merged(self._runs.pop(), last))

    def _count(self, run: _Run, repeated: Mask) -> None:
        self.count += int(repeated.sum())
        rows = np.flatnonzero(repeated)[: MAX_EXAMPLES - len(self.examples)]
        for row in rows.tolist():
            name = f"the id of hash {run.high[row]:016x}{run.low[row]:016x}"
            if run.names is not None:
                name = repr(run.names[row].as_py())
            if name not in self.examples:
                self.examples.append(name)
