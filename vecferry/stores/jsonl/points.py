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
from vecferry.stores.jsonl.wrapped import unwrapped

__all__ = ["Point", "Rules", "read_record"]


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


@dataclass(frozen=True, slots=True)
class _Form:
    """The keys under which a form has the parts of a record; `""` where it has none."""

    vector: str = "vector"
    payload: str = "payload"
    document: str = ""
    kind: str = ""

    @property
    def known(self) -> frozenset[str]:
        """All keys of a record."""
        return frozenset({"id", self.vector, self.payload, self.document, self.kind} - {""})


_FORMS = {
    Dialect.LINES: _Form(document="document", kind="id_kind"),
    Dialect.DUMP: _Form(),
    Dialect.LIST: _Form(),
    Dialect.CDP: _Form("embedding", "metadata", "text_chunk"),
}
_KNOWN = {dialect: form.known for dialect, form in _FORMS.items()}
_VECTOR_KEYS = {dialect: f'"{form.vector}"'.encode() for dialect, form in _FORMS.items()}


def read_record(texts: Texts, rules: Rules) -> Point:
    """A record of any form."""
    if rules.dialect is Dialect.COLUMNS:
        return _column_point(texts)
    form, text = _FORMS[rules.dialect], texts["point"][1]
    if rules.dialect is Dialect.CDP:
        text = unwrapped(text)
    quick = parse_quickly(text)
    if isinstance(quick, dict):
        payload, rest = quick_text(quick.get(form.payload)), without_numbers(text, _VECTOR_KEYS[rules.dialect])
        if payload is not None and is_exact(rest, _colons(quick, payload, rules.dialect), payload):
            return _point(quick, rest, rules, payload)
    value = _strict(text)
    if not isinstance(value, dict):
        raise ValueError("it is not an object with an id")
    return _point(value, text, rules, payload_text(value.get(form.payload), tagged=rules.tagged))


def _strict(text: bytes) -> Any:
    try:
        return parse_strictly(text)
    except ValueError as error:
        if text.startswith(b"{'"):
            raise ValueError("it is Python's text of a dictionary, not JSON; write it with json.dumps") from error
        raise


def _point(value: dict[str, Any], text: bytes, rules: Rules, payload: bytes) -> Point:
    form, known = _FORMS[rules.dialect], _KNOWN[rules.dialect]
    if not value.keys() <= known:
        _refuse_unknown(value, known | rules.ignored, rules.dialect)
    if "id" not in value:
        raise ValueError("it has no id")
    id_text, id_kind = _typed(value["id"], value.get(form.kind), rules.dialect)
    vector = value.get(form.vector)
    if rules.dialect is Dialect.CDP:
        _refuse_names(vector)
    if _bools(text) > _bools(payload):
        _refuse_bools(vector)
    return Point(id_text, id_kind, vector, payload, _document(value.get(form.document)))


def _typed(value: Any, kind: Any, dialect: Dialect) -> tuple[str, IdKind]:
    """A record's id; `kind` is what a line of points states."""
    if dialect is Dialect.CDP:
        return _chroma_id(value), IdKind.STRING
    return typed_id(value, uuids=dialect is not Dialect.LINES) if kind is None else stated_id(value, kind)


def _refuse_unknown(value: dict[str, Any], known: frozenset[str], dialect: Dialect) -> None:
    odd = [key for key, item in value.items() if key not in known and item is not None]
    if odd:
        more = ", or export with --format record, which keeps metadata apart" if dialect is Dialect.CDP else ""
        raise ValueError(f"the key {odd[0]!r} is not one that is moved; leave it behind with ?ignore={odd[0]}{more}")


def _bools(text: bytes) -> int:
    return text.count(b"true") + text.count(b"false")


def _colons(value: dict[str, Any], payload: bytes, dialect: Dialect) -> int:
    """How many colons the text had if nothing was lost from it."""
    form, known = _FORMS[dialect], _KNOWN[dialect]
    count = len(value) + payload.count(b":")
    for key, item in value.items():
        count += key.count(":")
        if isinstance(item, str):
            count += item.count(":")
        elif key == form.vector and isinstance(item, dict):
            count += sum(1 + name.count(":") + 2 * isinstance(part, dict) for name, part in item.items())
        elif key not in known and isinstance(item, dict | list):
            count += orjson.dumps(item).count(b":")
    return count


def _column_point(texts: Texts) -> Point:
    """One row of Chroma's columns."""
    found = _value(texts, "ids")
    if isinstance(found, list):
        raise ValueError("ids holds lists: this is the answer of a query, not of a get")
    id_text = _chroma_id(found)
    vector = _value(texts, "embeddings")
    _refuse_names(vector)
    if vector is not None and _bools(texts["embeddings"][1]):
        _refuse_bools(vector)
    payload = texts.get("metadatas", (0, b"null"))[1]
    text = b"{}" if payload == b"null" else object_text(payload)
    return Point(id_text, IdKind.STRING, vector, text, _document(_value(texts, "documents")))


def _chroma_id(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"the id {value!r} is not text, as Chroma's ids are")
    return unicode_text(value)


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


def _refuse_names(embedding: Any) -> None:
    if embedding is not None and not isinstance(embedding, list):
        raise ValueError("its embedding is not a list of numbers")


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
