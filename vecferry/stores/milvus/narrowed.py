"""A collection of Milvus of which a filter, or the choice of a partition, leaves out records before they are sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from vecferry.contract import Source
from vecferry.forwarding import ForwardingSource
from vecferry.model import ALL_PARTS, Part, Slice

__all__ = ["NarrowedSource", "Narrower"]


@dataclass(frozen=True, slots=True)
class Narrower:
    """Which records are read: of a filter (`""`: all), of one partition (None: all)."""

    expression: str = ""
    partition: str | None = None

    def within(self, expression: str) -> str:
        """A filter over keys, and this one."""
        return f"{expression} and {self.expression}" if self.expression else expression


class _Pages(Protocol):
    def __call__(
        self, part: Slice, columns: frozenset[Part], batch_rows: int, only: Narrower
    ) -> Iterator[pa.RecordBatch]: ...


class NarrowedSource(ForwardingSource):
    """Reads with a filter; `close` leaves the store below open, whose it is."""

    def __init__(self, inner: Source, pages: _Pages, only: Narrower) -> None:
        super().__init__(inner)
        self._pages, self._only = pages, only

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        return self._pages(part, columns, batch_rows, self._only)

    def close(self) -> None:
        """Nothing."""
