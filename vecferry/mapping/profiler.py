"""Looks at every record once and gives the profile. Column operations where they can be, one parse a payload."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry import canonical
from vecferry.mapping.duplicates import Duplicates
from vecferry.mapping.extent import Extent, Sizes, measured
from vecferry.mapping.ids import is_uuid_text
from vecferry.mapping.payload_profiler import PayloadProfiler
from vecferry.mapping.profile import LONG_RECORD_BYTES, DocumentProfile, Profile, VectorProfile
from vecferry.mapping.vector_profiler import merge_vectors, observe_vectors
from vecferry.model import IdKind

__all__ = ["Profiler"]

_NUMBERS = (IdKind.UINT64, IdKind.INT64)
_MOST_ESCAPED = 6  # bytes of JSON for one byte of text, at most: \u0001


class Profiler:
    """Observes batches of a source in any order; not to be shared between threads (merge one per thread)."""

    def __init__(self) -> None:
        self._rows = self._uuid_texts = self._empty_ids = self._negative_ids = 0
        self._kinds: Counter[IdKind] = Counter()
        self._duplicates = Duplicates()
        self._payloads = PayloadProfiler()
        self._documents = DocumentProfile()
        self._id_sizes, self._with_document = Extent(), Extent(floor=LONG_RECORD_BYTES)
        self._greatest_number_id: int | None = None
        self._vectors: dict[str, VectorProfile] = {}

    def observe(self, batch: pa.RecordBatch) -> None:
        """Take one batch: its ids, and what else was read."""
        if not batch.num_rows:
            return
        self._observe_ids(batch)
        if columns.PAYLOAD in batch.schema.names:
            self._payloads.observe(batch.column(columns.PAYLOAD), partial(_named, batch))
        if columns.DOCUMENT in batch.schema.names:
            self._documents = _merge_documents(self._documents, _observe_documents(batch))
            if columns.PAYLOAD in batch.schema.names:
                self._with_document += _with_document(batch)
        self._vectors = merge_vectors(self._vectors, observe_vectors(batch))

    def _observe_ids(self, batch: pa.RecordBatch) -> None:
        texts, kinds = columns.id_texts(batch), batch.column(columns.ID_KIND)
        counted = pc.value_counts(kinds.cast(pa.string())).to_pylist()
        found = {IdKind(item["values"]): item["counts"] for item in counted}
        self._kinds.update(found)
        self._rows += batch.num_rows
        self._id_sizes += measured(_lengths(texts), partial(_named, batch))
        self._observe_numbers(found, texts, kinds)
        if IdKind.STRING in found:
            strings = pc.equal(kinds.cast(pa.string()), IdKind.STRING.value).to_numpy(zero_copy_only=False)
            self._uuid_texts += int((is_uuid_text(texts) & strings).sum())
            self._empty_ids += pc.sum(pc.equal(texts, "")).as_py()
        if IdKind.INT64 in found:
            signed = pc.equal(kinds.cast(pa.string()), IdKind.INT64.value)
            self._negative_ids += pc.sum(pc.and_(signed, pc.starts_with(texts, "-"))).as_py()
        self._duplicates.observe(batch)

    def _observe_numbers(self, found: dict[IdKind, int], texts: pa.StringArray, kinds: pa.DictionaryArray) -> None:
        for kind, arrow in zip(_NUMBERS, (pa.uint64(), pa.int64()), strict=True):
            if kind in found:
                mine = texts if len(found) == 1 else texts.filter(pc.equal(kinds.cast(pa.string()), kind.value))
                self._see_number(pc.max(mine.cast(arrow)).as_py())

    def _see_number(self, number: int | None) -> None:
        if number is not None:
            known = self._greatest_number_id
            self._greatest_number_id = number if known is None else max(known, number)

    def merge(self, other: Profiler) -> None:
        """Take everything that another profiler saw; the other must not be used afterwards.

        Profilers merge, not profiles: an id may stand once in each of two slices.
        """
        self._rows += other._rows
        self._uuid_texts += other._uuid_texts
        self._empty_ids += other._empty_ids
        self._negative_ids += other._negative_ids
        self._id_sizes += other._id_sizes
        self._with_document += other._with_document
        self._see_number(other._greatest_number_id)
        self._kinds.update(other._kinds)
        self._duplicates.merge(other._duplicates)
        self._payloads.merge(other._payloads)
        self._documents = _merge_documents(self._documents, other._documents)
        self._vectors = merge_vectors(self._vectors, other._vectors)

    def profile(self) -> Profile:
        """What was seen so far."""
        return Profile(
            rows=self._rows,
            id_kinds=dict(self._kinds),
            uuid_texts=self._uuid_texts,
            empty_ids=self._empty_ids,
            negative_ids=self._negative_ids,
            longest_id_bytes=self._id_sizes.greatest,
            id_sizes=self._id_sizes,
            greatest_number_id=self._greatest_number_id,
            duplicate_ids=self._duplicates.count,
            duplicate_examples=tuple(self._duplicates.examples),
            payload=self._payloads.profile(),
            documents=self._documents,
            with_document=self._with_document,
            vectors=self._vectors,
        )


def _named(batch: pa.RecordBatch, row: int) -> str:
    return str(columns.record_ids(batch.slice(row, 1))[0])


def _lengths(texts: pa.StringArray) -> Sizes:
    """Bytes of each text, 0 for none: `(n,) int`."""
    found: Sizes = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    return found


def _observe_documents(batch: pa.RecordBatch) -> DocumentProfile:
    documents = batch.column(columns.DOCUMENT)
    absent = documents.null_count
    if absent == len(documents):
        return DocumentProfile(len(documents), absent)
    lengths = _lengths(documents)
    empty = int((lengths == 0).sum()) - absent
    sizes = measured(lengths, partial(_named, batch))
    return DocumentProfile(len(documents), absent, empty, len(documents) - absent - empty, sizes.greatest, sizes)


def _with_document(batch: pa.RecordBatch) -> Extent:
    """Sizes of payloads with their documents in them; the text is escaped only where the sum could matter."""
    documents, payloads = batch.column(columns.DOCUMENT), _lengths(batch.column(columns.PAYLOAD))
    lengths = _lengths(documents)
    looked = np.flatnonzero(payloads + _MOST_ESCAPED * lengths > LONG_RECORD_BYTES)
    if not len(looked):
        return Extent(floor=LONG_RECORD_BYTES)
    texts = documents.take(pa.array(looked)).to_pylist()
    inside = np.array([0 if text is None else len(canonical.encode(text)) for text in texts])
    return measured(payloads[looked] + inside, lambda at: _named(batch, int(looked[at])), LONG_RECORD_BYTES)


def _merge_documents(left: DocumentProfile, right: DocumentProfile) -> DocumentProfile:
    return DocumentProfile(
        left.rows + right.rows,
        left.absent + right.absent,
        left.empty + right.empty,
        left.present + right.present,
        max(left.longest_bytes, right.longest_bytes),
        left.sizes + right.sizes,
    )
