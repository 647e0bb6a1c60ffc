"""Payload texts as the values that go to Qdrant, with everything refused that it would change or choke on."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import canonical

__all__ = ["INT64_MAX", "MAX_DEPTH", "UINT64_MAX", "Unfit", "payload_values"]

# Python's gRPC client reads 32 nested objects; a server that stored 127 levels does not start again.
MAX_DEPTH = 32
INT64_MAX = 2**63 - 1
UINT64_MAX = 2**64 - 1
_INT64_MIN = -(2**63)
# Rows that may hold an integer beyond 64 bits, a value that JSON cannot say, or a lone surrogate.
_SUSPECT = r"[0-9]{19}|\$vecferry"


class Unfit(ValueError):
    """A row that Qdrant cannot hold as it is. `row` counts from 0."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row = row
        self.reason = reason


def payload_values(texts: pa.StringArray, integer_max: int) -> list[dict[str, Any]]:
    """The values of canonical payload texts, parsed with one call for all where that is exact.

    Raises Unfit for what the engine would refuse late or change in silence: NaN, bytes, integers beyond
    -2^63 to `integer_max`, nesting deeper than MAX_DEPTH (the payload itself is level 1).
    """
    values: list[dict[str, Any]] = canonical.decode_many(texts.cast(pa.binary()).to_pylist())
    for row in _suspects(texts):
        reason = _misfit(values[row], integer_max, MAX_DEPTH)
        if reason:
            raise Unfit(row, f"its payload has {reason}")
    return values


def _suspects(texts: pa.StringArray) -> list[int]:
    brackets = pc.add(pc.count_substring(texts, "{"), pc.count_substring(texts, "["))
    found = pc.or_(pc.match_substring_regex(texts, _SUSPECT), pc.greater(brackets, MAX_DEPTH))
    rows: list[int] = np.flatnonzero(found.to_numpy(zero_copy_only=False)).tolist()
    return rows


def _misfit(value: Any, integer_max: int, depth_left: int) -> str:
    """Why a value cannot be held, or nothing."""
    if isinstance(value, dict | list):
        if not depth_left:
            return f"more than {MAX_DEPTH} levels of nesting"
        children = [*value, *value.values()] if isinstance(value, dict) else value
        return next(filter(None, (_misfit(child, integer_max, depth_left - 1) for child in children)), "")
    if isinstance(value, bool) or value is None:
        return ""
    if isinstance(value, int):
        return "" if _INT64_MIN <= value <= integer_max else f"the integer {value}, which does not fit"
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"the number {value}, which JSON cannot say"
    if isinstance(value, str):
        return "" if value.isascii() or _is_unicode(value) else "text with a lone surrogate"
    return f"a value of type {type(value).__name__}, which JSON cannot say"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
