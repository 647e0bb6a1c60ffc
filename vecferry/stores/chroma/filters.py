"""Conditions as Chroma's `where` that takes at least the same records, where there is one.

Texts, integers and booleans are compared by type and value. Chroma has no filter for a missing key, and it reads the
decimal text of a float inexactly twice, once stored and once asked for: those are left to the reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vecferry import canonical
from vecferry.conditions import Condition, Equals

__all__ = ["where_of"]

_INT64 = range(-(2**63), 2**63)
_OPERATORS = ("$", "#", "chroma:")


def where_of(conditions: Sequence[Condition]) -> dict[str, Any] | None:
    """What takes at least all records of one of these conditions, at least one of them."""
    found = [_equal(condition) for condition in conditions]
    wanted = [item for item in found if item is not None]
    if not wanted or len(wanted) < len(found):
        return None
    return wanted[0] if len(wanted) == 1 else {"$or": wanted}


def _equal(condition: Condition) -> dict[str, Any] | None:
    if not isinstance(condition, Equals) or not condition.field or condition.field.startswith(_OPERATORS):
        return None
    value = canonical.decode(condition.key)
    return {condition.field: {"$eq": value}} if _can_be_asked(value) else None


def _can_be_asked(value: Any) -> bool:
    if isinstance(value, str):
        return not any("\ud800" <= char <= "\udfff" for char in value)
    return isinstance(value, bool) or (isinstance(value, int) and value in _INT64)
