"""Conditions as a filter of the engine that takes at least the same records, where Qdrant has one.

Qdrant's filters take more than a condition does (a list with the value in it, a null for a missing key), which does
no harm; here stands only what never takes less. Where a payload index answers, it knows values of its own type alone:
a float is invisible to an index of integers. So an index must be of the value's type, and there must be none for
numbers of either kind. Dates are read by other rules than ours, and a rest of groups is what a filter takes too much.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

from qdrant_client import models

from vecferry import canonical
from vecferry.conditions import Between, Condition, Equals, Missing

__all__ = ["filter_of", "is_allowed"]

_PLAIN_KEY = re.compile("[A-Za-z0-9_-]+")  # any other key is a path, or needs quotes that not every server reads
_INT64 = range(-(2**63), 2**63)
_MOST = 1.7976931348623157e308

Indexes = Mapping[str, models.PayloadIndexInfo]


def filter_of(conditions: Sequence[Condition], beside: str, indexes: Indexes) -> models.Filter | None:
    """What takes at least all records of one of these conditions, and those with a text under `beside`."""
    found = [_condition(condition, indexes) for condition in conditions]
    if beside:
        found.append(_present(beside))
    wanted = [item for item in found if item is not None]
    return models.Filter(should=wanted) if wanted and len(wanted) == len(found) else None


def is_allowed(keys: Set[str], conditions: int, info: models.CollectionInfo) -> bool:
    """Whether a collection's strict mode takes a filter over these payload keys, of so many conditions."""
    strict = info.config.strict_mode_config
    if strict is None or not strict.enabled:
        return True
    most = strict.filter_max_conditions
    if most is not None and conditions > most:
        return False
    return strict.unindexed_filtering_retrieve is not False or keys <= info.payload_schema.keys()


def _condition(condition: Condition, indexes: Indexes) -> Any:
    """A condition of the engine, or None."""
    if not _PLAIN_KEY.fullmatch(condition.field):
        return None
    index = indexes.get(condition.field)
    if isinstance(condition, Missing):
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=condition.field))
    if isinstance(condition, Between):
        return None if condition.dated or index else _range(condition.field, condition.start, condition.end)
    return _equal(condition, index) if isinstance(condition, Equals) else None


def _equal(condition: Equals, index: models.PayloadIndexInfo | None) -> Any:
    value = canonical.decode(condition.key)
    if value is None:
        return models.IsNullCondition(is_null=models.PayloadField(key=condition.field))
    if isinstance(value, float) and index is None:
        return _range(condition.field, value, value)
    kind = _index_type(value)
    if kind is None or (index is not None and (index.data_type is not kind or not _looks_up(index))):
        return None
    return models.FieldCondition(key=condition.field, match=models.MatchValue(value=value))


def _index_type(value: Any) -> models.PayloadSchemaType | None:
    """The type of index that knows a value that can be matched; None for one that cannot."""
    if isinstance(value, bool):
        return models.PayloadSchemaType.BOOL
    if isinstance(value, int):
        return models.PayloadSchemaType.INTEGER if value in _INT64 else None
    if isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value):
        return models.PayloadSchemaType.KEYWORD
    return None


def _looks_up(index: models.PayloadIndexInfo) -> bool:
    """Whether an index answers for single values: one of integers may be made for ranges alone."""
    return getattr(index.params, "lookup", True) is not False


def _range(field: str, start: Any, end: Any) -> models.FieldCondition | None:
    """Numbers between these, both included, compared as doubles: rounding keeps the order."""
    try:
        low, high = (None if border is None else float(border) for border in (start, end))
    except OverflowError:
        return None
    if any(border is not None and not abs(border) <= _MOST for border in (low, high)):
        return None
    return models.FieldCondition(key=field, range=models.Range(gte=low, lte=high))


def _present(key: str) -> models.Filter | None:
    """Records with something under a key that is neither null nor an empty list."""
    if not _PLAIN_KEY.fullmatch(key):
        return None
    return models.Filter(must_not=[models.IsEmptyCondition(is_empty=models.PayloadField(key=key))])
