"""A collection through Chroma's client of which a `where` leaves out records before they are sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa

from vecferry.contract import Source
from vecferry.forwarding import ForwardingSource
from vecferry.model import ALL_PARTS, Part, Slice
from vecferry.stores.chroma.slicing import IdList

__all__ = ["NarrowedSource"]

_Read = Callable[[IdList, Slice, frozenset[Part], int], Iterator[pa.RecordBatch]]


class NarrowedSource(ForwardingSource):
    """Reads the ids that a filter lists, listed anew for each slice; `close` leaves the store below open."""

    def __init__(self, inner: Source, listed: Callable[[], IdList], read: _Read) -> None:
        super().__init__(inner)
        self._listed, self._read = listed, read

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        return self._read(self._listed(), part, columns, batch_rows)

    def close(self) -> None:
        """Nothing."""
