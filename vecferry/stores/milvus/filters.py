"""Filters over the primary key, and over groups of records, as text that Milvus parses.

They are written here because the official client escapes nothing: `delete(ids=["x', 'b"])` deletes the record `b`,
and its iterator loops for ever behind a key with a backslash. JSON has other escapes than Milvus.

A filter over groups takes at least the records of a condition, where Milvus has one: it compares 1, 1.0 and true as
equals in the dynamic field, which does no harm. What may be written in another way there (quotes, control characters,
floats), what is missing and what lies in a range is left to the reader.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pymilvus.grpc_gen import schema_pb2

from vecferry import canonical
from vecferry.conditions import Condition, Equals
from vecferry.model import IdKind
from vecferry.stores.milvus.layout import DYNAMIC, Key, Layout, Scalar

__all__ = ["MOST", "KeyFilter", "filter_of"]

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_LEAST, MOST = -(2**63), 2**63 - 1
_PLAIN_KEY = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_PLAIN_TEXT = re.compile(r"""[^\x00-\x1f\x7f"'\\\ud800-\udfff]*""")
_type = schema_pb2.DataType.Value
_TYPED: dict[type, frozenset[int]] = {
    str: frozenset({_type("VarChar"), _type("String")}),
    bool: frozenset({_type("Bool")}),
    int: frozenset({_type("Int64")}),
}
"""Types of fields that hold every value of a Python type; a narrower one takes no literal beyond its range."""


@dataclass(frozen=True, slots=True)
class KeyFilter:
    """Filters over one key. Ids are given as their canonical text."""

    key: Key

    def literal(self, text: str) -> str:
        """An id as Milvus reads it."""
        return text if self.key.kind is IdKind.INT64 else f'"{text.translate(_ESCAPES)}"'

    def among(self, ids: Sequence[str]) -> str:
        """Any of these ids."""
        if self.key.kind is IdKind.STRING or str(_LEAST) not in ids:
            return self._list(ids)
        # -2^63 is no literal: a minus before a number that is too large.
        least = f"{self.key.name} < {_LEAST + 1}"
        others = [text for text in ids if text != str(_LEAST)]
        return f"({self._list(others)} or {least})" if others else least

    def _list(self, ids: Sequence[str]) -> str:
        return f"{self.key.name} in [{', '.join(map(self.literal, ids))}]"

    def within(self, start: str | None, stop: str | None) -> str:
        """Ids from `start` up to, not including, `stop`; None is an open end. The empty text is an id, too."""
        upper = f" and {self.key.name} < {self.literal(stop)}" if stop is not None else ""
        if start is not None:
            return f"{self.key.name} >= {self.literal(start)}{upper}"
        if self.key.kind is IdKind.STRING:
            return f'{self.key.name} >= ""{upper}'
        return upper.removeprefix(" and ") or f"{self.key.name} <= {MOST}"

    def between(self, first: str, last: str) -> str:
        """Ids from `first` to `last`, both included."""
        upper = f"{self.key.name} <= {self.literal(last)}"
        if self.key.kind is IdKind.INT64 and first == str(_LEAST):
            return upper if last != first else self.among([first])
        return f"{self.key.name} >= {self.literal(first)} and {upper}"

    def after(self, last: str, stop: str | None) -> str:
        """Ids behind `last` up to, not including, `stop`."""
        if self.key.kind is IdKind.INT64:
            if last == str(MOST):
                return ""
            return self.within(str(int(last) + 1), stop)
        upper = f" and {self.key.name} < {self.literal(stop)}" if stop is not None else ""
        return f"{self.key.name} > {self.literal(last)}{upper}"


def filter_of(conditions: Sequence[Condition], beside: str, layout: Layout) -> str:
    """What takes at least all records of one of these conditions, and those with a text under `beside`; `""`: nothing
    does."""
    found = [_equal(condition, layout) for condition in conditions]
    if beside:
        found.append(f"exists {_dynamic(beside)}" if _PLAIN_KEY.fullmatch(beside) and layout.dynamic else "")
    return f"({' or '.join(found)})" if found and all(found) else ""


def _equal(condition: Condition, layout: Layout) -> str:
    if not isinstance(condition, Equals) or not _PLAIN_KEY.fullmatch(condition.field):
        return ""
    value = canonical.decode(condition.key)
    literal, scalar = _literal(value), _scalar(condition.field, layout)
    if not literal or condition.field in layout.names:
        return ""
    if scalar is None:
        return f"{_dynamic(condition.field)} == {literal}" if layout.dynamic else ""
    return f"{condition.field} == {literal}" if scalar.data_type in _TYPED[type(value)] else ""


def _scalar(field: str, layout: Layout) -> Scalar | None:
    return next((scalar for scalar in layout.scalars if scalar.field == field), None)


def _dynamic(key: str) -> str:
    return f'{DYNAMIC}["{key}"]'


def _literal(value: Any) -> str:
    """A value as Milvus reads it, `""` for one that it may read as another."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if _LEAST < value <= MOST else ""
    return f'"{value}"' if isinstance(value, str) and _PLAIN_TEXT.fullmatch(value) else ""
