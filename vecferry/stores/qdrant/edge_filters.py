"""Filters over groups of records in the terms of the embedded engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import qdrant_edge as engine
from qdrant_client import models

from vecferry.conditions import Condition
from vecferry.stores.qdrant.filters import filter_of

__all__ = ["edge_filter"]

# Of its indexes the engine tells no settings: as if each were of a type that answers for no value.
_ANY_INDEX = models.PayloadIndexInfo(data_type=models.PayloadSchemaType.GEO, points=0)


def edge_filter(conditions: Sequence[Condition], beside: str, indexed: Iterable[str]) -> engine.Filter | None:
    """What takes at least all records of one of these conditions, and those with a text under `beside`."""
    found = filter_of(conditions, beside, dict.fromkeys(indexed, _ANY_INDEX))
    return None if found is None else _filter(found)


def _filter(found: models.Filter) -> engine.Filter:
    return engine.Filter(should=_clause(found.should), must_not=_clause(found.must_not))


def _clause(conditions: Any) -> list[Any] | None:
    return list(map(_condition, conditions)) if conditions else None


def _condition(found: Any) -> Any:
    if isinstance(found, models.Filter):
        return _filter(found)
    if isinstance(found, models.IsEmptyCondition):
        return engine.IsEmptyCondition(found.is_empty.key)
    if isinstance(found, models.IsNullCondition):
        return engine.IsNullCondition(found.is_null.key)
    if found.match is None:
        return engine.FieldCondition(found.key, range=engine.RangeFloat(gte=found.range.gte, lte=found.range.lte))
    # The engine takes Python's bool for the integer that it is; numpy's is none.
    value: Any = np.bool_(found.match.value) if isinstance(found.match.value, bool) else found.match.value
    return engine.FieldCondition(found.key, match=engine.MatchValue(value))
