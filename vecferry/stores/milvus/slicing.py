"""Slices as ranges of keys in Milvus's order: numbers ascending, texts by their bytes of UTF-8.

A border is part of the slice, so that a slice covers the same ids for good, stored or not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from vecferry.errors import BadRecord
from vecferry.model import IdKind, JsonObject, Slice

__all__ = ["Cut", "Range", "cut", "range_of"]

_KEPT = 4096  # keys that are remembered while all of them pass by


@dataclass(frozen=True, slots=True)
class Range:
    """Ids from `start` up to, not including, `stop`; None is an open end."""

    start: str | None
    stop: str | None


@dataclass(frozen=True, slots=True)
class Cut:
    """Slices that cover every id that could exist, and how many keys were seen."""

    slices: list[Slice]
    seen: int


def cut(pages: Iterable[pa.StringArray], n: int, kind: IdKind) -> Cut:
    """At most `n` slices of about equal size; the pages give all keys in order, of which only some are kept."""
    borders, seen = _borders(pages, n)
    starts, stops = [None, *borders], [*borders, None]
    slices = [
        Slice(number, {"kind": kind.value, "from": start, "before": stop})
        for number, (start, stop) in enumerate(zip(starts, stops, strict=True))
    ]
    return Cut(slices, seen)


def _borders(pages: Iterable[pa.StringArray], n: int) -> tuple[list[str], int]:
    """The borders, and the number of keys. Every `step`-th key is kept; of too many, every second one goes."""
    kept: list[str] = []
    step, seen = 1, 0
    for page in pages:
        first = -seen % step
        kept += page.take(pa.array(range(first, len(page), step))).to_pylist()
        seen += len(page)
        while len(kept) > max(_KEPT, 2 * n):
            kept, step = kept[::2], 2 * step
    places = sorted({len(kept) * number // n for number in range(1, n)} - {0, len(kept)})
    return [kept[place] for place in places], seen


def range_of(bounds: JsonObject, kind: IdKind, url: str) -> Range:
    """The range that a stored slice describes. Raises BadRecord for bounds of another store or kind of key."""
    if bounds.get("kind") != kind.value or not {"from", "before"} <= bounds.keys():
        raise BadRecord(f"{url}: a slice is described by {dict(bounds)}, which is no range of its {kind.value} keys")
    return Range(bounds["from"], bounds["before"])
