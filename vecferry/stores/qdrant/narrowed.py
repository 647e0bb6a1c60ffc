"""A collection of a server of which a filter leaves out records before they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import pyarrow as pa
from qdrant_client import models

from vecferry.contract import Source
from vecferry.forwarding import ForwardingSource
from vecferry.model import ALL_PARTS, Part, Slice

__all__ = ["NarrowedSource"]


class _Pages(Protocol):
    def __call__(
        self, part: Slice, columns: frozenset[Part], batch_rows: int, only: models.Filter
    ) -> Iterator[pa.RecordBatch]: ...


class NarrowedSource(ForwardingSource):
    """Reads with a filter; `close` leaves the store below open, whose it is."""

    def __init__(self, inner: Source, pages: _Pages, only: models.Filter) -> None:
        super().__init__(inner)
        self._pages, self._only = pages, only

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        return self._pages(part, columns, batch_rows, self._only)

    def close(self) -> None:
        """Nothing."""
