"""Rows into Parquet files: sealed, grouped, compressed, hashed on the way, visible whole."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vecferry import batch as columns
from vecferry import hashing, sealing
from vecferry.archive import layout
from vecferry.archive.delta_rows import OP
from vecferry.archive.grouping import row_groups
from vecferry.archive.hash_rows import HASHES_SCHEMA, TARGET_ID_KIND, HashRows
from vecferry.archive.storage import Sink, Storage
from vecferry.errors import BadRecord
from vecferry.idtable import IdSet
from vecferry.model import Digest, IdKind, Receipt, VectorKind

__all__ = ["conform", "write_file", "write_hashes", "write_part"]

_KIND_TYPE = HASHES_SCHEMA.field(columns.ID_KIND).type
_KINDS = pa.array([kind.value for kind in IdKind], pa.string())
_NOT_NULL = (columns.ID, columns.ID_KIND, columns.PAYLOAD, columns.HASHES)
_COMPRESSION_LEVEL = 1


def write_part(storage: Storage, number: int, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Receipt:
    """Write the rows of one slice, each batch sealed on the way.

    `schema` is that of the batches, `batch.arrow_schema(vectors)`; hashes that they bring are computed anew.
    The same rows give the same bytes, however they are cut into batches.
    Raises BadRecord for a column that is not as in `schema`, a null where none may be, or an id that comes twice
    in this part; Stopped or StoreRefused when the file cannot be written. The file is visible only on success.
    """
    unsealed = columns.arrow_schema(columns.fields_of(schema))
    rows = (conform(columns.drop_hashes(batch), unsealed) for batch in batches)
    sealed = (sealing.seal(group) for group in row_groups(rows))
    whole = columns.arrow_schema(columns.fields_of(schema), sealed=True)
    return write_file(storage, number, layout.part_path(number), whole, sealed)


def write_hashes(storage: Storage, number: int, rows: Iterable[HashRows]) -> Receipt:
    """Write ids and hashes of one slice. Errors as for `write_part`."""
    groups = row_groups(conform(item.batch, HASHES_SCHEMA) for item in rows)
    return write_file(storage, number, layout.hashes_path(number), HASHES_SCHEMA, groups)


class _Facts:
    """What a receipt says of the rows, gathered while they pass."""

    def __init__(self) -> None:
        self.rows = 0
        self.digest = Digest()
        self.id_min: str | None = None
        self.id_max: str | None = None
        self._ids = IdSet()

    def add(self, batch: pa.RecordBatch, path: str) -> None:
        """Count a sealed batch. Raises BadRecord for an id that was there before."""
        hashes = sealing.hash_ids(batch)
        repeated = self._ids.add(hashes)
        if repeated.any():
            name = columns.record_ids(batch.slice(int(np.argmax(repeated)), 1))[0]
            raise BadRecord(
                f"the id {name} comes twice among the records of {path}",
                advice="ids are unique in a collection: correct the source, or see its store's options for ids",
            )
        self.rows += batch.num_rows
        self.digest += hashing.digest(hashes, columns.stored_hashes(batch))
        borders = pc.min_max(batch.column(columns.ID)).as_py()
        self.id_min = borders["min"] if self.id_min is None else _lower(self.id_min, borders["min"])
        self.id_max = borders["max"] if self.id_max is None else _higher(self.id_max, borders["max"])

    def footer(self, path: str) -> dict[str, str]:
        """What the file says of itself."""
        return {
            layout.FOOTER_FORMAT: layout.VERSION,
            layout.FOOTER_PATH: path,
            layout.FOOTER_ROWS: str(self.rows),
            layout.FOOTER_DIGEST: str(self.digest),
        }


def _lower(one: str, other: str) -> str:
    return min(one, other, key=str.encode)


def _higher(one: str, other: str) -> str:
    return max(one, other, key=str.encode)


def write_file(
    storage: Storage,
    number: int,
    path: str,
    schema: pa.Schema,
    groups: Iterable[pa.RecordBatch],
    more: Mapping[str, str] | None = None,
) -> Receipt:
    """Write row groups that have a hash column to the file at `path`. Errors as for `write_part`.

    `more` is said in the footer besides.
    """
    facts = _Facts()
    with storage.writing(path) as sink:
        with _parquet_writer(sink, schema) as writer:
            for group in groups:
                facts.add(group, storage.place(path))
                writer.write_batch(group)
            writer.add_key_value_metadata(facts.footer(path) | dict(more or {}))
        size_bytes, sha256 = sink.size_bytes, sink.sha256
    return Receipt(number, path, facts.rows, size_bytes, sha256, str(facts.digest), facts.id_min, facts.id_max)


@contextlib.contextmanager
def _parquet_writer(sink: Sink, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A Parquet writer that, on an error, does not try to end a file that nobody will see."""
    writer = pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=_COMPRESSION_LEVEL,
        # Both by name: a dictionary for all, or a column's name without its leaf, switches byte-stream-split off.
        use_dictionary=[name for name in schema.names if name in (columns.ID_KIND, TARGET_ID_KIND, OP)],
        use_byte_stream_split=_float_leaves(schema),
        write_page_checksum=True,
        write_statistics=[columns.ID],
    )
    try:
        yield writer
        writer.close()
    finally:
        if writer.is_open:
            sink.abandon()
            writer.close()


def _float_leaves(schema: pa.Schema) -> list[str]:
    """Full paths of the leaves that hold floats, as Parquet names them."""
    inner = {
        VectorKind.DENSE: "list.element",
        VectorKind.MULTI: "list.element.list.element",
        VectorKind.SPARSE: "values.list.element",
    }
    return [
        f"{columns.column_name(field.name)}.{inner[field.kind]}"
        for field in columns.fields_of(schema)
        if field.dtype.startswith("float")
    ]


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with the columns of `schema` in its order, kinds by one dictionary. Raises BadRecord."""
    surplus = sorted(set(batch.schema.names) - set(schema.names))
    if surplus:
        raise BadRecord(f"a batch has the column {surplus[0]!r}, which the collection's schema does not have")
    return pa.RecordBatch.from_arrays([_conform_column(batch, field) for field in schema], schema=schema)


def _conform_column(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    if field.name not in batch.schema.names:
        raise BadRecord(f"a batch lacks the column {field.name!r}")
    array = batch.column(field.name)
    if field.type == _KIND_TYPE and field.name != OP:
        array = _one_dictionary(array)
    if array.type != field.type:
        raise BadRecord(
            f"a batch has {field.name!r} as {array.type}, the collection as {field.type}",
            advice="every record's vector needs the dimension and the type that the collection has",
        )
    if field.name in _NOT_NULL and array.null_count:
        row = array.is_null().to_pylist().index(True)
        name = "" if field.name == columns.ID else f" of {batch.column(columns.ID)[row].as_py()!r}"
        raise BadRecord(f"the {field.name}{name} is null")
    return array


def _one_dictionary(array: pa.Array) -> pa.DictionaryArray:
    """Kinds with the same dictionary in every batch, so that equal rows give equal bytes. Unknown ones become null."""
    codes = pc.index_in(array.cast(pa.string()), value_set=_KINDS).cast(pa.int8())
    return pa.DictionaryArray.from_arrays(codes, _KINDS)
