"""A collection of Chroma of which a filter leaves out records before they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa

from vecferry.contract import Source
from vecferry.forwarding import ForwardingSource
from vecferry.model import ALL_PARTS, Part, Slice

__all__ = ["NarrowedSource"]

_Read = Callable[[Slice, frozenset[Part], int], Iterator[pa.RecordBatch]]


class NarrowedSource(ForwardingSource):
    """Reads what its store's filter finds, asked anew for each slice; `close` leaves the store below open."""

    def __init__(self, inner: Source, read: _Read) -> None:
        super().__init__(inner)
        self._read = read

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        return self._read(part, columns, batch_rows)

    def close(self) -> None:
        """Nothing."""
