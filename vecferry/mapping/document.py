"""Documents: a field of their own on one side, a payload key on the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry.capabilities import Capabilities
from vecferry.errors import BadRecord, ConfigError
from vecferry.mapping.draft import Draft, key_pattern
from vecferry.mapping.kinds import is_text
from vecferry.mapping.profile import Profile
from vecferry.mapping.rules import Rules, counted, exact, free_name, quoted, refused
from vecferry.model import CollectionSchema, Decision, Filterable, Outcome

__all__ = [
    "DocumentCodec",
    "DocumentFromPayload",
    "DocumentInPayload",
    "NoDocument",
    "SameDocument",
    "decide_document",
    "document_from_json",
]


@dataclass(frozen=True, slots=True)
class SameDocument:
    """Both sides have documents."""

    mode: ClassVar[str] = "same"
    field: ClassVar[str] = ""
    in_target: ClassVar[bool] = True

    def encode(self, draft: Draft) -> None:
        """Nothing changes."""

    def decode(self, draft: Draft) -> None:
        """Nothing changes."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that `document_from_json` reads."""
        return {"mode": self.mode}


@dataclass(frozen=True, slots=True)
class NoDocument:
    """The source has no documents, and nothing is made one."""

    mode: ClassVar[str] = "none"
    field: ClassVar[str] = ""
    in_target: ClassVar[bool] = False

    def encode(self, draft: Draft) -> None:
        """Nothing changes. Raises BadRecord for a document after all."""
        _refuse_documents(draft)

    def decode(self, draft: Draft) -> None:
        """Nothing changes."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that `document_from_json` reads."""
        return {"mode": self.mode}


def _refuse_documents(draft: Draft) -> None:
    documents = draft.columns.get(columns.DOCUMENT)
    if documents is None or documents.null_count == len(documents):
        return
    row = int(np.argmax(documents.is_valid().to_numpy(zero_copy_only=False)))
    raise BadRecord(
        f"record {draft.columns[columns.ID][row].as_py()!r} has a document, but the source said that it has none",
        advice="the source changed since its inventory; start a new migration",
    )


@dataclass(frozen=True, slots=True)
class DocumentInPayload:
    """The target has no documents: a record's document becomes the string under `field` in its payload.

    A payload key of that name never gets here: the payload codec has put it aside before.
    """

    field: str
    mode: ClassVar[str] = "in payload"
    in_target: ClassVar[bool] = False

    def encode(self, draft: Draft) -> None:
        """Documents go into payloads. Raises ValueError when only one of the two was read."""
        if not draft.has(columns.PAYLOAD):
            return
        if not draft.has(columns.DOCUMENT):
            raise ValueError("documents go into the payload, but were not read with it")
        documents = draft.columns[columns.DOCUMENT]
        rows = np.flatnonzero(documents.is_valid().to_numpy(zero_copy_only=False))
        if not len(rows):
            return
        for payload, document in zip(draft.payloads(rows), documents.drop_null().to_pylist(), strict=True):
            payload[self.field] = document
        draft.changed_rows(rows)
        draft.columns[columns.DOCUMENT] = pa.nulls(draft.rows, pa.string())

    def decode(self, draft: Draft) -> None:
        """Documents again; a value under our key that is no string is the application's own."""
        if not draft.has(columns.PAYLOAD):
            return
        found: list[str | None] = [None] * draft.rows
        rows = draft.matching(key_pattern(self.field))
        for row, payload in zip(rows.tolist(), draft.payloads(rows), strict=True):
            value = payload.get(self.field)
            if isinstance(value, str) and is_text(value):
                found[row] = payload.pop(self.field)
                draft.changed(row)
        draft.columns[columns.DOCUMENT] = pa.array(found, pa.string())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that `document_from_json` reads."""
        return {"mode": self.mode, "field": self.field}


@dataclass(frozen=True, slots=True)
class DocumentFromPayload:
    """The source has no documents: the string under `field` in a record's payload becomes one.

    Values of other types, and records without the key, stay as they are.
    """

    field: str
    mode: ClassVar[str] = "from payload"
    in_target: ClassVar[bool] = True

    def encode(self, draft: Draft) -> None:
        """Strings move from payloads to documents."""
        if not draft.has(columns.PAYLOAD):
            return
        _refuse_documents(draft)
        DocumentInPayload(self.field).decode(draft)

    def decode(self, draft: Draft) -> None:
        """Documents move back; one beside a payload that has the key already is the application's, and stays."""
        if not (draft.has(columns.PAYLOAD) and draft.has(columns.DOCUMENT)):
            return
        documents = draft.columns[columns.DOCUMENT]
        rows = np.flatnonzero(documents.is_valid().to_numpy(zero_copy_only=False))
        if not len(rows):
            return
        kept = np.ones(draft.rows, dtype=np.bool_)
        for row, payload, document in zip(
            rows.tolist(), draft.payloads(rows), documents.drop_null().to_pylist(), strict=True
        ):
            if self.field not in payload:
                payload[self.field] = document
                draft.changed(row)
                kept[row] = False
        nothing = pa.nulls(draft.rows, pa.string())
        draft.columns[columns.DOCUMENT] = pc.if_else(pa.array(kept), documents, nothing)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that `document_from_json` reads."""
        return {"mode": self.mode, "field": self.field}


DocumentCodec = SameDocument | NoDocument | DocumentInPayload | DocumentFromPayload


def document_from_json(data: dict[str, Any]) -> DocumentCodec:
    """The codec that `to_json` wrote. Raises ConfigError for a mode of a later version."""
    mode = data["mode"]
    if mode == SameDocument.mode:
        return SameDocument()
    if mode == NoDocument.mode:
        return NoDocument()
    if mode == DocumentInPayload.mode:
        return DocumentInPayload(data["field"])
    if mode == DocumentFromPayload.mode:
        return DocumentFromPayload(data["field"])
    raise ConfigError(f"documents were mapped by the way {mode!r}, which this vecferry does not know")


def decide_document(
    schema: CollectionSchema, profile: Profile, target: Capabilities, rules: Rules, taken: frozenset[str]
) -> tuple[DocumentCodec, list[Decision]]:
    """What becomes of documents. `taken` are the payload keys of the source."""
    if schema.has_document or profile.documents.rows > profile.documents.absent:
        return _of_source(profile, target, rules, taken)
    key = profile.payload.keys.get(rules.document_field)
    strings = key.strings() if key else 0
    if not (target.document and rules.document_field and key and strings):
        return (SameDocument() if target.document else NoDocument()), []
    field = quoted(rules.document_field)
    detail = f"the payload key {field} holds text and becomes the document"
    if key.values > strings:
        detail += f"; {counted(key.values - strings, 'value')} of other types stay in the payload"
    decision = Decision("document", Outcome.ENCODED, detail, Filterable.CHANGED, strings)
    return DocumentFromPayload(rules.document_field), [decision]


def _of_source(
    profile: Profile, target: Capabilities, rules: Rules, taken: frozenset[str]
) -> tuple[DocumentCodec, list[Decision]]:
    seen = profile.documents
    present = seen.present + seen.empty
    if target.document:
        return SameDocument(), [exact("document", "stays the document, absent and empty told apart", Filterable.SAME)]
    wanted = rules.document_field or "text"
    if seen.rows and not present:
        return DocumentInPayload(free_name(wanted, taken)), [exact("document", "no record has one")]
    codec = DocumentInPayload(wanted)
    if wanted in taken:
        detail = (
            f"{target.engine} has no documents, so they would go to the payload key {quoted(wanted)}, "
            "which records use already"
        )
        advice = f"name another key: --document-field {free_name(wanted, taken)}"
        return codec, [refused("document", detail, advice, profile.payload.keys[wanted].values)]
    detail = f"{target.engine} has no documents; each goes to the payload key {quoted(wanted)}, and comes back from it"
    return codec, [Decision("document", Outcome.ENCODED, detail, Filterable.CHANGED, present if seen.rows else None)]
