"""Ids: how the ids of a source become ids that the target can hold, and what they were.

Four codecs, each injective over every typed id, so that one that looks encoded already still finds a place of its
own and its way back. An id which no one had seen when the plan was made finds one too, or is named as an error:

* `SameIds`: the target holds the kind.
* `NumberIds`: the target holds int64 alone, and every id is a number that fits.
* `TextIds`: the target knows text alone. The common kind is written as it is, others as `kind:text`.
* `DerivedIds`: the target knows integers and UUIDs. What fits is kept; the rest becomes the UUIDv5 of
  its text, and the payload keeps the original.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry.errors import BadRecord, ConfigError
from vecferry.mapping.draft import Draft, key_pattern
from vecferry.mapping.kinds import is_text
from vecferry.model import IdKind

__all__ = [
    "NAMESPACE",
    "DerivedIds",
    "IdCodec",
    "NumberIds",
    "SameIds",
    "TextIds",
    "ids_from_json",
    "is_uuid_text",
    "uuid5_texts",
]

NAMESPACE = uuid.UUID("37142f1f-7256-57da-8602-45c3b9d868cd")
"""The namespace of all UUIDs that vecferry derives: uuid5(NAMESPACE_URL, "urn:vecferry:id"). Never changes."""

_KINDS = tuple(IdKind)
_CODE = {kind: code for code, kind in enumerate(_KINDS)}
_UUID_TEXT = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
_UUID_VERSION_5 = "^.{14}5"
_TAGGED = "^(uint64|int64|uuid|string):"
_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_HYPHENS = (8, 13, 18, 23)
_UUID_CHARS = 36

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]


def _codes(kinds: pa.DictionaryArray) -> Codes:
    """Position of each row's kind in `IdKind`, whatever the order of the column's own dictionary."""
    table = np.array([_CODE[IdKind(kind)] for kind in kinds.dictionary.to_pylist()], dtype=np.int8)
    return table[kinds.indices.to_numpy(zero_copy_only=False)] if len(table) else np.empty(0, np.int8)


def _kind_column(codes: Codes) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array([kind.value for kind in _KINDS], pa.string()))


def _mask(array: pa.BooleanArray) -> Mask:
    found: Mask = array.to_numpy(zero_copy_only=False)
    return found


def is_uuid_text(texts: pa.StringArray) -> Mask:
    """`(n,) bool`: which texts are UUIDs in their canonical spelling."""
    return _mask(pc.match_substring_regex(texts, _UUID_TEXT))


def uuid5_texts(texts: list[bytes]) -> pa.StringArray:
    """The UUIDv5 of each text (UTF-8) in vecferry's namespace, as canonical text."""
    sha1, prefix = hashlib.sha1, NAMESPACE.bytes
    joined = b"".join([sha1(prefix + text).digest() for text in texts])
    octets = np.frombuffer(joined, dtype=np.uint8).reshape(len(texts), 20)[:, :16].copy()
    octets[:, 6] = octets[:, 6] & 0x0F | 0x50
    octets[:, 8] = octets[:, 8] & 0x3F | 0x80
    digits = np.empty((len(texts), 32), dtype=np.uint8)
    digits[:, 0::2], digits[:, 1::2] = _HEX[octets >> 4], _HEX[octets & 15]
    chars = np.full((len(texts), _UUID_CHARS), ord("-"), dtype=np.uint8)
    chars[:, [at for at in range(_UUID_CHARS) if at not in _HYPHENS]] = digits
    offsets = np.arange(0, _UUID_CHARS * (len(texts) + 1), _UUID_CHARS, dtype=np.int32)
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(offsets), pa.py_buffer(chars))


@dataclass(frozen=True, slots=True)
class SameIds:
    """The target holds every kind of id that the source has. `empty`: the empty text, too."""

    kinds: frozenset[IdKind]
    empty: bool = True
    mode: ClassVar[str] = "same"
    field: ClassVar[str] = ""

    @property
    def target_kinds(self) -> frozenset[IdKind]:
        """Kinds that stand in the target."""
        return self.kinds

    def encode(self, draft: Draft) -> None:
        """Nothing changes. Raises BadRecord, naming the id, for a record with one that the plan did not see.

        Ids alone pass: a store that is asked for an id of a kind that it cannot hold says that it is absent.
        """
        if draft.columns.keys() <= {columns.ID, columns.ID_KIND}:
            return
        texts, codes = draft.columns[columns.ID], _codes(draft.columns[columns.ID_KIND])
        unknown = ~np.isin(codes, [_CODE[kind] for kind in self.kinds])
        if not self.empty:
            unknown |= _mask(pc.equal(texts, ""))
        if unknown.any():
            row = int(np.argmax(unknown))
            raise BadRecord(
                f"id {texts[row].as_py()!r} ({_KINDS[codes[row]]}) is of a kind that the plan did not see, "
                "and the target does not hold it as it is",
                advice="the source changed since its inventory; start a new migration",
            )

    def decode(self, draft: Draft) -> None:
        """Nothing changes."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that `ids_from_json` reads."""
        return {"mode": self.mode, "kinds": sorted(self.kinds), "empty": self.empty}


@dataclass(frozen=True, slots=True)
class NumberIds:
    """The target holds int64 alone: unsigned numbers up to `greatest` stay those numbers, and so do negative ones.

    An int64 id that is not negative would be taken for the unsigned one. Asked for alone it becomes uint64, which the
    target never holds; with a record it is an error, as is a number that is greater.
    """

    greatest: int
    mode: ClassVar[str] = "numbers"
    field: ClassVar[str] = ""
    target_kinds: ClassVar[frozenset[IdKind]] = frozenset({IdKind.INT64})

    def encode(self, draft: Draft) -> None:
        """Kinds change, numbers do not. Raises BadRecord, naming the id, for a record whose id does not fit."""
        texts, codes = draft.columns[columns.ID], _codes(draft.columns[columns.ID_KIND])
        unsigned, signed = codes == _CODE[IdKind.UINT64], codes == _CODE[IdKind.INT64]
        if unsigned.any():
            numbers = pc.if_else(pa.array(unsigned), texts, "0").cast(pa.uint64())
            unsigned &= _mask(pc.less_equal(numbers, pa.scalar(self.greatest, pa.uint64())))
        negative = signed & _mask(pc.starts_with(texts, "-"))
        fits = unsigned | negative
        if not fits.all() and not draft.columns.keys() <= {columns.ID, columns.ID_KIND}:
            row = int(np.argmin(fits))
            raise BadRecord(
                f"id {texts[row].as_py()!r} ({_KINDS[codes[row]]}) does not fit a target of int64 ids as planned",
                advice="the source changed since its inventory; start a new migration",
            )
        codes = np.where(signed & ~negative, _CODE[IdKind.UINT64], codes)
        draft.columns[columns.ID_KIND] = _kind_column(np.where(unsigned, _CODE[IdKind.INT64], codes).astype(np.int8))

    def decode(self, draft: Draft) -> None:
        """Numbers that are not negative are unsigned again."""
        texts, codes = draft.columns[columns.ID], _codes(draft.columns[columns.ID_KIND])
        ours = (codes == _CODE[IdKind.INT64]) & ~_mask(pc.starts_with(texts, "-"))
        draft.columns[columns.ID_KIND] = _kind_column(np.where(ours, _CODE[IdKind.UINT64], codes).astype(np.int8))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that `ids_from_json` reads."""
        return {"mode": self.mode, "greatest": self.greatest}


@dataclass(frozen=True, slots=True)
class TextIds:
    """The target holds text alone. Ids of the `plain` kinds are written as they are, others as `kind:text`.

    `plain` is {string}, or number and UUID kinds whose texts cannot be confused. A plain string that is
    empty or looks like `kind:text` is written as `string:...`.
    """

    plain: frozenset[IdKind]
    mode: ClassVar[str] = "text"
    field: ClassVar[str] = ""
    target_kinds: ClassVar[frozenset[IdKind]] = frozenset({IdKind.STRING})

    def encode(self, draft: Draft) -> None:
        """Type and text become one text."""
        codes = _codes(draft.columns[columns.ID_KIND])
        draft.columns[columns.ID] = self.texts(draft.columns[columns.ID], codes)
        draft.columns[columns.ID_KIND] = columns.kind_array(IdKind.STRING, draft.rows)

    def texts(self, texts: pa.StringArray, codes: Codes) -> pa.StringArray:
        """One text for each typed id; no two ids share one."""
        tagged = ~np.isin(codes, [_CODE[kind] for kind in self.plain])
        if IdKind.STRING in self.plain:
            lookalike = _mask(pc.match_substring_regex(texts, _TAGGED)) | _mask(pc.equal(texts, ""))
            tagged |= lookalike & (codes == _CODE[IdKind.STRING])
        if not tagged.any():
            return texts
        prefixes = _kind_column(codes).cast(pa.string())
        with_prefix = pc.binary_join_element_wise(prefixes, texts, ":")
        return pc.if_else(pa.array(tagged), with_prefix, texts)

    def decode(self, draft: Draft) -> None:
        """Text becomes a typed id again."""
        texts, codes = self.typed(draft.columns[columns.ID])
        draft.columns[columns.ID], draft.columns[columns.ID_KIND] = texts, _kind_column(codes)

    def typed(self, texts: pa.StringArray) -> tuple[pa.StringArray, Codes]:
        """The inverse of `texts`: canonical texts, and the code of each kind."""
        parts = pc.extract_regex(texts, "(?s)^(?P<kind>uint64|int64|uuid|string):(?P<text>.*)$")
        tagged = _mask(parts.is_valid())
        codes = self._plain_codes(texts)
        if not tagged.any():
            return texts, codes
        named = pc.struct_field(parts, "kind").dictionary_encode().filter(pa.array(tagged))
        codes[tagged] = _codes(named)
        return pc.if_else(pa.array(tagged), pc.struct_field(parts, "text"), texts), codes

    def _plain_codes(self, texts: pa.StringArray) -> Codes:
        """Kinds of texts without a prefix; what no plain kind explains was put there by others and is a string."""
        codes = np.full(len(texts), _CODE[IdKind.STRING], dtype=np.int8)
        if IdKind.UUID in self.plain:
            codes[is_uuid_text(texts)] = _CODE[IdKind.UUID]
        for kind, shape in ((IdKind.UINT64, "^[0-9]+$"), (IdKind.INT64, "^-?[0-9]+$")):
            if kind in self.plain:
                codes[_mask(pc.match_substring_regex(texts, shape))] = _CODE[kind]
        return codes

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that `ids_from_json` reads."""
        return {"mode": self.mode, "plain": sorted(self.plain)}


_IN_PAYLOAD = TextIds(frozenset({IdKind.STRING}))
"""How an original id stands in the payload: strings as they are, other kinds with their name before them."""


@dataclass(frozen=True, slots=True)
class DerivedIds:
    """The target holds uint64 and UUIDs. What it cannot hold becomes a UUIDv5, the original goes to the payload.

    `numbers` and `uuids` say what the target's integers and UUIDs stand for in the source: of kind
    int64, negative ones are derived; as strings, those that are UUID texts are kept. Where both plain
    and derived ids are expected, `only_ours` keeps them apart for certain: a source's own UUIDs of
    version 5 are derived as well. `field` is the payload key, `derives` whether the plan expects any.
    """

    numbers: IdKind
    uuids: IdKind
    field: str
    derives: bool
    only_ours: bool = False
    mode: ClassVar[str] = "derived"
    target_kinds: ClassVar[frozenset[IdKind]] = frozenset({IdKind.UINT64, IdKind.UUID})

    def encode(self, draft: Draft) -> None:
        """Ids become integers and UUIDs; the payload of a derived one keeps the original."""
        texts, codes = draft.columns[columns.ID], _codes(draft.columns[columns.ID_KIND])
        is_number, is_uuid = self._kept(texts, codes)
        derived = np.flatnonzero(~(is_number | is_uuid))
        new_codes = np.where(is_number, _CODE[IdKind.UINT64], _CODE[IdKind.UUID]).astype(np.int8)
        draft.columns[columns.ID_KIND] = _kind_column(new_codes)
        if not len(derived):
            return
        rows = pa.array(derived)
        originals = _IN_PAYLOAD.texts(texts.take(rows), codes[derived])
        found = uuid5_texts(originals.cast(pa.binary()).to_pylist())
        mask = pa.array(~(is_number | is_uuid))
        draft.columns[columns.ID] = found if len(derived) == draft.rows else pc.replace_with_mask(texts, mask, found)
        if draft.has(columns.PAYLOAD):
            for payload, original in zip(draft.payloads(derived), originals.to_pylist(), strict=True):
                payload[self.field] = original
            draft.changed_rows(derived)

    def _kept(self, texts: pa.StringArray, codes: Codes) -> tuple[Mask, Mask]:
        """Which ids stay as integers, and which stay as UUIDs."""
        is_number = codes == _CODE[self.numbers]
        if self.numbers is IdKind.INT64 and is_number.any():
            is_number &= ~_mask(pc.starts_with(texts, "-"))
        is_uuid = codes == _CODE[self.uuids]
        if self.uuids is IdKind.STRING and is_uuid.any():
            is_uuid &= is_uuid_text(texts)
        if self.only_ours and is_uuid.any():
            is_uuid &= ~_mask(pc.match_substring_regex(texts, _UUID_VERSION_5))
        return is_number, is_uuid

    def decode(self, draft: Draft) -> None:
        """The originals again. Needs the payload where the plan expects derived ids (ValueError).

        A payload key of our name whose text does not lead to the record's id is the application's own.
        """
        texts, codes = draft.columns[columns.ID], _codes(draft.columns[columns.ID_KIND])
        is_uuid = codes == _CODE[IdKind.UUID]
        new_codes = np.where(is_uuid, _CODE[self.uuids], _CODE[self.numbers]).astype(np.int8)
        rows = self._derived_rows(draft, is_uuid)
        if len(rows):
            originals = pa.array([payload.pop(self.field) for payload in draft.payloads(rows)], pa.string())
            draft.changed_rows(rows)
            original_texts, new_codes[rows] = _IN_PAYLOAD.typed(originals)
            mask = np.zeros(draft.rows, dtype=np.bool_)
            mask[rows] = True
            draft.columns[columns.ID] = pc.replace_with_mask(texts, pa.array(mask), original_texts)
        draft.columns[columns.ID_KIND] = _kind_column(new_codes)

    def _derived_rows(self, draft: Draft, is_uuid: Mask) -> npt.NDArray[np.int64]:
        if not draft.has(columns.PAYLOAD):
            if self.derives and is_uuid.any():
                raise ValueError(f"original ids stand in the payload (key {self.field!r}), which was not read")
            return np.empty(0, dtype=np.int64)
        rows = draft.matching(key_pattern(self.field))
        rows = rows[is_uuid[rows]]
        found = [payload.get(self.field) for payload in draft.payloads(rows)] if len(rows) else []
        kept = [value.encode() for value in found if isinstance(value, str) and is_text(value)]
        rows = rows[[isinstance(value, str) and is_text(value) for value in found]]
        if not len(rows):
            return rows
        ours = _mask(pc.equal(uuid5_texts(kept), draft.columns[columns.ID].take(pa.array(rows))))
        return rows[ours]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that `ids_from_json` reads."""
        return {
            "mode": self.mode,
            "numbers": self.numbers.value,
            "uuids": self.uuids.value,
            "field": self.field,
            "derives": self.derives,
            "only_ours": self.only_ours,
        }


IdCodec = SameIds | NumberIds | TextIds | DerivedIds


def ids_from_json(data: dict[str, Any]) -> IdCodec:
    """The codec that `to_json` wrote. Raises ConfigError for a mode of a later version."""
    mode = data["mode"]
    if mode == SameIds.mode:
        return SameIds(frozenset(map(IdKind, data["kinds"])), data["empty"])
    if mode == NumberIds.mode:
        return NumberIds(data["greatest"])
    if mode == TextIds.mode:
        return TextIds(frozenset(map(IdKind, data["plain"])))
    if mode == DerivedIds.mode:
        return DerivedIds(
            IdKind(data["numbers"]), IdKind(data["uuids"]), data["field"], data["derives"], data["only_ours"]
        )
    raise ConfigError(f"ids were mapped by the way {mode!r}, which this vecferry does not know", advice="upgrade it")
