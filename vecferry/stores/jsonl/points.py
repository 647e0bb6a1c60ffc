"""One record's JSON as typed values. Every problem is a ValueError in words; the caller adds where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from vecferry.model import IdKind
from vecferry.stores.json_ids import stated_id, typed_id, unicode_text
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

__all__ = ["Point", "Rules", "read_record"]

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
    id_text, id_kind = typed_id(value["id"], uuids=uuids) if kind is None else stated_id(value["id"], kind)
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
    return Point(unicode_text(id_text), IdKind.STRING, vector, text, _document(_value(texts, "documents")))


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
    return unicode_text(value)


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
