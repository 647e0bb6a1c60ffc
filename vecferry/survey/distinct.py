"""How many different values there are, and how many repeat an earlier one, in bounded memory.

Both keep hashes. Beyond a bound they keep every second hash, then every fourth, always those whose last bits are
zero: all records of one value are kept or dropped together, so that what is kept counts for 2^n times as many.
Up to the bound the counts are exact. An estimate from k kept hashes is off by 1 / sqrt(k) (one standard deviation).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vecferry.idtable import IdSet

__all__ = ["DISTINCT_HASHES", "REPEAT_HASHES", "Distinct", "Repeats"]

DISTINCT_HASHES = 1 << 14
"""Hashes of 8 bytes kept for one payload key: 128 KiB. An estimate is off by 1.1 % at most (one deviation)."""

REPEAT_HASHES = 1 << 24
"""Hashes of 16 bytes kept for one vector: 256 MiB, and as much again for a moment while two runs merge."""

Hashes64 = npt.NDArray[np.uint64]
Hashes128 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class Distinct:
    """Counts different 64-bit hashes."""

    def __init__(self, capacity: int = DISTINCT_HASHES) -> None:
        self._capacity = capacity
        self._level = 0
        self._kept: Hashes64 = np.zeros(0, dtype=np.uint64)
        self._pending: list[Hashes64] = []
        self._pending_count = 0

    def add(self, hashes: Hashes64) -> None:
        """Take `(n,) uint64` hashes, repeated ones too."""
        found = hashes[hashes & _mask(self._level) == 0] if self._level else hashes
        self._pending.append(found)
        self._pending_count += len(found)
        if self._pending_count >= self._capacity // 4:
            self._settle()

    def merge(self, other: Distinct) -> None:
        """Take everything that another one saw."""
        other._settle()
        self._settle()
        self._level = max(self._level, other._level)
        self._kept = self._kept[self._kept & _mask(self._level) == 0]
        self.add(other._kept)
        self._settle()

    def _settle(self) -> None:
        kept = np.unique(np.concatenate([self._kept, *self._pending]))
        while len(kept) > self._capacity:
            self._level += 1
            kept = kept[kept & _mask(self._level) == 0]
        self._kept, self._pending, self._pending_count = kept, [], 0

    @property
    def exact(self) -> bool:
        """Whether `count` is no estimate."""
        self._settle()
        return self._level == 0

    @property
    def count(self) -> int:
        """How many different hashes there were."""
        self._settle()
        return len(self._kept) << self._level


class Repeats:
    """Counts rows whose 128-bit hash stood in an earlier row."""

    def __init__(self, capacity: int = REPEAT_HASHES) -> None:
        self._capacity = capacity
        self._level = 0
        self._seen = IdSet()
        # By the number of zero bits at the hash's end: those of a class that is dropped later no longer count.
        self._by_zeros = np.zeros(65, dtype=np.int64)

    def add(self, hashes: Hashes128) -> Mask:
        """Take `(n, 16) uint8` hashes; `(n,) bool`: those that repeat an earlier one, as far as they are kept."""
        kept = _low(hashes) & _mask(self._level) == 0
        repeated = np.zeros(len(hashes), dtype=np.bool_)
        repeated[kept] = self._seen.add(hashes[kept])
        self._count(hashes[repeated])
        self._shrink()
        return repeated

    def merge(self, other: Repeats) -> None:
        """Take everything that another one saw; it must not be used afterwards."""
        self._level = max(self._level, other._level)
        for one in (self, other):
            one._seen.thin(self._level)
        self._by_zeros += other._by_zeros
        self._count(self._seen.merge(other._seen))
        self._shrink()

    def _count(self, repeated: Hashes128) -> None:
        if len(repeated):
            self._by_zeros += np.bincount(_zeros(_low(repeated)), minlength=65)

    def _shrink(self) -> None:
        while len(self._seen) > self._capacity:
            self._level += 1
            self._seen.thin(self._level)

    @property
    def exact(self) -> bool:
        """Whether `count` is no estimate."""
        return self._level == 0

    @property
    def count(self) -> int:
        """How many rows repeat an earlier one."""
        return int(self._by_zeros[self._level :].sum()) << self._level


def _mask(level: int) -> np.uint64:
    return np.uint64((1 << level) - 1)


def _low(hashes: Hashes128) -> Hashes64:
    """The last 8 bytes of each hash as a number."""
    return np.ascontiguousarray(hashes[:, 8:]).view(">u8").reshape(-1).astype(np.uint64)


def _zeros(numbers: Hashes64) -> npt.NDArray[np.int64]:
    """How many zero bits each number ends with, 64 for zero itself."""
    lowest = numbers & (~numbers + np.uint64(1))
    counts = np.full(len(numbers), 64, dtype=np.int64)
    some = lowest > 0
    counts[some] = np.log2(lowest[some].astype(np.float64)).astype(np.int64)
    return counts
