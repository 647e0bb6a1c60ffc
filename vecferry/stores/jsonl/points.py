"""One record's JSON as typed values. Every problem is a ValueError in words; the caller adds where it stands."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from vecferry.model import IdKind
from vecferry.stores.json_text import (
    is_exact,
    object_text,
    parse_quickly,
    parse_strictly,
    payload_text,
    quick_text,
    without_numbers,
)
from vecferry.stores.jsonl.dialects import Dialect, Texts

__all__ = ["Point", "Rules", "default_kind", "read_record", "typed_id"]

_INT64_MIN, _UINT64_MAX = -(2**63), 2**64 - 1
_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_KNOWN = frozenset({"id", "id_kind", "vector", "payload", "document"})
_QDRANT_KEYS = frozenset({"id", "vector", "payload"})


class Point(NamedTuple):
    """A record. `vector` is as the file has it: a list, a list of lists, an object, or None."""

    text: str
    kind: IdKind
    vector: Any
    payload: bytes
    document: str | None


@dataclass(frozen=True, slots=True)
class Rules:
    """How a file is read: its form, whether vecferry wrote it (`tagged`), and which keys are not wanted."""

    dialect: Dialect
    tagged: bool = False
    ignored: frozenset[str] = frozenset()


def read_record(texts: Texts, rules: Rules) -> Point:
    """A record of any form."""
    if rules.dialect is Dialect.COLUMNS:
        return _column_point(texts)
    text = texts["point"][1]
    quick = parse_quickly(text)
    if isinstance(quick, dict):
        payload, rest = quick_text(quick.get("payload")), without_numbers(text)
        if payload is not None and is_exact(rest, _colons(quick, payload), payload):
            return _point(quick, rest, rules, payload)
    value = parse_strictly(text)
    if not isinstance(value, dict):
        raise ValueError("it is not an object with an id")
    return _point(value, text, rules, payload_text(value.get("payload"), tagged=rules.tagged))


def _point(value: dict[str, Any], text: bytes, rules: Rules, payload: bytes) -> Point:
    known = _KNOWN if rules.dialect is Dialect.LINES else _QDRANT_KEYS
    if not value.keys() <= known:
        _refuse_unknown(value, known | rules.ignored)
    if "id" not in value:
        raise ValueError("it has no id")
    kind = value.get("id_kind") if "id_kind" in known else None
    uuids = rules.dialect is not Dialect.LINES
    id_text, id_kind = typed_id(value["id"], uuids=uuids) if kind is None else _stated_id(value["id"], kind)
    vector = value.get("vector")
    if _bools(text) > _bools(payload):
        _refuse_bools(vector)
    return Point(id_text, id_kind, vector, payload, _document(value.get("document") if "document" in known else None))


def _refuse_unknown(value: dict[str, Any], known: frozenset[str]) -> None:
    odd = [key for key, item in value.items() if key not in known and item is not None]
    if odd:
        raise ValueError(f"the key {odd[0]!r} is not one that is moved; leave it behind with ?ignore={odd[0]}")


def _bools(text: bytes) -> int:
    return text.count(b"true") + text.count(b"false")


def _colons(value: dict[str, Any], payload: bytes) -> int:
    """How many colons the text had if nothing was lost from it."""
    count = len(value) + payload.count(b":")
    for key, item in value.items():
        count += key.count(":")
        if isinstance(item, str):
            count += item.count(":")
        elif key == "vector" and isinstance(item, dict):
            count += sum(1 + name.count(":") + 2 * isinstance(part, dict) for name, part in item.items())
        elif key not in _KNOWN and isinstance(item, dict | list):
            count += orjson.dumps(item).count(b":")
    return count


def _column_point(texts: Texts) -> Point:
    """One row of Chroma's columns."""
    id_text = _value(texts, "ids")
    if isinstance(id_text, list):
        raise ValueError("ids holds lists: this is the answer of a query, not of a get")
    if not isinstance(id_text, str):
        raise ValueError(f"the id {id_text!r} is not text, as Chroma's ids are")
    vector = _value(texts, "embeddings")
    if vector is not None:
        if not isinstance(vector, list):
            raise ValueError("its embedding is not a list of numbers")
        if _bools(texts["embeddings"][1]):
            _refuse_bools(vector)
    payload = texts.get("metadatas", (0, b"null"))[1]
    text = b"{}" if payload == b"null" else object_text(payload)
    return Point(_unicode(id_text), IdKind.STRING, vector, text, _document(_value(texts, "documents")))


def _value(texts: Texts, column: str) -> Any:
    """A row's entry in a column without keys of its own (there the quick coder is exact)."""
    if column not in texts:
        return None
    text = texts[column][1]
    quick = parse_quickly(text)
    return parse_strictly(text) if quick is None else quick


def _document(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("its document is not text")
    return _unicode(value)


def typed_id(value: Any, *, uuids: bool) -> tuple[str, IdKind]:
    """The id that a JSON value is; `uuids`: text that is a UUID is one. Raises ValueError for what cannot be an id."""
    if isinstance(value, str):
        if uuids and _UUID.fullmatch(value):
            return str(uuid.UUID(value)), IdKind.UUID
        return _unicode(value), IdKind.STRING
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"the id {value!r} is neither text nor an integer")
    if not _INT64_MIN <= value <= _UINT64_MAX:
        raise ValueError(f"the id {value} does not fit 64 bits")
    return str(value), IdKind.UINT64 if value >= 0 else IdKind.INT64


def default_kind(kind: IdKind, text: str) -> bool:
    """Whether a line without `id_kind` would be read as this kind."""
    return kind in (IdKind.STRING, IdKind.UINT64) or (kind is IdKind.INT64 and text.startswith("-"))


def _stated_id(value: Any, kind: Any) -> tuple[str, IdKind]:
    """An id whose kind the line states."""
    if kind == IdKind.UUID and isinstance(value, str) and _UUID.fullmatch(value):
        return str(uuid.UUID(value)), IdKind.UUID
    text, found = typed_id(value, uuids=False)
    if kind == IdKind.INT64 and found is not IdKind.STRING and int(text) < 2**63:
        return text, IdKind.INT64
    if kind != found:
        raise ValueError(f"the id {value!r} is not of the kind {kind!r} that the line states")
    return text, found


def _unicode(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the text {value[:60]!r} holds half of a character") from None
    return value


def _refuse_bools(value: Any) -> None:
    """Raise ValueError where true or false stands among a vector's numbers: Python would take them as 1 and 0."""
    if isinstance(value, dict):
        for item in value.values():
            _refuse_bools(item)
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, bool):
                raise ValueError("its vector holds true or false among its numbers")
            if isinstance(item, list):
                _refuse_bools(item)
