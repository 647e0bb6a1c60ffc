"""Whether the target still tells the groups of records apart once a mapping has rewritten their payloads."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from vecferry import batch as columns
from vecferry import canonical
from vecferry.conditions import Between, Condition, Equals, Others, value_texts
from vecferry.errors import BadRecord
from vecferry.mapping import Mapping, floats
from vecferry.mapping.document import DocumentFromPayload
from vecferry.mapping.draft import Draft
from vecferry.model import IdKind

__all__ = ["not_carried", "side_key"]

_SHOWN = 60
_NEIGHBOURS = 4


def not_carried(conditions: Sequence[Condition], mapping: Mapping) -> str:
    """Why records cannot be told apart by these conditions in the target, in a sentence; `""` where they can.

    Every value goes through the mapping's payload codec, there and back, as the target would give it back. A store
    that reads floats inexactly moves them by a unit or two in the last place: none may move over a border.
    """
    crossing = next(filter(None, (_crossing(one, mapping) for one in _ranges(conditions))), "")
    if crossing:
        return crossing
    for field in dict.fromkeys(condition.field for condition in conditions):
        texts = dict.fromkeys(_texts(condition for condition in conditions if condition.field == field))
        try:
            found = _there_and_back(field, list(texts), mapping)
        except BadRecord as error:
            return f"the target cannot hold every value of {field!r}: {error}"
        for before, after in zip(texts, found, strict=True):
            if before != after:
                return (
                    f"the value {_short(before)} of {field!r} is {_short(after)} in the target, where its records "
                    "could not be told from others"
                )
    return ""


def side_key(field: str, mapping: Mapping) -> str:
    """The key of the target's payload that holds values of `field` as text where they do not stand under it.

    `""` where they may stand elsewhere.
    """
    document = mapping.document
    elsewhere = isinstance(document, DocumentFromPayload) and document.field == field
    return "" if elsewhere else mapping.payload.field


def _texts(conditions: Iterable[Condition]) -> Iterator[str]:
    """The values of groups, as canonical text."""
    for condition in conditions:
        if isinstance(condition, Equals):
            yield condition.key
        elif isinstance(condition, Others):
            yield from _texts(condition.conditions)


def _ranges(conditions: Iterable[Condition]) -> Iterator[Between]:
    for condition in conditions:
        if isinstance(condition, Between):
            yield condition
        elif isinstance(condition, Others):
            yield from _ranges(condition.conditions)


def _crossing(found: Between, mapping: Mapping) -> str:
    """Why a float next to a border of a range of numbers would change sides; `""` where none does."""
    passes = floats.PASSES[mapping.payload.support.float_text]
    for border in (found.start, found.end):
        if isinstance(border, int | float):
            for number in _near(border):
                if (floats.predict(number, passes) < border) is not (number < border):
                    return f"the target stores {number!r} on the other side of the border {border} of {found.field!r}"
    return ""


def _near(border: float) -> Iterator[float]:
    if abs(border) > sys.float_info.max:
        return
    yield (below := (above := float(border)))
    for _ in range(_NEIGHBOURS):
        below, above = math.nextafter(below, -math.inf), math.nextafter(above, math.inf)
        yield from (number for number in (below, above) if math.isfinite(number))


def _there_and_back(field: str, texts: Sequence[str], mapping: Mapping) -> list[str | None]:
    payloads = [canonical.encode({field: canonical.decode(text)}) for text in texts]
    ids = [str(number) for number in range(len(texts))]
    there = Draft(columns.make(ids, IdKind.STRING, payloads=pa.array(payloads, pa.binary())))
    mapping.payload.encode(there)
    sent = there.finish()
    stored = mapping.payload.predicted(sent.column(columns.PAYLOAD))
    back = Draft(columns.make(ids, IdKind.STRING, payloads=stored))
    mapping.payload.decode(back)
    found: list[str | None] = value_texts(back.finish().column(columns.PAYLOAD), field).to_pylist()
    return found


def _short(text: str | None) -> str:
    if text is None:
        return "missing"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
