"""Versions of records that lost a conflict on the way back: kept in the archive, so that no decision loses one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive import layout, reader, writer
from vecferry.archive.delta_rows import OP, Op, is_tombstone, ops
from vecferry.archive.grouping import row_groups
from vecferry.archive.storage import Storage
from vecferry.model import Receipt, VectorField

__all__ = ["LOST", "add_losers", "gone_rows", "loser_rows", "losers_schema", "read_losers", "write_losers"]

LOST = "lost"
"""The column that says, as JSON, whose version of which part lost: `{"payload":"new"}`, `{"record":"old"}`."""


def losers_schema(vectors: Sequence[VectorField]) -> pa.Schema:
    """The columns of a file of losers: `op`, those of a sealed part, `lost`."""
    op = pa.field(OP, ops(()).type, nullable=False)
    return pa.schema([op, *columns.arrow_schema(vectors, sealed=True), pa.field(LOST, pa.string(), nullable=False)])


def loser_rows(records: pa.RecordBatch, lost: pa.StringArray) -> pa.RecordBatch:
    """Whole records as the losing side would have had them."""
    return _rows(Op.UPSERT, sealing.seal(records), lost)


def gone_rows(ids: pa.RecordBatch, lost: pa.StringArray, vectors: Sequence[VectorField]) -> pa.RecordBatch:
    """Records that the losing side had deleted: an id, and nothing else."""
    rows = ids.num_rows
    records = columns.make(
        ids.column(columns.ID),
        ids.column(columns.ID_KIND),
        vectors={field.name: pa.nulls(rows, columns.arrow_type(field)) for field in vectors},
        documents=pa.nulls(rows, pa.string()),
        payloads=["{}"] * rows,
    )
    nothing = np.zeros((rows, columns.HASHES_BYTES), dtype=np.uint8)
    return _rows(Op.TOMBSTONE, columns.with_hashes(records, nothing), lost)


def _rows(op: Op, sealed: pa.RecordBatch, lost: pa.StringArray) -> pa.RecordBatch:
    schema = losers_schema(columns.fields_of(sealed.schema))
    arrays = [sealed.column(name) for name in schema.names if name not in (OP, LOST)]
    return pa.RecordBatch.from_arrays([ops([op] * sealed.num_rows), *arrays, lost], schema=schema)


def write_losers(
    storage: Storage, number: int, vectors: Sequence[VectorField], batches: Iterable[pa.RecordBatch]
) -> Receipt:
    """Write the losers of one merge, under the number of its delta. Errors as for `writer.write_part`."""
    schema = losers_schema(vectors)
    groups = row_groups(writer.conform(batch, schema) for batch in batches)
    return writer.write_file(storage, number, layout.conflicts_path(number), schema, groups)


def add_losers(
    storage: Storage, number: int, vectors: Sequence[VectorField], batches: Iterable[pa.RecordBatch]
) -> Receipt:
    """Write the losers of one merge beside those that stand under this number already: a dead run had it before.

    Memory: the rows that are there.
    """
    there = list(read_losers(storage, number)) if storage.size(layout.conflicts_path(number)) is not None else []
    known = {key for batch in there for key in _keys(batch)}
    new = (batch.filter(pa.array([key not in known for key in _keys(batch)], pa.bool_())) for batch in batches)
    return write_losers(storage, number, vectors, [*there, *new])


def _keys(batch: pa.RecordBatch) -> list[tuple[bytes, bytes, str]]:
    """Who lost what, by row."""
    ids, hashes = sealing.hash_ids(batch), columns.stored_hashes(batch)
    texts = batch.column(LOST).to_pylist()
    return [(one.tobytes(), other.tobytes(), text) for one, other, text in zip(ids, hashes, texts, strict=True)]


def read_losers(storage: Storage, number: int, batch_rows: int = 1000) -> Iterator[pa.RecordBatch]:
    """The rows of a file of losers, each record held against its hash. Raises ArchiveDamaged."""
    path = layout.conflicts_path(number)
    for batch in reader.whole(storage, path, _read(storage, path, batch_rows)):
        records = batch.filter(pa.array(~is_tombstone(batch))).drop_columns([OP, LOST])
        reader.refuse_changed(records, storage.place(path))
        yield batch


def _read(storage: Storage, path: str, batch_rows: int) -> Iterator[pa.RecordBatch]:
    with reader.damage(storage.place(path)), reader.opened(storage, path) as file:
        found = file.schema_arrow.remove_metadata()
        try:
            schema = losers_schema(columns.fields_of(found))
        except (AttributeError, KeyError, ValueError):
            schema = None
        if schema is None or not found.equals(schema):
            raise pa.ArrowInvalid("its columns are not those of a file of conflicts")
        for batch in file.iter_batches(batch_rows):
            yield reader.as_schema(batch, schema)
