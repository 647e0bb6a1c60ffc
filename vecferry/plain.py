"""Frozen data as plain JSON values and back: what the manifest, the ledger and reports store.

`to_plain` gives dicts, lists, text, numbers, booleans and None; sets are sorted, so that equal data
give equal text. `from_plain` is strict: a missing field, a wrong type or an unknown enum value is an
error; a field that a newer version added is ignored (whoever rewrites a document keeps it apart).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

__all__ = ["from_json", "from_plain", "to_json", "to_plain"]

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """JSON values of a dataclass, or of containers of them.

    Raises TypeError for what JSON has no type for, ValueError for NaN and infinities.
    """
    if isinstance(value, Enum):
        return to_plain(value.value)
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return _finite(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_key(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((to_plain(item) for item in value), key=json.dumps)
    raise TypeError(f"a value of type {type(value).__name__} has no plain form")


def from_plain(kind: type[T], data: Any) -> T:
    """An instance of `kind` from JSON values. Raises ValueError naming the field that is wrong."""
    return from_json(kind, json.dumps(data))


def to_json(value: Any) -> str:
    """`to_plain` as JSON text with sorted keys: equal data give equal text. Errors as there."""
    return json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"))


def from_json(kind: type[T], text: str | bytes) -> T:
    """An instance of `kind` from JSON text. Raises ValueError naming the field that is wrong."""
    try:
        return cast(T, _adapter(cast(Any, kind)).validate_json(text, strict=True))
    except ValidationError as error:
        name = getattr(kind, "__name__", str(kind))
        raise ValueError(f"not a {name}: {_first(error)}") from error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False)[0]
    place = ".".join(str(step) for step in found["loc"])
    return f"{place}: {found['msg']}" if place else found["msg"]


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} has no plain form: JSON has no NaN and no infinities")
    return value


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key of type {type(key).__name__} has no plain form; only text can be a key")
    return str(key)
