"""Which payload keys and values a store holds as they are."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

from vecferry import canonical
from vecferry.capabilities import PayloadSupport, PayloadType
from vecferry.mapping import kinds

__all__ = ["Judge", "in_range", "judge", "key_problem"]

_MAX_REMEMBERED_KEYS = 10_000


class Judge:
    """Says of top-level keys and values whether they fit; remembers keys, and knows scalars by their type."""

    def __init__(self, support: PayloadSupport, reserved: frozenset[str]) -> None:
        self._support, self._reserved = support, reserved
        self._keys: dict[str, bool] = {}
        quick = {
            str: (PayloadType.STRING, kinds.is_text),
            int: (PayloadType.INTEGER, lambda value: in_range(support, value)),
            float: (PayloadType.FLOAT, self._float_fits),
            bool: (PayloadType.BOOL, lambda value: True),
        }
        self._quick: dict[type, Callable[[Any], bool]] = {
            python: check for python, (kind, check) in quick.items() if kind in support.types
        }

    def fits(self, key: str, value: Any) -> bool:
        """Whether the store gives this value back under this key."""
        good = self._keys.get(key)
        if good is None:
            good = self._remember(key)
        if not good:
            return False
        check = self._quick.get(type(value))
        return (check is not None and check(value)) or _value_fits(self._support, value)

    def _remember(self, key: str) -> bool:
        good = not key_problem(self._support, self._reserved, key)
        if len(self._keys) < _MAX_REMEMBERED_KEYS:
            self._keys[key] = good
        return good

    def _float_fits(self, value: float) -> bool:
        return math.isfinite(value) and (value != 0.0 or self._support.negative_zero)


@cache
def judge(support: PayloadSupport, reserved: frozenset[str]) -> Judge:
    """The judge of a store's support and the keys that the mapping itself writes."""
    return Judge(support, reserved)


def key_problem(support: PayloadSupport, reserved: frozenset[str], key: str) -> str:
    """Why a store cannot hold a top-level key, in words; `""` when it can."""
    if key in reserved:
        return "vecferry uses this key itself"
    if key in support.reserved_keys or any(prefix and key.startswith(prefix) for prefix in support.reserved_prefixes):
        return "the key is reserved"
    if not key and not support.empty_key:
        return "the key is empty"
    if support.max_key_bytes is not None and len(key) * 4 > support.max_key_bytes:
        size_bytes = len(key.encode("utf-8", "surrogatepass"))
        if size_bytes > support.max_key_bytes:
            return f"the key has {size_bytes:,} bytes, {support.max_key_bytes:,} are taken"
    if PayloadType.SPECIAL not in support.types and (key == canonical.TAG or not kinds.is_text(key)):
        return "JSON cannot say the key"
    return ""


def _value_fits(support: PayloadSupport, value: Any) -> bool:
    kind = kinds.classify(value)
    if kind not in support.types:
        return False
    if kind in (PayloadType.STRING, PayloadType.STRING_LIST) and support.max_depth is None:
        return True
    if support.max_depth is not None and 1 + kinds.depth(value) > support.max_depth:
        return False
    if not support.empty_key and _has_empty_key(value):
        return False
    return all(_number_fits(support, number) for number in kinds.numbers(value))


def _number_fits(support: PayloadSupport, number: float) -> bool:
    if isinstance(number, int):
        return in_range(support, number)
    return support.negative_zero or number != 0.0 or math.copysign(1.0, number) > 0


def in_range(support: PayloadSupport, number: int) -> bool:
    """Whether a store holds an integer."""
    low, high = support.integer_min, support.integer_max
    return (low is None or number >= low) and (high is None or number <= high)


def _has_empty_key(value: Any) -> bool:
    if isinstance(value, dict):
        return "" in value or any(map(_has_empty_key, value.values()))
    return isinstance(value, list) and any(map(_has_empty_key, value))
