"""Names, schemas and batches, checked before the first call: Chroma refuses some half-way, and changes others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry.errors import BadOption, BadRecord, StoreRefused
from vecferry.model import CollectionSchema, DType, IdKind, Metric, RecordId, VectorField, VectorKind
from vecferry.stores.chroma.capabilities import NAMES
from vecferry.stores.chroma.metadata_rows import Metadata
from vecferry.stores.chroma.payloads import Unfit, metadata_values
from vecferry.stores.chroma.schema import SPACES

__all__ = ["Checked", "check_batch", "check_name", "check_schema", "known_ids", "possible_name"]

_OTHER_BYTES = 128  # the id, quotes and commas of one record

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Checked:
    """Records that fit, as Chroma's client takes them: `n` each, vectors `(n, dim) float32`.

    `sizes_bytes` `(n,)` is what each record takes in a request, about.
    """

    ids: list[str]
    vectors: Floats
    documents: list[str | None]
    metadatas: list[Metadata]
    uris: list[str | None]
    sizes_bytes: npt.NDArray[np.int64]


def possible_name(name: str) -> bool:
    """Whether a Chroma collection could bear this name."""
    return NAMES.takes(name)


def check_name(name: str, url: str) -> None:
    """Raises BadOption for a name that Chroma would refuse."""
    if not possible_name(name):
        raise BadOption(
            f"{url}: Chroma takes no collection named {name!r}",
            advice=NAMES.words,
        )


def check_schema(schema: CollectionSchema, url: str) -> tuple[str, int]:
    """Chroma's word for the metric, and the dimension. Raises StoreRefused for what no Chroma collection can be."""
    field = schema.vectors[0] if len(schema.vectors) == 1 else None
    if field is None or field.name:
        found = ", ".join(repr(vector.name) for vector in schema.vectors) or "none"
        raise StoreRefused(f"{url} takes one vector without a name; the schema has {found}")
    if field.kind is not VectorKind.DENSE or field.dtype is not DType.FLOAT32:
        raise StoreRefused(f"{url} takes dense vectors of float32, not {field.kind} ones of {field.dtype}")
    if field.metric is None or field.metric not in SPACES or not field.dimension:
        known = ", ".join(SPACES)
        raise StoreRefused(
            f"{url} needs a dimension and one of the metrics {known}; it got {field.dimension} and {field.metric}",
            advice="`vecferry plan` shows what can be changed on the way (--metric)",
        )
    return SPACES[field.metric], field.dimension


def known_ids(ids: pa.RecordBatch) -> list[str]:
    """The distinct ids that Chroma could hold: strings that are not empty."""
    texts = columns.id_texts(ids)
    kinds = ids.column(columns.ID_KIND).cast(pa.string())
    possible = pc.and_(pc.equal(kinds, IdKind.STRING.value), pc.not_equal(texts, ""))
    return list(dict.fromkeys(texts.filter(possible).to_pylist()))


def check_batch(batch: pa.RecordBatch, field: VectorField, url: str) -> Checked:
    """Raises BadRecord, naming the id where one row is at fault, for what the collection cannot hold exactly."""
    _check_columns(batch, field, url)
    ids = _ids(batch, url)
    vectors = _vectors(batch, field, url)
    payloads = batch.column(columns.PAYLOAD)
    try:
        metadatas, uris = metadata_values(payloads)
    except Unfit as error:
        raise BadRecord(
            f"{url} cannot hold record {_named(batch, error.row)}: {error}",
            advice="a mapping puts such values into a side field (`vecferry plan`)",
        ) from error
    documents = batch.column(columns.DOCUMENT) if columns.DOCUMENT in batch.schema.names else None
    listed = documents.to_pylist() if documents is not None else [None] * len(ids)
    return Checked(ids, vectors, listed, metadatas, uris, _sizes(vectors.shape[1], payloads, documents))


def _check_columns(batch: pa.RecordBatch, field: VectorField, url: str) -> None:
    names = columns.vector_names(batch)
    if names != [""]:
        raise BadRecord(f"{url} has one vector without a name; the batch has {names}")
    found = batch.schema.field(columns.column_name("")).type
    # A collection made by others learns its dimension from its first record.
    expected = columns.arrow_type(replace(field, dimension=field.dimension or getattr(found, "list_size", 0)))
    if found != expected:
        raise BadRecord(f"{url} holds vectors as {expected}, the batch has {found}")


def _ids(batch: pa.RecordBatch, url: str) -> list[str]:
    kinds = batch.column(columns.ID_KIND).cast(pa.string())
    texts = columns.id_texts(batch)
    fits = pc.and_(pc.equal(kinds, IdKind.STRING.value), pc.not_equal(texts, "")).to_numpy(zero_copy_only=False)
    if not fits.all():
        found = _named(batch, int(np.argmin(fits)))
        raise BadRecord(f"{url} takes strings that are not empty as ids; {found} of kind {found.kind} is none")
    listed: list[str] = texts.to_pylist()
    if len(set(listed)) < len(listed):
        repeated = Counter(listed).most_common(1)[0][0]
        raise BadRecord(f"{url}: the id {repeated!r} stands twice in one batch, which Chroma would merge")
    return listed


def _vectors(batch: pa.RecordBatch, field: VectorField, url: str) -> Floats:
    dense = columns.dense_column(batch)
    if dense.present is not None:
        row = int(np.argmin(dense.present))
        raise BadRecord(f"{url} takes no record without its vector; {_named(batch, row)} lacks it")
    values: Floats = dense.values  # type: ignore[assignment]
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", values, values)
    unsafe = np.flatnonzero(~np.isfinite(squares))
    for row in unsafe.tolist():
        if not np.isfinite(values[row]).all():
            raise BadRecord(f"{url}: the vector of record {_named(batch, row)} holds NaN or infinity")
        if field.metric is Metric.COSINE:
            raise BadRecord(f"{url}: the vector of record {_named(batch, row)} is longer than float32 can say")
    return values


def _sizes(dimension: int, payloads: pa.StringArray, documents: pa.StringArray | None) -> npt.NDArray[np.int64]:
    """Bytes of each record in a request: its vector travels as base64, the rest as JSON text."""
    sizes = np.full(len(payloads), 16 * dimension // 3 + _OTHER_BYTES, dtype=np.int64)
    for texts in (payloads, documents):
        if texts is not None:
            sizes += pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    return sizes


def _named(batch: pa.RecordBatch, row: int) -> RecordId:
    """The id of one row, for a message."""
    return columns.record_ids(batch.slice(row, 1))[0]
