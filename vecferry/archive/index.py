"""Ids as 16-byte hashes in sorted arrays: which were seen before, and where each one is.

Memory: 16 bytes a record for `IdSet`, 24 for `IdIndex`, whatever the ids' length.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["IdIndex", "IdSet"]

Hashes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

# Rows of one part stay far below 2^40, parts below 2^23.
_ROW_BITS = 40
_ROW_MASK = (1 << _ROW_BITS) - 1


class _Run:
    """Hashes sorted by value, as two columns of 64 bits, with a number carried along."""

    def __init__(self, high: Numbers, low: Numbers, carried: Places) -> None:
        order = np.lexsort((low, high))
        self.high, self.low, self.carried = high[order], low[order], carried[order]

    def __len__(self) -> int:
        return len(self.high)

    def find(self, high: Numbers, low: Numbers) -> Places:
        """The place of each hash in this run, -1 where it is absent."""
        found = np.full(len(high), -1, dtype=np.int64)
        at = np.searchsorted(self.high, high, side="left")
        open_rows = np.flatnonzero(at < len(self))
        # One round, unless two different ids share 64 bits.
        while len(open_rows):
            places = at[open_rows]
            same_high = self.high[places] == high[open_rows]
            hit = same_high & (self.low[places] == low[open_rows])
            found[open_rows[hit]] = places[hit]
            open_rows = open_rows[same_high & ~hit]
            at[open_rows] += 1
            open_rows = open_rows[at[open_rows] < len(self)]
        return found

    def repeats(self) -> npt.NDArray[np.bool_]:
        """Which hashes equal the one before them."""
        result = np.zeros(len(self), dtype=np.bool_)
        result[1:] = (self.high[1:] == self.high[:-1]) & (self.low[1:] == self.low[:-1])
        return result


class IdSet:
    """A growing set of ids that tells which of those added were there already."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def add(self, hashes: Hashes) -> list[int]:
        """Add `(n, 16) uint8` hashes; the rows that repeat an earlier id, in this call or before it, ascending."""
        high, low = _halves(hashes)
        run = _Run(high, low, np.arange(len(high), dtype=np.int64))
        repeated = set(run.carried[run.repeats()].tolist())
        for earlier in self._runs:
            repeated.update(np.flatnonzero(earlier.find(high, low) >= 0).tolist())
        self._keep(run)
        return sorted(repeated)

    def absent(self, hashes: Hashes) -> list[int]:
        """The rows of `(n, 16) uint8` hashes that are not in the set, ascending."""
        high, low = _halves(hashes)
        missing = np.ones(len(high), dtype=np.bool_)
        for run in self._runs:
            missing &= run.find(high, low) < 0
        rows: list[int] = np.flatnonzero(missing).tolist()
        return rows

    def _keep(self, run: _Run) -> None:
        """Add a run; runs of similar length are merged, so that there are only log(n) of them."""
        while self._runs and len(self._runs[-1]) <= 2 * len(run):
            last = self._runs.pop()
            high, low = np.concatenate([last.high, run.high]), np.concatenate([last.low, run.low])
            run = _Run(high, low, np.zeros(len(high), dtype=np.int64))
        self._runs.append(run)


class IdIndex:
    """Where each id of an archive is: its part's number and its row in that part."""

    def __init__(self, run: _Run) -> None:
        self._run = run

    @classmethod
    def build(cls, parts: Iterable[tuple[int, Iterable[Hashes]]]) -> IdIndex:
        """Index the ids of parts, given as part number and id hashes `(n, 16) uint8` in row order."""
        highs: list[Numbers] = []
        lows: list[Numbers] = []
        places: list[Places] = []
        for number, pieces in parts:
            row = 0
            for high, low in map(_halves, pieces):
                highs.append(high)
                lows.append(low)
                places.append((number << _ROW_BITS) + np.arange(row, row + len(high), dtype=np.int64))
                row += len(high)
        none = np.zeros(0, dtype=np.uint64)
        joined = np.concatenate([*places, none.astype(np.int64)])
        return cls(_Run(np.concatenate([*highs, none]), np.concatenate([*lows, none]), joined))

    def __len__(self) -> int:
        return len(self._run)

    def find(self, hashes: Hashes) -> dict[int, list[int]]:
        """Rows by part number, ascending, of those of the `(n, 16) uint8` hashes that are here."""
        found = self._run.find(*_halves(hashes))
        places = np.unique(self._run.carried[found[found >= 0]])
        numbers = places >> _ROW_BITS
        return {int(number): (places[numbers == number] & _ROW_MASK).tolist() for number in np.unique(numbers)}


def _halves(hashes: Hashes) -> tuple[Numbers, Numbers]:
    """Hashes as two columns of native 64-bit numbers."""
    columns = np.ascontiguousarray(hashes).view(">u8").astype(np.uint64).reshape(-1, 2)
    return np.ascontiguousarray(columns[:, 0]), np.ascontiguousarray(columns[:, 1])
