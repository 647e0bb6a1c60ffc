"""JSON of files, read exactly: quick where a check proves that the quick coder lost nothing, strict elsewhere.

orjson drops the first of two equal keys and turns integers beyond 64 bits into floats, both in silence.
Every key has one colon outside of text, so a dropped key shows as a missing colon; a large integer shows
as a float with a positive exponent in the canonical text.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from vecferry import canonical

__all__ = ["is_exact", "object_text", "parse_quickly", "parse_strictly", "payload_text"]

_ESCAPED_COLON = b"\\u003"
_LARGE = re.compile(rb"[:,\[]-?\d(?:\.\d+)?e\+?\d")
_TAG = b'"' + canonical.TAG.encode() + b'"'


def parse_quickly(text: bytes) -> Any | None:
    """The value as orjson reads it, or None where orjson refuses it (the strict parser says why, or knows better)."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def parse_strictly(text: bytes) -> Any:
    """The exact value, NaN and Infinity literals included. Raises ValueError for broken JSON and duplicate keys."""
    try:
        return canonical.parse_strict(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_exact(text: bytes, colons: int, canonical_text: bytes) -> bool:
    """Whether orjson read `text` exactly, given the colons of all that it gave and the payload's canonical text."""
    return text.count(b":") == colons and _ESCAPED_COLON not in text and not _LARGE.search(canonical_text)


def payload_text(value: Any, *, tagged: bool) -> bytes:
    """Canonical text of a payload from a file; `tagged`: vecferry wrote it, and its tags mean what they say.

    Raises ValueError for a payload that is not an object, or for a tag that vecferry did not write.
    """
    if value is None:
        return b"{}"
    if not isinstance(value, dict):
        raise ValueError(f"its payload is not an object but {type(value).__name__}")
    text = canonical.encode(value)
    if not tagged or _TAG not in text:
        return text
    try:
        return canonical.encode(canonical.decode(json.dumps(value).encode()))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"its payload holds a mark {canonical.TAG!r} that vecferry did not write") from error


def object_text(text: bytes, *, tagged: bool = False) -> bytes:
    """Canonical text of a JSON object in a file. Raises ValueError for anything else."""
    value = parse_quickly(text)
    if value is not None:
        found = payload_text(value, tagged=tagged)
        if _TAG not in found and is_exact(text, found.count(b":"), found):
            return found
    value = parse_strictly(text)
    if value is None:
        raise ValueError("it is null, not an object")
    return payload_text(value, tagged=tagged)
