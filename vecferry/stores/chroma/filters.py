"""Conditions as Chroma's `where` that takes at least the same records, where there is one.

Texts, integers and booleans are compared by type and value. Chroma has no filter for a missing key, and it reads the
decimal text of a float inexactly twice, once stored and once asked for: those are left to the reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vecferry import canonical
from vecferry.conditions import Condition, Equals

__all__ = ["values_of", "where_of"]

_INT64 = range(-(2**63), 2**63)
_OPERATORS = ("$", "#", "chroma:")


def where_of(conditions: Sequence[Condition]) -> dict[str, Any] | None:
    """What takes at least all records of one of these conditions, at least one of them."""
    values = values_of(conditions)
    if values is None:
        return None
    wanted = [{field: {"$eq": value}} for field, value in values]
    return wanted[0] if len(wanted) == 1 else {"$or": wanted}


def values_of(conditions: Sequence[Condition]) -> list[tuple[str, str | int | bool]] | None:
    """The keys and values of these conditions, at least one; None where one of them is no value to be asked for."""
    found = [_value(condition) for condition in conditions]
    values = [pair for pair in found if pair is not None]
    return values if values and len(values) == len(found) else None


def _value(condition: Condition) -> tuple[str, str | int | bool] | None:
    if not isinstance(condition, Equals) or not condition.field or condition.field.startswith(_OPERATORS):
        return None
    value = canonical.decode(condition.key)
    return (condition.field, value) if _is_unicode(condition.field) and _can_be_asked(value) else None


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _can_be_asked(value: Any) -> bool:
    if isinstance(value, str):
        return _is_unicode(value)
    return isinstance(value, bool) or (isinstance(value, int) and value in _INT64)
