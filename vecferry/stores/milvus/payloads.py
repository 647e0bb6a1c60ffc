"""Payloads: the dynamic field and the typed fields of a record as canonical JSON, and what Milvus would not keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import canonical
from vecferry.stores import json_text
from vecferry.stores.milvus.layout import DYNAMIC

__all__ = ["INTERNAL_KEYS", "MAX_DEPTH", "Unfit", "dynamic_texts", "misfit", "typed_texts"]

# milvus-lite unwraps the first and drops the others without a word; a server refuses the first.
INTERNAL_KEYS = frozenset({DYNAMIC, "_seq", "_partition"})

MAX_DEPTH = 100
"""Levels of objects and lists that every Milvus takes; milvus-lite reads JSON by recursion and fails below 1,000."""

# A record whose maker sent no dynamic field, or JSON's null in it: servers keep that as it came.
_NOTHING = frozenset({b"", b"null"})
_INT64 = range(-(2**63), 2**63)


class Unfit(ValueError):
    """A payload that Milvus would change or refuse: in which row, and why."""

    def __init__(self, row: int, reason: str) -> None:
        super().__init__(reason)
        self.row, self.reason = row, reason


def misfit(payloads: pa.StringArray, names: frozenset[str], max_bytes: int | None) -> Unfit | None:
    """The first payload that cannot be kept as it is. `names` are the fields of the collection."""
    sizes = pc.binary_length(payloads).to_numpy(zero_copy_only=False)
    if max_bytes is not None and len(sizes) and sizes.max() > max_bytes:
        row = int(np.argmax(sizes))
        return Unfit(row, f"its payload has {sizes[row]:,} bytes; Milvus takes {max_bytes:,}")
    taken = names | INTERNAL_KEYS
    keys = "|".join(canonical.encode(key).decode()[1:-1].replace("$", "[$]") for key in sorted(taken))
    pattern = rf'"(?:{keys})":|"[$]vecferry"|[0-9]{{19}}'
    suspects = pc.match_substring_regex(payloads, pattern).to_numpy(zero_copy_only=False)
    opened = pc.add(pc.count_substring(payloads, "["), pc.count_substring(payloads, "{"))
    for row in np.flatnonzero(suspects | (opened.to_numpy(zero_copy_only=False) > MAX_DEPTH)).tolist():
        text = payloads[row].as_py().encode()
        reason = _reason(canonical.to_json(text), taken)
        if reason:
            return Unfit(row, reason)
    return None


def _reason(value: Mapping[str, Any], taken: frozenset[str]) -> str:
    clash = sorted(taken & value.keys())
    if clash:
        return f"the key {clash[0]!r} is the name of a field"
    return next(filter(None, map(_value_reason, _walk(value, 1))), "")


def _walk(value: Any, depth: int) -> Iterator[tuple[Any, int]]:
    yield value, depth
    if depth > MAX_DEPTH:
        return
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _walk(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item, depth + 1)


def _value_reason(found: tuple[Any, int]) -> str:
    value, depth = found
    if depth > MAX_DEPTH and isinstance(value, Mapping | list):
        return f"its payload is nested more than {MAX_DEPTH} deep"
    if isinstance(value, Mapping) and canonical.TAG in value:
        return "its payload holds a value that JSON cannot say"
    if isinstance(value, int) and value not in _INT64:
        return f"the integer {value} is beyond int64"
    return ""


def dynamic_texts(texts: Sequence[bytes]) -> list[bytes]:
    """Canonical texts of the dynamic field of `n` records, with two C calls a page and one a row where that is exact.

    Raises Unfit for a value that is no JSON object.
    """
    joined = b"[" + b",".join(texts) + b"]"
    values = json_text.parse_quickly(joined)
    if values is not None and len(values) == len(texts) and all(type(value) is dict for value in values):
        quick = [json_text.quick_text(value) for value in values]
        found = [text for text in quick if text is not None]
        whole = b",".join(found)
        if len(found) == len(texts) and json_text.is_exact(joined, whole.count(b":"), b"[" + whole):
            return found
    return [_strictly(text, row) for row, text in enumerate(texts)]


def _strictly(text: bytes, row: int) -> bytes:
    try:
        return json_text.object_text(text) if text not in _NOTHING else b"{}"
    except ValueError as error:
        raise Unfit(row, f"its dynamic field cannot be read: {error}") from error


def typed_texts(columns: Mapping[str, Sequence[Any]], dynamic: Sequence[bytes]) -> list[bytes]:
    """Canonical texts of typed fields, each with `n` values, together with the dynamic field's texts.

    Raises Unfit for a key that stands in both: only one of its values could be kept.
    """
    names = list(columns)
    rows = zip(*columns.values(), strict=True)
    found = []
    for row, (values, text) in enumerate(zip(rows, dynamic, strict=True)):
        payload = canonical.decode(text) if text != b"{}" else {}
        twice = payload.keys() & columns.keys()
        if twice:
            raise Unfit(row, f"the key {min(twice)!r} has a field of its own and stands among the dynamic ones")
        found.append(canonical.encode(payload | dict(zip(names, values, strict=True))))
    return found
