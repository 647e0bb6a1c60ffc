"""How large something of the records gets: counts by power of two, and the greatest with its record's id."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
import numpy.typing as npt

__all__ = ["Extent", "measured"]

Sizes = npt.NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Extent:
    """Sizes that were observed. `counts[k]`: those above 2^(k-1) and up to 2^k, `counts[0]` those up to 1.

    `greatest` is exact, `example` the id of the record that has it. Sizes up to `floor` were not looked at one by one
    and are not counted; `greatest` is then 0.
    """

    counts: tuple[int, ...] = ()
    greatest: int = 0
    example: str = ""
    floor: int = 0

    def above(self, limit: int) -> tuple[int, int]:
        """At least and at most how many sizes are above `limit`: equal where that is a power of two.

        Meaningless for a limit below `floor`.
        """
        if self.greatest <= limit:
            return 0, 0
        power = (max(limit, 1) - 1).bit_length()  # the least k with limit <= 2^k
        least, most = sum(self.counts[power + 1 :]), sum(self.counts[power:])
        return (least, least) if limit == 2**power else (max(least, 1), most)

    def __add__(self, other: Extent) -> Extent:
        greater = self if self.greatest >= other.greatest else other
        counts = tuple(map(sum, zip_longest(self.counts, other.counts, fillvalue=0)))
        return Extent(counts, greater.greatest, greater.example, max(self.floor, other.floor))


def measured(sizes: Sizes, named: Callable[[int], str], floor: int = 0) -> Extent:
    """The extent of `(n,)` sizes without those up to `floor`; `named` gives the id of the record at a position."""
    if not len(sizes) or (floor and sizes.max() <= floor):
        return Extent(floor=floor)
    greatest = int(np.argmax(sizes))
    counted = sizes[sizes > floor] if floor else sizes
    powers = np.frexp(np.maximum(counted - 1, 0).astype(np.float64))[1]
    return Extent(tuple(np.bincount(powers).tolist()), int(sizes[greatest]), named(greatest), floor)
