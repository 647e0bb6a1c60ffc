"""Slices as ranges of ids in the order of their text, for collections that are read through a client.

Chroma has no range of ids, and its offset is as slow as it is large and skips rows when others are deleted
meanwhile. So all ids are listed once and the ranges are cut from the list; a border is part of the slice, so
that a slice covers the same ids for good, stored or not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecferry.errors import BadRecord
from vecferry.model import JsonObject, Slice

__all__ = ["IdList"]


class IdList:
    """All ids of a collection as they were when it was made, in the order of their UTF-8 bytes."""

    def __init__(self, ids: Sequence[str]) -> None:
        listed = pa.array(ids, pa.string())
        self._ids: pa.StringArray = listed.take(pc.sort_indices(listed))

    def __len__(self) -> int:
        return len(self._ids)

    def slices(self, n: int) -> list[Slice]:
        """At most `n` ranges of about equal size that together cover every id."""
        places = np.unique(np.linspace(0, len(self), max(n, 1) + 1).astype(np.int64))[1:-1].tolist()
        borders = [None, *(self._ids[place].as_py() for place in places), None]
        sizes = np.diff([0, *places, len(self)]).tolist()
        return [
            Slice(number, {"from": borders[number], "to": borders[number + 1]}, rows)
            for number, rows in enumerate(sizes)
        ]

    def within(self, bounds: JsonObject, url: str) -> pa.StringArray:
        """The ids of one range. Raises BadRecord for bounds that are not a range of ids."""
        if not {"from", "to"} <= bounds.keys():
            raise BadRecord(f"{url} cannot read the slice {dict(bounds)}", advice="slices of one reader are its own")
        start = self._place(bounds["from"], 0)
        return self._ids.slice(start, max(self._place(bounds["to"], len(self)) - start, 0))

    def _place(self, border: str | None, open_end: int) -> int:
        if border is None:
            return open_end
        return bisect_left(range(len(self)), border.encode(), key=lambda place: self._ids[place].as_py().encode())
