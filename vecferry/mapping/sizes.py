"""Records that are larger than the target takes: refused, or left behind where that was agreed to.

The plan says how many there are, from the profile. The load measures each record as it would be written, so that none
is left behind that fits, and none that does not fit is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry import canonical, plain
from vecferry.capabilities import Capabilities, PayloadType
from vecferry.errors import BadRecord
from vecferry.mapping.document import DocumentCodec, DocumentFromPayload, DocumentInPayload, SameDocument
from vecferry.mapping.extent import Extent
from vecferry.mapping.ids import DerivedIds, IdCodec
from vecferry.mapping.oversized import OVERSIZED_CONSENT, oversized
from vecferry.mapping.payload import PayloadPlan
from vecferry.mapping.payload_profiler import value_bytes
from vecferry.mapping.profile import LONG_RECORD_BYTES, LONG_VALUE_BYTES, PayloadProfile, Profile
from vecferry.mapping.rules import quoted
from vecferry.model import Decision, IdKind

__all__ = ["NO_LIMITS", "SizeLimits", "decide_sizes"]

_MOST_ESCAPED = 6  # bytes of JSON for one byte of text, at most: \u0001
_OUR_KEYS_BYTES = 512  # keys, quotes and commas that the mapping itself writes into one payload, and then some

Mask = npt.NDArray[np.bool_]
Sizes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """The most bytes that parts of one record may have in the target. `drop`: larger records stay behind.

    `payload`: the canonical JSON of all of it; `value`: of one top-level value; `document`, `id`: UTF-8.
    """

    payload: int | None = None
    value: int | None = None
    document: int | None = None
    id: int | None = None
    drop: bool = False

    @classmethod
    def of(cls, target: Capabilities, *, drop: bool) -> SizeLimits:
        """The limits of a target. Ids that are no text have none."""
        support = target.payload
        return cls(support.max_bytes, support.max_value_bytes, target.max_document_bytes, target.max_id_bytes, drop)

    def suspects(self, batch: pa.RecordBatch) -> Mask:
        """`(n,) bool`: records of a source batch that could be too large once they are mapped. Few bytes suffice to
        say that all others fit, whatever the mapping does to them."""
        found = np.zeros(batch.num_rows, dtype=np.bool_)
        if columns.PAYLOAD not in batch.schema.names or not batch.num_rows:
            return found
        ids = _lengths(batch, columns.ID)
        least = min((limit for limit in (self.payload, self.value, self.document) if limit is not None), default=None)
        if least is not None:
            texts = ids + (_lengths(batch, columns.DOCUMENT) if columns.DOCUMENT in batch.schema.names else 0)
            # Put aside, JSON text becomes a text in JSON: each quote and backslash doubles.
            found |= 2 * _lengths(batch, columns.PAYLOAD) + _MOST_ESCAPED * texts + _OUR_KEYS_BYTES > least
        if self.id is not None:
            found |= ids + len("uint64:") > self.id
        return found

    def exceeded(self, mapped: pa.RecordBatch) -> Mask:
        """`(n,) bool`: which records of a batch in the target's terms are too large. Raises BadRecord, naming the
        first one's id in the target, where nobody agreed to leave such behind. Ids alone always pass."""
        found = np.zeros(mapped.num_rows, dtype=np.bool_)
        if columns.PAYLOAD not in mapped.schema.names or not mapped.num_rows:
            return found
        for row, reason in self.problems(mapped):
            if not self.drop:
                record_id = columns.record_ids(mapped.slice(row, 1))[0]
                raise BadRecord(
                    f"record {record_id} {reason}, and the plan saw none so large",
                    advice=f"shorten it in the source, or leave such records behind: --consent {OVERSIZED_CONSENT}",
                )
            found[row] = True
        return found

    def problems(self, mapped: pa.RecordBatch) -> Iterator[tuple[int, str]]:
        """Rows that are too large, and why."""
        whole = _lengths(mapped, columns.PAYLOAD)
        parts = [("payload", self.payload, whole)]
        if columns.DOCUMENT in mapped.schema.names:
            parts.append(("document", self.document, _lengths(mapped, columns.DOCUMENT)))
        if self.id is not None:
            parts.append(("id", self.id, _text_ids(mapped)))
        for name, limit, sizes in parts:
            if limit is not None and sizes.max() > limit:
                for row in np.flatnonzero(sizes > limit).tolist():
                    yield row, f"has a {name} of {sizes[row]:,} bytes; the target takes {limit:,}"
        if self.value is not None and whole.max() > self.value:
            yield from self._long_values(mapped, np.flatnonzero(whole > self.value), self.value)

    def _long_values(self, mapped: pa.RecordBatch, rows: Sizes, limit: int) -> Iterator[tuple[int, str]]:
        texts = columns.payloads(mapped.take(pa.array(rows)))
        for row, payload in zip(rows.tolist(), canonical.decode_many(texts), strict=True):
            for key, value in payload.items():
                size = value_bytes(value)
                if size > limit:
                    yield row, f"has {size:,} bytes under its payload key {key!r}; the target takes {limit:,}"

    def to_json(self) -> dict[str, Any]:
        """Plain JSON that `from_json` reads."""
        found: dict[str, Any] = plain.to_plain(self)
        return found

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SizeLimits:
        """The limits that `to_json` wrote."""
        return plain.from_plain(cls, data)


NO_LIMITS = SizeLimits()


def _lengths(batch: pa.RecordBatch, name: str) -> Sizes:
    """Bytes of each text of a column, 0 for none: `(n,) int64`."""
    found: Sizes = pc.fill_null(pc.binary_length(batch.column(name)), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def _text_ids(batch: pa.RecordBatch) -> Sizes:
    """Bytes of the ids that are strings, 0 for others: `(n,) int64`."""
    strings = pc.equal(batch.column(columns.ID_KIND).cast(pa.string()), IdKind.STRING.value).to_numpy(
        zero_copy_only=False
    )
    return np.where(strings, _lengths(batch, columns.ID), 0)


# Deciding


def decide_sizes(
    profile: Profile, target: Capabilities, ids: IdCodec, document: DocumentCodec, payload: PayloadPlan, *, drop: bool
) -> tuple[SizeLimits, list[Decision]]:
    """The limits, and how many records of the profile exceed them. Long ids are decided with the ids."""
    limits = SizeLimits.of(target, drop=drop)
    side, decisions = _side_bytes(profile.payload, payload.aside), []
    if limits.payload is not None:
        decisions += _payload(profile, target, limits.payload, _growth(profile, ids, document), side, document)
    if limits.value is not None:
        decisions += _values(profile, target, limits.value, document, side)
    if limits.document is not None:
        extent = _documents(profile, document)
        found = _above(extent, limits.document, profile.rows)
        decisions += oversized("long documents", "a document", limits.document, found, extent, target)
    return limits, decisions


_SCALAR_BYTES = {PayloadType.NULL: 4, PayloadType.BOOL: 5, PayloadType.FLOAT: 25}


def _side_bytes(payload: PayloadProfile, aside: frozenset[str] | None) -> int | None:
    """The most bytes of a side field as JSON in a payload; None where only the whole payload bounds it."""
    if aside is None:
        return None
    inside = 2
    for key in aside:
        seen = payload.keys[key]
        numbers = [len(str(number)) for number in (seen.integer_min, seen.integer_max) if number is not None]
        known = {**_SCALAR_BYTES, PayloadType.INTEGER: max(numbers, default=1), PayloadType.STRING: 2}
        if not seen.types.keys() <= known.keys():
            return None
        value = max(known[kind] for kind in seen.types) + _MOST_ESCAPED * seen.longest_string_bytes
        inside += _entry_bytes(key) + value
    # JSON text becomes a text in JSON: each quote and backslash doubles.
    return 2 * inside if aside else 0


def _growth(profile: Profile, ids: IdCodec, document: DocumentCodec) -> int:
    """Bytes that the mapping adds to a payload at most, the document's own text and the side field apart."""
    added = 0
    if isinstance(document, DocumentInPayload) and _has_documents(profile):
        added += _entry_bytes(document.field)
    if isinstance(ids, DerivedIds) and ids.derives:
        added += _entry_bytes(ids.field) + _MOST_ESCAPED * (profile.longest_id_bytes + len("uint64:")) + 2
    return added


def _entry_bytes(key: str) -> int:
    """A key with its colon and a comma."""
    return len(canonical.encode(key)) + 2


def _payload(
    profile: Profile, target: Capabilities, limit: int, growth: int, side: int | None, document: DocumentCodec
) -> list[Decision]:
    inside = _has_documents(profile) and not target.document
    extent = _with_documents(profile) if inside else profile.payload.sizes
    if side is None:
        surely = (limit - growth - _OUR_KEYS_BYTES) // 2
    else:
        surely = limit - growth - (side and side + _OUR_KEYS_BYTES)
    nulls = any(PayloadType.NULL in seen.types for seen in profile.payload.keys.values())
    shrinks = isinstance(document, DocumentFromPayload) or (nulls and target.payload.removes_null)
    least = 0 if shrinks else _above(extent, limit, profile.rows)[0]
    found = least, _above(extent, max(surely, 0), profile.rows)[1]
    what = "a payload (with its document in it)" if inside else "a payload"
    return oversized("large payloads", what, limit, found, extent, target)


def _has_documents(profile: Profile) -> bool:
    return profile.documents.rows > profile.documents.absent


def _with_documents(profile: Profile) -> Extent:
    """Sizes of payloads with their documents in them; the payloads' own where none of them is long."""
    if profile.with_document.greatest:
        return profile.with_document
    most = profile.payload.sizes.greatest + _MOST_ESCAPED * profile.documents.sizes.greatest + 2
    return Extent(floor=min(most, LONG_RECORD_BYTES))


def _values(
    profile: Profile, target: Capabilities, limit: int, document: DocumentCodec, side: int | None
) -> list[Decision]:
    decisions = []
    for key, seen in profile.payload.keys.items():
        least, most = _above(_value_sizes(profile.payload, key), limit, seen.values)
        if isinstance(document, DocumentFromPayload) and key == document.field:
            # Strings leave for the document; what is left may be any of the others.
            least, most = 0, min(most, seen.values - seen.strings())
        feature, what = f"long values of payload key {quoted(key)}", f"a value under {quoted(key)}"
        decisions += oversized(feature, what, limit, (least, most), seen.long_values, target)
    if side is None or side > limit:
        sizes = profile.payload.sizes
        found = 0, sizes.above(max((limit - _OUR_KEYS_BYTES) // 2, 0))[1]
        decisions += oversized("values put aside", "a side field", limit, found, sizes, target)
    return decisions


def _documents(profile: Profile, document: DocumentCodec) -> Extent:
    """Sizes of what becomes documents."""
    if isinstance(document, SameDocument):
        return profile.documents.sizes
    if isinstance(document, DocumentFromPayload):
        return _value_sizes(profile.payload, document.field)
    return Extent()


def _value_sizes(payload: PayloadProfile, key: str) -> Extent:
    """Sizes of the values of one key. None is longer than the longest payload."""
    found = payload.keys[key].long_values
    return found if found.greatest else Extent(floor=min(payload.sizes.greatest, LONG_VALUE_BYTES))


def _above(extent: Extent, limit: int, rows: int) -> tuple[int, int]:
    """At least and at most how many are above a limit, also where sizes so small were not counted."""
    return (sum(extent.counts), rows) if limit < extent.floor else extent.above(limit)
