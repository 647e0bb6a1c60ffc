"""Whether a batch is what a collection can take: its columns, their types, its kinds of ids."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as batches
from vecferry.capabilities import Capabilities
from vecferry.errors import BadRecord, StoreRefused
from vecferry.model import CollectionSchema, IdKind, Part

__all__ = ["conform", "refuse_unheld", "refuse_vectors"]


def conform(batch: pa.RecordBatch, wanted: pa.Schema, url: str) -> pa.RecordBatch:
    """The batch without hashes and in the collection's column order.

    Raises BadRecord when a column is missing, unknown or of another type (a wrong dimension is one).
    """
    batch = batches.drop_hashes(batch)
    odd = sorted(set(batch.schema.names) ^ set(wanted.names))
    if odd:
        raise BadRecord(f"{url} has the columns {wanted.names}; the batch differs in {odd}")
    for expected in wanted:
        found = batch.schema.field(expected.name).type
        if found != expected.type:
            raise BadRecord(f"{url} holds {expected.name} as {expected.type}, the batch has {found}")
    return pa.RecordBatch.from_arrays([batch.column(name) for name in wanted.names], schema=wanted)


def refuse_vectors(schema: CollectionSchema, claimed: Capabilities, url: str) -> None:
    """Raise StoreRefused where a collection's vectors are beyond what the store claims."""
    support = claimed.vectors
    for field in schema.vectors:
        if field.kind not in support.kinds or field.dtype not in support.dtypes:
            raise StoreRefused(f"{url} cannot hold {field.kind} vectors of {field.dtype} ({field.name!r})")
        if field.metric is not None and field.metric not in support.metrics:
            raise StoreRefused(f"{url} has no metric {field.metric}")
    names = [field.name for field in schema.vectors]
    if not support.named and names != [""]:
        raise StoreRefused(f"{url} holds one unnamed vector a record, not {names}")


def refuse_unheld(batch: pa.RecordBatch, claimed: Capabilities, url: str) -> None:
    """Raise BadRecord, naming the id, for a record that the store does not claim to hold (payload types apart)."""
    kinds = {IdKind(kind) for kind in pc.unique(batch.column(batches.ID_KIND).cast(pa.string())).to_pylist()}
    if not kinds <= claimed.id_kinds:
        odd = sorted(kinds - claimed.id_kinds)[0]
        row = batches.id_kinds(batch).index(odd)
        raise BadRecord(f"{url} cannot hold the id {_name(batch, row)} of kind {odd}")
    if claimed.max_id_bytes is not None and batch.num_rows:
        _refuse_long_ids(batch, claimed.max_id_bytes, url)
    if not claimed.vectors.missing:
        for name in batches.vector_names(batch):
            _refuse_null(batch, batches.column_name(name), f"lacks its vector {name!r}".replace(" ''", ""), url)
    if not claimed.vectors.nonfinite and (found := batches.nonfinite_row(batch)):
        raise BadRecord(f"the vector of record {_name(batch, found[1])} holds NaN or infinity, which {url} cannot say")
    if not claimed.document and Part.DOCUMENT in batches.parts_of(batch):
        present = batch.column(batches.DOCUMENT).is_valid().to_numpy(zero_copy_only=False)
        if present.any():
            raise BadRecord(f"record {_name(batch, int(np.argmax(present)))} has a document; {url} has no field for it")


def _refuse_long_ids(batch: pa.RecordBatch, limit: int, url: str) -> None:
    sizes = pc.binary_length(batch.column(batches.ID)).to_numpy(zero_copy_only=False)
    if sizes.max() > limit:
        row = int(np.argmax(sizes))
        raise BadRecord(f"the id {_name(batch, row)[:60]}... has {sizes[row]} bytes, {url} takes at most {limit}")


def _refuse_null(batch: pa.RecordBatch, column: str, what: str, url: str) -> None:
    array = batch.column(column)
    if array.null_count:
        row = int(np.argmin(array.is_valid().to_numpy(zero_copy_only=False)))
        raise BadRecord(f"record {_name(batch, row)} {what}; {url} holds whole records only")


def _name(batch: pa.RecordBatch, row: int) -> str:
    return str(batches.record_ids(batch.slice(row, 1))[0])
