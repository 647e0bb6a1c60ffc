"""What kind of payload value something is, for capabilities and profiles."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from vecferry.canonical import TAG
from vecferry.capabilities import PayloadType

__all__ = ["classify", "depth", "is_text", "numbers"]

_SCALARS = {
    type(None): PayloadType.NULL,
    bool: PayloadType.BOOL,
    int: PayloadType.INTEGER,
}
_LISTS = {
    str: PayloadType.STRING_LIST,
    int: PayloadType.INTEGER_LIST,
    float: PayloadType.FLOAT_LIST,
    bool: PayloadType.BOOL_LIST,
}


def is_text(value: str) -> bool:
    """Whether a string is Unicode text (without lone surrogates)."""
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def classify(value: Any) -> PayloadType:
    """The type of one decoded payload value (see `canonical.decode`).

    Whatever canonical JSON must tag, at any level below, makes the whole value SPECIAL.
    """
    kind = type(value)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if kind is str:
        return PayloadType.STRING if is_text(value) else PayloadType.SPECIAL
    if kind is float:
        return PayloadType.FLOAT if math.isfinite(value) else PayloadType.SPECIAL
    if kind is list:
        return _classify_list(value)
    if kind is dict and not _needs_tag(value):
        return PayloadType.OBJECT
    return PayloadType.SPECIAL


def _classify_list(value: list[Any]) -> PayloadType:
    if not value:
        return PayloadType.EMPTY_LIST
    kinds = set(map(type, value))
    found = _LISTS.get(kinds.pop(), PayloadType.MIXED_LIST) if len(kinds) == 1 else PayloadType.MIXED_LIST
    if found in (PayloadType.INTEGER_LIST, PayloadType.BOOL_LIST):
        return found
    if found is PayloadType.STRING_LIST and all(map(str.isascii, value)):
        return found
    return PayloadType.SPECIAL if any(map(_needs_tag, value)) else found


def _needs_tag(value: Any) -> bool:
    kind = type(value)
    if kind in _SCALARS:
        return False
    if kind is str:
        return not is_text(value)
    if kind is float:
        return not math.isfinite(value)
    if kind is list:
        return any(map(_needs_tag, value))
    if kind is dict:
        tagged = len(value) == 1 and TAG in value
        return tagged or not all(map(is_text, value)) or any(map(_needs_tag, value.values()))
    return True


def depth(value: Any) -> int:
    """Levels of nesting: 0 for a scalar, 1 for a list or an object of scalars."""
    if type(value) is dict:
        return 1 + max(map(depth, value.values()), default=0)
    if type(value) is list:
        return 1 + max(map(depth, value), default=0)
    return 0


def numbers(value: Any) -> Iterator[int | float]:
    """All integers and floats in a value, at any level (booleans are not numbers)."""
    kind = type(value)
    if kind is int or kind is float:
        yield value
    elif kind is dict:
        for item in value.values():
            yield from numbers(item)
    elif kind is list:
        for item in value:
            yield from numbers(item)
