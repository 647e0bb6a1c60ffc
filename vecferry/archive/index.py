"""Where each id of an archive is: the number of its part or delta, and its row there. 24 bytes a record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from vecferry.idtable import IdTable

__all__ = ["IdIndex", "Overlay"]

Hashes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class IdIndex:
    """The ids of parts, given as part number and id hashes `(n, 16) uint8` in row order."""

    def __init__(self, parts: Iterable[tuple[int, Iterable[Hashes]]]) -> None:
        self._numbers: list[int] = []
        self._ends: list[int] = []
        self._ids = IdTable(self._blocks(parts))

    def _blocks(self, parts: Iterable[tuple[int, Iterable[Hashes]]]) -> Iterator[Hashes]:
        """All blocks in order; remembers after how many ids each part ends."""
        end = 0
        for number, blocks in parts:
            for block in blocks:
                end += len(block)
                yield block
            self._numbers.append(number)
            self._ends.append(end)

    def __len__(self) -> int:
        return len(self._ids)

    def find(self, hashes: Hashes) -> dict[int, list[int]]:
        """Rows by part number, ascending, of those of the `(n, 16) uint8` hashes that are here."""
        places = np.unique(self._ids.find(hashes))
        places = places[places >= 0]
        parts = np.searchsorted(self._ends, places, side="right")
        rows = places - np.array([0, *self._ends])[parts]
        return {self._numbers[part]: rows[parts == part].tolist() for part in np.unique(parts).tolist()}

    def absent(self, hashes: Hashes) -> Mask:
        """`(n,) bool`: which ids are not here."""
        return self._ids.absent(hashes)


class Overlay:
    """The ids that deltas name, and the last delta that names each."""

    def __init__(self, numbers: Sequence[int], ids: Callable[[int], Iterable[Hashes]]) -> None:
        """`numbers` are the deltas in the order of closing, `ids(number)` gives the id hashes of one in row order."""
        self.numbers = tuple(numbers)
        # An index knows the first place of an id: the last delta comes first.
        self._index = IdIndex((number, ids(number)) for number in reversed(self.numbers))

    def __len__(self) -> int:
        return len(self._index)

    def find(self, hashes: Hashes) -> dict[int, list[int]]:
        """Rows by delta number, ascending, of the last word on those of the ids that are here."""
        return self._index.find(hashes) if len(self) else {}

    def absent(self, hashes: Hashes) -> Mask:
        """`(n,) bool`: which ids no delta names."""
        return self._index.absent(hashes)

    def last(self, number: int, start: int, hashes: Hashes) -> Mask:
        """`(n,) bool`: which rows of a delta, from `start` on and with these id hashes, no later delta names."""
        mask = np.zeros(len(hashes), dtype=np.bool_)
        mask[np.array(self.find(hashes).get(number, []), dtype=np.int64) - start] = True
        return mask
