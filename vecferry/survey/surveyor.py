"""Looks at every record once and gives the survey. Pure: it is handed batches, and reads nothing itself."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry.survey.findings import Survey, TextSurvey
from vecferry.survey.lengths import id_at
from vecferry.survey.payload_keys import PayloadKeys
from vecferry.survey.vectors import VectorColumn

__all__ = ["Surveyor"]


class Surveyor:
    """Observes batches of a source in any order; not to be shared between threads (merge one per thread)."""

    def __init__(self) -> None:
        self._rows = self._id_bytes = 0
        self._documents = TextSurvey()
        self._payloads = PayloadKeys()
        self._vectors: dict[str, VectorColumn] = {}

    def observe(self, batch: pa.RecordBatch) -> None:
        """Take one batch: its ids, and what else was read."""
        if not batch.num_rows:
            return
        self._rows += batch.num_rows
        self._id_bytes += pc.sum(pc.binary_length(columns.id_texts(batch))).as_py()
        if columns.PAYLOAD in batch.schema.names:
            self._payloads.observe(batch)
        if columns.DOCUMENT in batch.schema.names:
            self._documents = _together(self._documents, _documents(batch))
        for field in columns.fields_of(batch.schema):
            self._vectors.setdefault(field.name, VectorColumn()).observe(batch, field)

    def merge(self, other: Surveyor) -> None:
        """Take everything that another one saw; it must not be used afterwards."""
        self._rows += other._rows
        self._id_bytes += other._id_bytes
        self._documents = _together(self._documents, other._documents)
        self._payloads.merge(other._payloads)
        for name, found in other._vectors.items():
            self._vectors.setdefault(name, VectorColumn()).merge(found)

    def survey(self) -> Survey:
        """What was seen so far."""
        return Survey(
            rows=self._rows,
            id_bytes=self._id_bytes,
            keys=self._payloads.keys(),
            more_keys=self._payloads.more_keys,
            payload_bytes=self._payloads.size_bytes,
            payload_values=self._payloads.values,
            documents=self._documents,
            vectors={name: column.survey() for name, column in self._vectors.items()},
        )


def _documents(batch: pa.RecordBatch) -> TextSurvey:
    texts = columns.documents(batch)
    sizes = pc.binary_length(texts)
    longest = pc.max(sizes).as_py()
    if longest is None:
        return TextSurvey()
    example = id_at(batch, pc.index(sizes, longest).as_py()) if longest else ""
    return TextSurvey(len(texts) - texts.null_count, pc.sum(sizes).as_py(), longest, example)


def _together(left: TextSurvey, right: TextSurvey) -> TextSurvey:
    longest = left if left.longest_bytes >= right.longest_bytes else right
    return TextSurvey(
        left.present + right.present,
        left.size_bytes + right.size_bytes,
        longest.longest_bytes,
        longest.longest_id,
    )
