"""Where each id of an archive is: its part's number and its row in that part. 24 bytes a record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from vecferry.idtable import IdTable

__all__ = ["IdIndex"]

Hashes = npt.NDArray[np.uint8]


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
