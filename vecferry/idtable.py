"""Ids as 16-byte hashes in sorted columns: is an id known, was it seen before, and where does it stand.

Memory does not depend on the ids' length: 16 bytes an id in `IdSet`, 24 in `IdTable`. The hashes are
those of `sealing.hash_ids`, `(n, 16) uint8`; any other hash of 16 bytes does as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import numpy as np
import numpy.typing as npt

__all__ = ["IdSet", "IdTable"]

Hashes = npt.NDArray[np.uint8]
Halves = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]
Places = npt.NDArray[np.int64]


class _Sorted:
    """Hashes as two columns of 64-bit numbers, ascending by the first; equal hashes stand side by side."""

    def __init__(self, high: Halves, low: Halves) -> None:
        self.high, self.low = high, low

    @classmethod
    def of(cls, high: Halves, low: Halves) -> tuple[Self, Places]:
        """The hashes sorted, and where each of them stood; equal ones keep their order."""
        order: Places = np.argsort(high)
        ordered = high[order]
        if (ordered[1:] == ordered[:-1]).any():
            # Rare, unless ids repeat: different ids share 64 bits. The quick sort above has no second key.
            order = np.lexsort((low, high))
            ordered = high[order]
        return cls(ordered, low[order]), order

    def __len__(self) -> int:
        return len(self.high)

    def find(self, high: Halves, low: Halves) -> Places:
        """The first place of each hash here, `(n,) int64`; -1 where it is absent."""
        found = np.full(len(high), -1, dtype=np.int64)
        at = np.searchsorted(self.high, high, side="left")
        rows = np.flatnonzero(at < len(self))
        # One round, unless different ids share the first 64 bits.
        while len(rows):
            places = at[rows]
            same_high = self.high[places] == high[rows]
            hit = same_high & (self.low[places] == low[rows])
            found[rows[hit]] = places[hit]
            rows = rows[same_high & ~hit]
            at[rows] += 1
            rows = rows[at[rows] < len(self)]
        return found

    def repeats(self) -> Mask:
        """Which hashes equal the one before them."""
        result = np.zeros(len(self), dtype=np.bool_)
        result[1:] = (self.high[1:] == self.high[:-1]) & (self.low[1:] == self.low[:-1])
        return result

    def filter(self, mask: Mask) -> _Sorted:
        """The hashes where the mask is true."""
        return _Sorted(self.high[mask], self.low[mask])

    def hashes(self) -> Hashes:
        """The hashes as bytes again."""
        return np.stack([self.high, self.low], axis=1).astype(">u8").view(np.uint8)


class IdTable:
    """The ids given at the start, numbered in their order from 0."""

    def __init__(self, blocks: Iterable[Hashes]) -> None:
        """`blocks` are id hashes, `(n, 16) uint8` each."""
        none = np.zeros(0, dtype=np.uint64)
        halves = [(none, none), *map(_halves, blocks)]
        high, low = (np.concatenate(column) for column in zip(*halves, strict=True))
        self._sorted, self._places = _Sorted.of(high, low)

    def __len__(self) -> int:
        return len(self._sorted)

    def find(self, hashes: Hashes) -> Places:
        """The number of each id, `(n,) int64`: the first that it has, -1 where it is not known."""
        found = self._sorted.find(*_halves(hashes))
        known = found >= 0
        found[known] = self._places[found[known]]
        return found

    def absent(self, hashes: Hashes) -> Mask:
        """`(n,) bool`: which ids are not known."""
        return self._sorted.find(*_halves(hashes)) < 0


class IdSet:
    """A growing set of ids that tells which of those added were there already.

    Ids stand in sorted runs whose lengths at least halve, so that there are only log(n) of them to look into.
    """

    def __init__(self) -> None:
        self._runs: list[_Sorted] = []

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def add(self, hashes: Hashes) -> Mask:
        """Add `(n, 16) uint8` hashes; `(n,) bool`: those that repeat an earlier id, in this call or before it."""
        run, order = _Sorted.of(*_halves(hashes))
        repeated = self._add(run)
        found = np.zeros(len(order), dtype=np.bool_)
        found[order] = repeated
        return found

    def merge(self, other: IdSet) -> Hashes:
        """Add all ids of another set; the hashes, `(m, 16) uint8`, of those that were here already."""
        known = []
        for run in other._runs:
            repeated = self._add(run)
            known.append(run.filter(repeated).hashes())
        return np.concatenate([np.zeros((0, 16), dtype=np.uint8), *known])

    def thin(self, bits: int) -> None:
        """Keep only the hashes that end with so many zero bits (at most 64)."""
        mask = np.uint64((1 << bits) - 1)
        self._runs = [run.filter(run.low & mask == 0) for run in self._runs]

    def absent(self, hashes: Hashes) -> Mask:
        """`(n,) bool`: which ids are not in the set."""
        high, low = _halves(hashes)
        missing = np.ones(len(high), dtype=np.bool_)
        for run in self._runs:
            missing &= run.find(high, low) < 0
        return missing

    def _add(self, run: _Sorted) -> Mask:
        """Keep what is new of a run; which of its hashes repeat."""
        repeated = run.repeats()
        for known in self._runs:
            repeated |= known.find(run.high, run.low) >= 0
        new = run.filter(~repeated) if repeated.any() else run
        while self._runs and len(self._runs[-1]) <= 2 * len(new):
            new = _merged(self._runs.pop(), new)
        self._runs.append(new)
        return repeated


def _merged(one: _Sorted, other: _Sorted) -> _Sorted:
    """Two runs without a hash in common as one, in linear time."""
    places = np.searchsorted(one.high, other.high) + np.arange(len(other))
    from_one = np.ones(len(one) + len(other), dtype=np.bool_)
    from_one[places] = False
    halves = []
    for left, right in ((one.high, other.high), (one.low, other.low)):
        column = np.empty(len(from_one), dtype=np.uint64)
        column[from_one], column[places] = left, right
        halves.append(column)
    return _Sorted(*halves)


def _halves(hashes: Hashes) -> tuple[Halves, Halves]:
    """Hashes as two columns of native 64-bit numbers, in the order of their bytes."""
    columns = np.ascontiguousarray(hashes).view(">u8").reshape(-1, 2)
    return columns[:, 0].astype(np.uint64), columns[:, 1].astype(np.uint64)
