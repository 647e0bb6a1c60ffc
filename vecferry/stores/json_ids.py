"""Ids as JSON writes them: which typed id a value is. Shared by every store whose ids stand in JSON."""

from __future__ import annotations

import re
import uuid
from typing import Any

from vecferry.model import IdKind

__all__ = ["default_kind", "stated_id", "typed_id", "unicode_text"]

_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1
_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


def typed_id(value: Any, *, uuids: bool) -> tuple[str, IdKind]:
    """The id that a JSON value is; `uuids`: text that is a UUID is one. Raises ValueError for what cannot be an id."""
    if isinstance(value, str):
        if uuids and _UUID.fullmatch(value):
            return str(uuid.UUID(value)), IdKind.UUID
        return unicode_text(value), IdKind.STRING
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"the id {value!r} is neither text nor an integer")
    if not _INT64_MIN <= value <= _UINT64_MAX:
        raise ValueError(f"the id {value} does not fit 64 bits")
    return str(value), IdKind.UINT64 if value >= 0 else IdKind.INT64


def default_kind(kind: IdKind, text: str) -> bool:
    """Whether a line without `id_kind` would be read as this kind."""
    return kind in (IdKind.STRING, IdKind.UINT64) or (kind is IdKind.INT64 and text.startswith("-"))


def stated_id(value: Any, kind: Any) -> tuple[str, IdKind]:
    """An id whose kind the line states."""
    if kind == IdKind.UUID and isinstance(value, str) and _UUID.fullmatch(value):
        return str(uuid.UUID(value)), IdKind.UUID
    text, found = typed_id(value, uuids=False)
    if kind == IdKind.INT64 and found is not IdKind.STRING and int(text) < 2**63:
        return text, IdKind.INT64
    if kind != found:
        raise ValueError(f"the id {value!r} is not of the kind {kind!r} that the line states")
    return text, found


def unicode_text(value: str) -> str:
    """The text itself. Raises ValueError where it holds half of a character."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the text {value[:60]!r} holds half of a character") from None
    return value
