"""A batch on its way in, checked against the collection before the first call: Qdrant clamps, keeps or half-stores
what does not fit (an unknown vector name refuses a batch with a part of it stored)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry.batch import Dense, Multi, Sparse
from vecferry.errors import BadRecord
from vecferry.model import IdKind, RecordId, VectorField, VectorKind
from vecferry.stores.qdrant.payloads import UINT64_MAX, Unfit, payload_values
from vecferry.stores.qdrant.schema import CANONICAL_UUID

__all__ = ["Checked", "check_batch", "known_ids", "named"]

_NUMBER = "^(0|[1-9][0-9]{0,19})$"
_LARGEST_NUMBER = str(UINT64_MAX)


@dataclass(frozen=True, slots=True)
class Checked:
    """The rows of a batch that fits: ids as texts with one kind for all or one for each, columns, payload values."""

    ids: pa.StringArray
    kinds: Sequence[IdKind] | IdKind
    vectors: dict[str, Dense | Sparse | Multi]
    payloads: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.ids)


def check_batch(batch: pa.RecordBatch, fields: Sequence[VectorField], integer_max: int, url: str) -> Checked:
    """Raises BadRecord, naming the id where one row is at fault, for what the collection cannot hold exactly."""
    _check_columns(batch, fields, url)
    _check_rows(batch, url)
    kinds = columns.single_kind(batch) or [IdKind(kind) for kind in columns.id_kinds(batch)]
    vectors = {field.name: _column(batch, field, url) for field in fields}
    try:
        payloads = payload_values(batch.column(columns.PAYLOAD), integer_max)
    except Unfit as error:
        raise BadRecord(f"{url} cannot hold record {named(batch, error.row)}: {error.reason}") from error
    return Checked(columns.id_texts(batch), kinds, vectors, payloads)


def named(batch: pa.RecordBatch, row: int) -> RecordId:
    """The id of one row, for a message."""
    return columns.record_ids(batch.slice(row, 1))[0]


def known_ids(ids: pa.RecordBatch) -> pa.RecordBatch:
    """The distinct ids that Qdrant could hold: others are absent by nature, and its drivers refuse to ask for them."""
    kept = ids.filter(_possible(ids))
    distinct = dict.fromkeys(columns.record_ids(kept))
    return kept if len(distinct) == kept.num_rows else columns.ids_batch(distinct)


def _possible(ids: pa.RecordBatch) -> pa.Array:
    kinds, texts = ids.column(columns.ID_KIND).cast(pa.string()), columns.id_texts(ids)
    # Of numbers with equally many digits, the order of the texts is that of the numbers.
    in_range = pc.or_(
        pc.less(pc.binary_length(texts), len(_LARGEST_NUMBER)), pc.less_equal(texts, pa.scalar(_LARGEST_NUMBER))
    )
    numbers = pc.and_(pc.equal(kinds, IdKind.UINT64.value), pc.match_substring_regex(texts, _NUMBER))
    uuids = pc.and_(pc.equal(kinds, IdKind.UUID.value), pc.match_substring_regex(texts, CANONICAL_UUID))
    return pc.or_(pc.and_(numbers, in_range), uuids)


def _check_columns(batch: pa.RecordBatch, fields: Sequence[VectorField], url: str) -> None:
    wanted = {field.name: field for field in fields}
    given = set(columns.vector_names(batch))
    odd = sorted(given - wanted.keys()) or sorted(wanted.keys() - given)
    if odd:
        there = ", ".join(map(repr, sorted(wanted))) or "none"
        problem = "is not one of the collection's" if odd[0] in given else "is missing in the batch"
        raise BadRecord(f"{url} has the vectors {there}; {odd[0]!r} {problem}")
    for field in fields:
        found, expected = batch.schema.field(columns.column_name(field.name)).type, columns.arrow_type(field)
        if found != expected:
            raise BadRecord(f"{url} holds vector {field.name!r} as {expected}, the batch has {found}")


def _check_rows(batch: pa.RecordBatch, url: str) -> None:
    strange = ~_possible(batch).to_numpy(zero_copy_only=False)
    if strange.any():
        found = named(batch, int(np.argmax(strange)))
        raise BadRecord(
            f"{url} takes uint64 and uuid ids in their canonical text; {found} of kind {found.kind} is none"
        )
    documents = batch.column(columns.DOCUMENT) if columns.DOCUMENT in batch.schema.names else None
    if documents is not None and documents.null_count < len(documents):
        row = int(np.argmax(documents.is_valid().to_numpy(zero_copy_only=False)))
        raise BadRecord(
            f"{url} has no documents, record {named(batch, row)} has one",
            advice="a mapping puts documents into a payload field (--document-field)",
        )
    poison = columns.nonfinite_row(batch)
    if poison is not None:
        name, row = poison
        raise BadRecord(f"{url}: vector {name!r} of record {named(batch, row)} holds NaN or infinity")


def _column(batch: pa.RecordBatch, field: VectorField, url: str) -> Dense | Sparse | Multi:
    if field.kind is VectorKind.DENSE:
        return columns.dense_column(batch, field.name)
    if field.kind is VectorKind.MULTI:
        multi = columns.multi_column(batch, field.name)
        _refuse(batch, _first(_empty(multi)), f"{url} takes no empty multi-vector {field.name!r}")
        return multi
    sparse = columns.sparse_column(batch, field.name)
    _refuse(batch, _repeated(sparse), f"{url} takes an index once in sparse vector {field.name!r}")
    return sparse


def _refuse(batch: pa.RecordBatch, row: int | None, rule: str) -> None:
    if row is not None:
        raise BadRecord(f"{rule}; record {named(batch, row)} differs")


def _empty(column: Multi) -> Any:
    empty = np.diff(column.offsets) == 0
    return empty if column.present is None else empty & column.present


def _first(rows: Any) -> int | None:
    return int(np.argmax(rows)) if rows.any() else None


def _repeated(column: Sparse) -> int | None:
    """The first row in which an index stands twice."""
    rows = np.repeat(np.arange(len(column.offsets) - 1, dtype=np.uint64), np.diff(column.offsets))
    keys = np.sort(rows << np.uint64(32) | column.indices.astype(np.uint64))
    twice = np.flatnonzero(keys[1:] == keys[:-1])
    return int(keys[twice[0]] >> np.uint64(32)) if len(twice) else None
