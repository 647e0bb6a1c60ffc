"""Names, schemas and batches, checked before the first call: milvus-lite enforces almost no limit, a server refuses
some rows of a batch after others were stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry.errors import BadOption, BadRecord, StoreRefused
from vecferry.model import CollectionSchema, IdKind, RecordId, VectorField, VectorKind
from vecferry.stores.conform import refuse_unheld, refuse_vectors
from vecferry.stores.milvus import capabilities
from vecferry.stores.milvus.filters import MOST
from vecferry.stores.milvus.layout import Layout
from vecferry.stores.milvus.payloads import misfit
from vecferry.stores.milvus.schema import field_name

__all__ = ["Checked", "Limits", "check_batch", "check_name", "check_schema", "known_ids", "possible_name"]

_OTHER_BYTES = 64  # tags and lengths of one record

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server refuses or loses and milvus-lite does not: long payloads (bytes of JSON), the id 2^63-1."""

    payload_bytes: int | None = None
    loses_greatest_id: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """Records that fit. `sizes_bytes` `(n,)` is what each takes in a request, about."""

    batch: pa.RecordBatch
    sizes_bytes: npt.NDArray[np.int64]

    def cuts(self) -> list[tuple[int, int]]:
        """Start and length of requests that keep to the limits, each of at least one record."""
        ends = np.cumsum(self.sizes_bytes)
        found, start = [], 0
        while start < len(ends):
            before = int(ends[start - 1]) if start else 0
            fits = int(np.searchsorted(ends, before + capabilities.MAX_BATCH_BYTES, side="right")) - start
            rows = max(1, min(fits, capabilities.MAX_BATCH_ROWS))
            found.append((start, rows))
            start += rows
        return found


def possible_name(name: str) -> bool:
    """Whether a collection of a server could bear this name; milvus-lite is not that strict."""
    return capabilities.NAMES.takes(name)


def check_name(name: str, url: str) -> None:
    """Raises BadOption for a name that no collection can be made with."""
    if not possible_name(name):
        raise BadOption(
            f"{url}: Milvus takes no collection named {name!r}",
            advice=capabilities.NAMES.words,
        )


def check_schema(schema: CollectionSchema, url: str) -> None:
    """Raises StoreRefused for vectors that no collection can have."""
    claimed = capabilities.folder(IdKind.STRING, None)
    refuse_vectors(schema, claimed, url)
    fields = [field_name(one) for one in schema.vectors]
    for one, field in zip(schema.vectors, fields, strict=True):
        if not capabilities.FIELD_NAMES.takes(field) or fields.count(field) > 1:
            raise StoreRefused(
                f"{url} has no field for the vector {one.name!r}: names are letters, digits and _, each stands once, "
                "and 'id' is the key",
                advice="choose another target, or leave that vector behind (`vecferry plan` shows how)",
            )
        if one.kind is VectorKind.DENSE and (one.metric is None or not one.dimension):
            raise StoreRefused(f"{url} needs the dimension and the metric of vector {one.name!r}")
        _check_dimension(one, claimed.vectors.max_dimension or 0, url)
    if not fields:
        raise StoreRefused(f"{url} takes no collection without a vector")


def _check_dimension(one: VectorField, largest: int, url: str) -> None:
    if one.dimension is not None and one.dimension > largest:
        raise StoreRefused(f"{url} takes at most {largest:,} dimensions, vector {one.name!r} has {one.dimension:,}")


def known_ids(ids: pa.RecordBatch, kind: IdKind) -> list[str]:
    """The distinct ids that a collection with this kind of key could hold."""
    kinds = ids.column(columns.ID_KIND).cast(pa.string())
    texts = columns.id_texts(ids).filter(pc.equal(kinds, kind.value))
    return list(dict.fromkeys(texts.to_pylist()))


def check_batch(batch: pa.RecordBatch, layout: Layout, limits: Limits, url: str) -> Checked:
    """Raises BadRecord, naming the id where one row is at fault, for what the collection cannot hold exactly.

    StoreRefused for a collection whose fields are not those that `create` makes.
    """
    if layout.scalars or layout.key.generated or not layout.dynamic:
        raise StoreRefused(
            f"{url} has fields that vecferry did not make; it writes to collections of its own",
            advice="choose another collection name",
        )
    batch = columns.drop_hashes(batch)
    _check_columns(batch, layout.fields, url)
    claimed = capabilities.folder(layout.key.kind, layout)
    refuse_unheld(batch, claimed, url)
    _check_ids(batch, layout.key.kind, limits, url)
    sizes = np.full(batch.num_rows, _OTHER_BYTES, dtype=np.int64)
    for field in layout.fields:
        sizes += _checked_vector(batch, field, url)
    payloads = batch.column(columns.PAYLOAD)
    unfit = misfit(payloads, layout.names, limits.payload_bytes)
    if unfit is not None:
        raise BadRecord(f"{url} cannot hold record {_named(batch, unfit.row)}: {unfit.reason}")
    for texts in (payloads, columns.id_texts(batch)):
        sizes += pc.binary_length(texts).to_numpy(zero_copy_only=False)
    return Checked(batch, sizes)


def _check_columns(batch: pa.RecordBatch, fields: Sequence[VectorField], url: str) -> None:
    wanted = {field.name: columns.arrow_type(field) for field in fields}
    given = {name: batch.schema.field(columns.column_name(name)).type for name in columns.vector_names(batch)}
    odd = sorted(wanted.keys() ^ given.keys())
    if odd:
        there = ", ".join(map(repr, sorted(wanted)))
        problem = "is not one of the collection's" if odd[0] in given else "is missing in the batch"
        raise BadRecord(f"{url} has the vectors {there}; {odd[0]!r} {problem}")
    for name, kind in given.items():
        if kind != wanted[name]:
            raise BadRecord(f"{url} holds vector {name!r} as {wanted[name]}, the batch has {kind}")


def _check_ids(batch: pa.RecordBatch, kind: IdKind, limits: Limits, url: str) -> None:
    texts = columns.id_texts(batch)
    if limits.loses_greatest_id and kind is IdKind.INT64 and str(MOST) in texts.to_pylist():
        raise BadRecord(f"{url} cannot hold the id {MOST}: Milvus counts it and never gives it")
    if pc.count_distinct(texts).as_py() < len(texts):
        repeated = pc.value_counts(texts).to_pylist()
        found = next(item["values"] for item in repeated if item["counts"] > 1)
        raise BadRecord(f"{url}: the id {found!r} stands twice in one batch")


def _checked_vector(batch: pa.RecordBatch, field: VectorField, url: str) -> npt.NDArray[np.int64]:
    """The bytes that the vector of each row takes. Every row has it: `refuse_unheld` saw to that."""
    if field.kind is VectorKind.DENSE:
        return np.full(batch.num_rows, 4 * (field.dimension or 0), dtype=np.int64)
    sparse = columns.sparse_column(batch, field.name)
    lengths = np.diff(sparse.offsets).astype(np.int64)
    _refuse(batch, lengths == 0, f"{url} takes no empty sparse vector ({field.name!r})")
    rows = np.repeat(np.arange(batch.num_rows), lengths)
    strange = np.zeros(batch.num_rows, dtype=np.bool_)
    values = sparse.values.astype(np.float32, copy=False)
    strange[rows[~(values > 0) | (sparse.indices == 2**32 - 1)]] = True
    strange[rows[1:][(np.diff(sparse.indices.astype(np.int64)) <= 0) & (np.diff(rows) == 0)]] = True
    _refuse(batch, strange, f"{url} takes sparse values above zero, each index below 2^32-1 once ({field.name!r})")
    return 8 * lengths


def _refuse(batch: pa.RecordBatch, rows: Mask, rule: str) -> None:
    if rows.any():
        raise BadRecord(f"{rule}; record {_named(batch, int(np.argmax(rows)))} differs")


def _named(batch: pa.RecordBatch, row: int) -> RecordId:
    """The id of one row, for a message."""
    return columns.record_ids(batch.slice(row, 1))[0]
