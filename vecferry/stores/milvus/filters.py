"""Filters over the primary key, as text that Milvus parses.

They are written here because the official client escapes nothing: `delete(ids=["x', 'b"])` deletes the record `b`,
and its iterator loops for ever behind a key with a backslash. JSON has other escapes than Milvus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vecferry.model import IdKind
from vecferry.stores.milvus.layout import Key

__all__ = ["MOST", "KeyFilter"]

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})
_LEAST, MOST = -(2**63), 2**63 - 1


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
