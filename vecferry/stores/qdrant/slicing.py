"""Slices as ranges of ids in Qdrant's own order: all integers ascending, then all UUIDs by their 128 bits.

A border may be any id, stored or not, so the ranges cover every id that could exist and never change.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

import pyarrow as pa

from vecferry import batch as columns
from vecferry.errors import BadRecord
from vecferry.model import IdKind, JsonObject, RecordId, Slice

__all__ = ["FIRST", "Range", "border_text", "cut", "plain_id", "range_of"]

FIRST = RecordId(IdKind.UINT64, "0")
_KINDS = {IdKind.UINT64: 0, IdKind.UUID: 1}


def order(record_id: RecordId) -> tuple[int, int]:
    """Where an id stands in Qdrant's order."""
    kind = _KINDS[record_id.kind]
    return kind, uuid.UUID(record_id.text).int if kind else int(record_id.text)


class Range:
    """Ids from `start` up to, not including, `stop` (None: to the end)."""

    def __init__(self, start: RecordId, stop: RecordId | None) -> None:
        self.start = start
        self.stop = stop
        self._stop = None if stop is None else order(stop)

    def holds(self, record_id: RecordId) -> bool:
        """Whether an id at or after `start` is before the end."""
        return self._stop is None or order(record_id) < self._stop

    def part_of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of a page, which is in Qdrant's order, that are before the end."""
        low, high = 0, batch.num_rows
        if not high or self.holds(_row_id(batch, high - 1)):
            return batch
        while low < high:
            middle = (low + high) // 2
            if self.holds(_row_id(batch, middle)):
                low = middle + 1
            else:
                high = middle
        return batch.slice(0, low)


def _row_id(batch: pa.RecordBatch, row: int) -> RecordId:
    return columns.record_ids(batch.slice(row, 1))[0]


def cut(sample: Sequence[RecordId], n: int) -> list[Slice]:
    """At most `n` slices of about equal size, their borders taken from a sample of the ids."""
    ordered = sorted(set(sample), key=order)
    places = sorted({len(ordered) * number // n for number in range(1, n)} - {0, len(ordered)})
    borders = [ordered[place] for place in places]
    starts, stops = [FIRST, *borders], [*borders, None]
    return [
        Slice(number, dict(_bounds(start, stop)))
        for number, (start, stop) in enumerate(zip(starts, stops, strict=True))
    ]


def _bounds(start: RecordId, stop: RecordId | None) -> Iterator[tuple[str, str]]:
    yield "from", border_text(start)
    if stop is not None:
        yield "before", border_text(stop)


def plain_id(record_id: RecordId) -> int | str:
    """An id as drivers and JSON take it."""
    return int(record_id.text) if record_id.kind is IdKind.UINT64 else record_id.text


def border_text(record_id: RecordId) -> str:
    """`uint64:7`, `uuid:...`."""
    return f"{record_id.kind}:{record_id.text}"


def range_of(bounds: JsonObject, url: str) -> Range:
    """The range that a stored slice describes. Raises BadRecord for bounds of another store."""
    try:
        stop = bounds.get("before")
        return Range(_border(str(bounds["from"])), None if stop is None else _border(str(stop)))
    except (KeyError, ValueError) as error:
        raise BadRecord(f"{url}: a slice is described by {dict(bounds)}, which is no range of its ids") from error


def _border(text: str) -> RecordId:
    kind, _, value = text.partition(":")
    border = RecordId(IdKind(kind), value)
    order(border)
    return border
