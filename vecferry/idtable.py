"""Ids as sorted 16-byte hashes: is an id known, and where does it stand. 24 bytes an id in memory."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

__all__ = ["IdTable"]

Hashes = npt.NDArray[np.uint8]
Halves = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]


class IdTable:
    """The ids given at the start, numbered in their order from 0."""

    def __init__(self, blocks: Iterable[Hashes]) -> None:
        """`blocks` are id hashes, `(n, 16) uint8` each (`sealing.hash_ids`)."""
        pairs = [_halves(block) for block in blocks] or [_halves(np.zeros((0, 16), np.uint8))]
        high = np.concatenate([pair[0] for pair in pairs])
        low = np.concatenate([pair[1] for pair in pairs])
        self._places: Places = np.lexsort((low, high))
        self._high, self._low = high[self._places], low[self._places]

    def __len__(self) -> int:
        return len(self._high)

    def find(self, hashes: Hashes) -> Places:
        """The number of each id, `(n,) int64`; -1 where it is not known."""
        high, low = _halves(hashes)
        found = np.full(len(high), -1, dtype=np.int64)
        at = np.searchsorted(self._high, high, side="left")
        rows = np.flatnonzero(at < len(self))
        # One round, unless two different ids share the first 64 bits.
        while len(rows):
            places = at[rows]
            same_high = self._high[places] == high[rows]
            hit = same_high & (self._low[places] == low[rows])
            found[rows[hit]] = self._places[places[hit]]
            rows = rows[same_high & ~hit]
            at[rows] += 1
            rows = rows[at[rows] < len(self)]
        return found

    def absent(self, hashes: Hashes) -> npt.NDArray[np.bool_]:
        """`(n,) bool`: which ids are not known."""
        return self.find(hashes) < 0


def _halves(block: Hashes) -> tuple[Halves, Halves]:
    """Hashes as two columns of native 64-bit numbers, in the order of their bytes."""
    pairs = np.ascontiguousarray(block).view(">u8").reshape(-1, 2).astype(np.uint64)
    return pairs[:, 0], pairs[:, 1]
