"""Canonical JSON: the one text of a payload.

Sorted keys, no white space, UTF-8, integers of any size as integers, floats in orjson's text.
What JSON cannot say is an object with the single key `$vecferry`:

| value | text |
|---|---|
| NaN, infinity, -infinity | `{"$vecferry":["float","nan"]}`, `"inf"`, `"-inf"` |
| bytes | `{"$vecferry":["bytes","<base64>"]}` |
| text with lone surrogates | `{"$vecferry":["text","<base64 of utf-8 with surrogatepass>"]}` |
| datetime, date | `{"$vecferry":["datetime","<ISO 8601>"]}`, `["date", ...]` |
| an object that looks like one of these | `{"$vecferry":["object",{...}]}`: the original inside |
| an object with a lone surrogate in a key | `{"$vecferry":["pairs",[[key, value], ...]]}` |

A fast coder (orjson) is used only where a check proves that it is exact: orjson.dumps says null for
NaN, and orjson.loads turns integers beyond 64 bits into floats, both without a word.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson

__all__ = ["TAG", "decode", "decode_many", "encode", "encode_json_text", "encode_many", "parse_strict", "to_json"]

TAG = "$vecferry"
_TAG_BYTES = b'"$vecferry"'
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
# After this table an integer of 19 digits or more is `:` and 19 zeros, found at the speed of memory. Digits
# after a decimal point do not count: they would send every long float down the slow path.
_SHAPES = bytes.maketrans(b"123456789,[- \t\r\n", b"000000000:::::::")
_LONG_INTEGER = b":" + b"0" * 19
_INT64 = range(-(2**63), 2**64)


def encode(value: Any) -> bytes:
    """The canonical text of a value made of JSON types, bytes, datetimes and non-finite floats.

    Raises TypeError for a type that has no canonical form.
    """
    try:
        text = orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        return _encode_slowly(value)
    if (b"null" in text and _has_nonfinite(value)) or _TAG_BYTES in text:
        return _encode_slowly(value)
    return text


def encode_many(values: Iterable[Any]) -> list[bytes]:
    """Canonical texts, one per value; one C call a value where that is exact."""
    return [encode(value) for value in values]


def encode_json_text(text: bytes | str) -> bytes:
    """Canonical text of JSON text from outside (where the tag has no meaning yet and is escaped).

    Raises ValueError for text that is not JSON, has NaN or Infinity literals out of range (`1e400`)
    or the same key twice in one object, all of which plain coders take or change in silence.
    """
    return encode(parse_strict(text))


def decode(text: bytes | str) -> Any:
    """The value of a canonical text: the inverse of `encode`."""
    raw = text.encode() if isinstance(text, str) else text
    value = _loads(raw)
    return _untag(value) if _TAG_BYTES in raw else value


def to_json(text: bytes | str) -> Any:
    """The JSON value of a canonical text with its tags left in: plain JSON types only, integers exact."""
    return _loads(text.encode() if isinstance(text, str) else text)


def decode_many(texts: Sequence[bytes]) -> list[Any]:
    """Values of many canonical texts with one C call for all of them where that is exact."""
    joined = b"[" + b",".join(texts) + b"]"
    if _TAG_BYTES in joined or _has_long_integer(joined):
        return [decode(text) for text in texts]
    values: list[Any] = orjson.loads(joined)
    return values


def parse_strict(text: bytes | str) -> Any:
    """JSON from outside as Python values, with integers exact and duplicate keys refused (ValueError)."""
    return json.loads(text, object_pairs_hook=_unique_object, parse_float=_finite_float)


def _finite_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text} does not fit a double")
    return value


def _unique_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {repeated!r} stands twice in one object")
    return result


def _loads(raw: bytes) -> Any:
    return json.loads(raw) if _has_long_integer(raw) else orjson.loads(raw)


def _has_long_integer(raw: bytes) -> bool:
    """Whether an integer may have 19 digits or more, which orjson might turn into a float."""
    shapes = raw.translate(_SHAPES)
    return _LONG_INTEGER in shapes or shapes.startswith(_LONG_INTEGER[1:])


def _has_nonfinite(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(_has_nonfinite(item) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_has_nonfinite(item) for item in value)
    return False


def _encode_slowly(value: Any) -> bytes:
    return _text(_tag(value)).encode()


def _text(value: Any) -> str:
    """JSON text of tagged plain values; floats take orjson's text, integers any size, keys sorted."""
    if isinstance(value, dict):
        items = (f"{_text(key)}:{_text(value[key])}" for key in sorted(value, key=lambda key: key.encode()))
        return "{" + ",".join(items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_text, value)) + "]"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return orjson.dumps(value).decode()


def _tag(value: Any) -> Any:
    """Replace what JSON cannot say, and escape what looks like a tag."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {TAG: ["float", str(float(value))]}
    if isinstance(value, str):
        return _tag_string(value)
    if isinstance(value, list | tuple):
        return [_tag(item) for item in value]
    if isinstance(value, dict):
        return _tag_object(value)
    return _tag_other(value)


def _tag_string(value: str) -> Any:
    if value.isascii() or _is_unicode(value):
        return str(value)
    return {TAG: ["text", base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()]}


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _tag_object(value: dict[Any, Any]) -> Any:
    for key in value:
        if not isinstance(key, str):
            raise TypeError(f"a payload key is {key!r} of type {type(key).__name__}; only text can be a key")
    if not all(map(_is_unicode, value)):
        pairs = [
            [_tag(key), _tag(value[key])] for key in sorted(value, key=lambda k: k.encode("utf-8", "surrogatepass"))
        ]
        return {TAG: ["pairs", pairs]}
    inner = {key: _tag(item) for key, item in value.items()}
    return {TAG: ["object", inner]} if list(value) == [TAG] else inner


def _tag_other(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return {TAG: ["bytes", base64.b64encode(bytes(value)).decode()]}
    if isinstance(value, dt.datetime):
        return {TAG: ["datetime", value.isoformat()]}
    if isinstance(value, dt.date):
        return {TAG: ["date", value.isoformat()]}
    raise TypeError(f"a payload value of type {type(value).__name__} has no canonical form")


_UNTAG: dict[str, Callable[[Any], Any]] = {
    "float": float,
    "bytes": base64.b64decode,
    "text": lambda data: base64.b64decode(data).decode("utf-8", "surrogatepass"),
    "datetime": dt.datetime.fromisoformat,
    "date": dt.date.fromisoformat,
}


def _untag(value: Any) -> Any:
    if isinstance(value, list):
        return [_untag(item) for item in value]
    if not isinstance(value, dict):
        return value
    if list(value) != [TAG]:
        return {key: _untag(item) for key, item in value.items()}
    kind, data = value[TAG]
    if kind == "object":
        return {key: _untag(item) for key, item in data.items()}
    if kind == "pairs":
        return {_untag(key): _untag(item) for key, item in data}
    return _UNTAG[kind](data)
