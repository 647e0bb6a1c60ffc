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

__all__ = [
    "is_exact",
    "object_text",
    "parse_quickly",
    "parse_strictly",
    "payload_text",
    "quick_text",
    "without_numbers",
]

_ESCAPED_COLON = b"\\u003"
_LARGE = re.compile(rb"[:,\[]-?\d(?:\.\d+)?e\+?\d")
_MORE_THAN_NUMBERS = tuple(b'":{[\\tfn'[at : at + 1] for at in range(8))
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


def without_numbers(text: bytes, key: bytes) -> bytes:
    """The text without the numbers of its first list behind a key (in quotes), where that holds nothing but numbers.

    Nearly all of a line is there, and looking for anything longer than one byte in it costs as much as parsing it.
    What is left out has no colon, no text and no word, whatever it is: the checks below give the same answer without.
    """
    start = text.find(b"[", text.find(key))
    end = text.find(b"]", start)
    if start < 0 or end < 0:
        return text
    inside = text[start + 1 : end]
    return text if any(sign in inside for sign in _MORE_THAN_NUMBERS) else text[:start] + text[end:]


def quick_text(value: Any) -> bytes | None:
    """Canonical text of a payload that orjson read, so that it holds neither NaN nor keys that are not text.

    None where only the strict way is exact; ValueError for a payload that is not an object.
    """
    if value is None:
        return b"{}"
    if not isinstance(value, dict):
        raise ValueError(f"its payload is not an object but {type(value).__name__}")
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return None if _TAG in text else text


def object_text(text: bytes, *, tagged: bool = False) -> bytes:
    """Canonical text of a JSON object in a file. Raises ValueError for anything else."""
    value = parse_quickly(text)
    if value is not None:
        found = quick_text(value)
        if found is not None and is_exact(text, found.count(b":"), found):
            return found
    value = parse_strictly(text)
    if value is None:
        raise ValueError("it is null, not an object")
    return payload_text(value, tagged=tagged)
