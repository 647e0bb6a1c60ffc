"""Looks at every record once and gives the profile. Column operations where they can be, one parse a payload."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry.mapping.duplicates import Duplicates
from vecferry.mapping.ids import is_uuid_text
from vecferry.mapping.payload_profiler import PayloadProfiler
from vecferry.mapping.profile import DocumentProfile, Profile, VectorProfile
from vecferry.mapping.vector_profiler import merge_vectors, observe_vectors
from vecferry.model import IdKind

__all__ = ["Profiler"]


class Profiler:
    """Observes batches of a source in any order; not to be shared between threads (merge one per thread)."""

    def __init__(self) -> None:
        self._rows = self._uuid_texts = self._empty_ids = self._negative_ids = self._longest_id_bytes = 0
        self._kinds: Counter[IdKind] = Counter()
        self._duplicates = Duplicates()
        self._payloads = PayloadProfiler()
        self._documents = DocumentProfile()
        self._vectors: dict[str, VectorProfile] = {}

    def observe(self, batch: pa.RecordBatch) -> None:
        """Take one batch: its ids, and what else was read."""
        if not batch.num_rows:
            return
        self._observe_ids(batch)
        if columns.PAYLOAD in batch.schema.names:
            self._payloads.observe(batch.column(columns.PAYLOAD))
        if columns.DOCUMENT in batch.schema.names:
            self._documents = _merge_documents(self._documents, _observe_documents(batch.column(columns.DOCUMENT)))
        self._vectors = merge_vectors(self._vectors, observe_vectors(batch))

    def _observe_ids(self, batch: pa.RecordBatch) -> None:
        texts, kinds = columns.id_texts(batch), batch.column(columns.ID_KIND)
        counted = pc.value_counts(kinds.cast(pa.string())).to_pylist()
        found = {IdKind(item["values"]): item["counts"] for item in counted}
        self._kinds.update(found)
        self._rows += batch.num_rows
        self._longest_id_bytes = max(self._longest_id_bytes, pc.max(pc.binary_length(texts)).as_py())
        if IdKind.STRING in found:
            strings = pc.equal(kinds.cast(pa.string()), IdKind.STRING.value).to_numpy(zero_copy_only=False)
            self._uuid_texts += int((is_uuid_text(texts) & strings).sum())
            self._empty_ids += pc.sum(pc.equal(texts, "")).as_py()
        if IdKind.INT64 in found:
            signed = pc.equal(kinds.cast(pa.string()), IdKind.INT64.value)
            self._negative_ids += pc.sum(pc.and_(signed, pc.starts_with(texts, "-"))).as_py()
        self._duplicates.observe(batch)

    def merge(self, other: Profiler) -> None:
        """Take everything that another profiler saw; the other must not be used afterwards.

        Profilers merge, not profiles: an id may stand once in each of two slices.
        """
        self._rows += other._rows
        self._uuid_texts += other._uuid_texts
        self._empty_ids += other._empty_ids
        self._negative_ids += other._negative_ids
        self._longest_id_bytes = max(self._longest_id_bytes, other._longest_id_bytes)
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
            longest_id_bytes=self._longest_id_bytes,
            duplicate_ids=self._duplicates.count,
            duplicate_examples=tuple(self._duplicates.examples),
            payload=self._payloads.profile(),
            documents=self._documents,
            vectors=self._vectors,
        )


def _observe_documents(documents: pa.StringArray) -> DocumentProfile:
    lengths = pc.binary_length(documents)
    absent = documents.null_count
    empty = pc.sum(pc.equal(lengths, 0)).as_py() or 0
    longest = pc.max(lengths).as_py() or 0
    return DocumentProfile(len(documents), absent, empty, len(documents) - absent - empty, longest)


def _merge_documents(left: DocumentProfile, right: DocumentProfile) -> DocumentProfile:
    return DocumentProfile(
        left.rows + right.rows,
        left.absent + right.absent,
        left.empty + right.empty,
        left.present + right.present,
        max(left.longest_bytes, right.longest_bytes),
    )
