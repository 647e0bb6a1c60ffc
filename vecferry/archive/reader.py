"""Parquet files back into record batches, with page checksums and the rows' own hashes checked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive import layout
from vecferry.archive.hash_rows import HASHES_SCHEMA
from vecferry.archive.storage import Storage
from vecferry.errors import ArchiveDamaged
from vecferry.model import ALL_PARTS, Part

__all__ = ["changed_rows", "read_hashes", "read_part", "read_rows", "take_rows"]

_COLUMNS = {Part.VECTORS: "vector", Part.DOCUMENT: columns.DOCUMENT, Part.PAYLOAD: columns.PAYLOAD}
_ADVICE = "`vecferry verify` lists all that is damaged; restore the file from a copy, or export again"


def read_part(
    storage: Storage, number: int, batch_rows: int, parts: frozenset[Part] = ALL_PARTS
) -> Iterator[pa.RecordBatch]:
    """The sealed rows of a part in batches of at most `batch_rows`, in the order in which they were written.

    Where all parts of the records are read, each row is held against its hash.
    Raises ArchiveDamaged when the file is missing, cut or changed.
    """
    path = layout.part_path(number)
    for batch in read_rows(storage, path, batch_rows, parts):
        if parts == ALL_PARTS:
            _refuse_changed(batch, storage.place(path))
        yield batch


def read_hashes(storage: Storage, number: int, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Ids and hashes of a part in batches of `HASHES_SCHEMA`. Raises ArchiveDamaged."""
    path = layout.hashes_path(number)
    with _damage(storage.place(path)), _opened(storage, path) as file:
        for batch in file.iter_batches(batch_rows):
            yield batch.cast(HASHES_SCHEMA)


def read_rows(
    storage: Storage, path: str, batch_rows: int, parts: frozenset[Part] = ALL_PARTS
) -> Iterator[pa.RecordBatch]:
    """The sealed rows of the part at `path`, not held against their hashes. Raises ArchiveDamaged."""
    with _damage(storage.place(path)), _opened(storage, path) as file:
        schema = _schema(file, parts)
        for batch in file.iter_batches(batch_rows, columns=_leaves(parts)):
            yield _as(batch, schema)


def take_rows(storage: Storage, number: int, rows: Sequence[int], parts: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
    """Some rows of a part, by ascending row number, sealed; one row group in memory at a time.

    Raises ArchiveDamaged as `read_part` does.
    """
    path = layout.part_path(number)
    wanted = np.asarray(rows, dtype=np.int64)
    with _damage(storage.place(path)), _opened(storage, path) as file:
        schema = _schema(file, parts)
        found = []
        for group, start, end in _groups(file.metadata):
            here = wanted[(wanted >= start) & (wanted < end)] - start
            if len(here):
                table = file.read_row_group(group, columns=_leaves(parts)).take(pa.array(here))
                found += [_as(batch, schema) for batch in table.combine_chunks().to_batches()]
    result = pa.concat_batches(found) if found else pa.RecordBatch.from_pylist([], schema=schema)
    if parts == ALL_PARTS:
        _refuse_changed(result, storage.place(path))
    return result


def changed_rows(batch: pa.RecordBatch) -> list[int]:
    """Rows of a sealed batch with all parts whose hash is not that of their values."""
    same = (sealing.hash_parts(batch) == columns.stored_hashes(batch)).all(axis=1)
    rows: list[int] = np.flatnonzero(~same).tolist()
    return rows


def _refuse_changed(batch: pa.RecordBatch, place: str) -> None:
    rows = changed_rows(batch)
    if rows:
        name = columns.record_ids(batch.slice(rows[0], 1))[0]
        raise ArchiveDamaged(f"{place}: the record {name} is not what was written (its hash differs)", advice=_ADVICE)


def _groups(metadata: pq.FileMetaData) -> Iterator[tuple[int, int, int]]:
    """Number, first row and end of each row group."""
    start = 0
    for group in range(metadata.num_row_groups):
        end = start + metadata.row_group(group).num_rows
        yield group, start, end
        start = end


def _leaves(parts: frozenset[Part]) -> list[str]:
    """Names to read: `vector` stands for every column below it, `vector.name` included."""
    return [columns.ID, columns.ID_KIND, columns.HASHES, *(_COLUMNS[part] for part in parts)]


def _schema(file: pq.ParquetFile, parts: frozenset[Part]) -> pa.Schema:
    return columns.arrow_schema(columns.fields_of(file.schema_arrow), parts, sealed=True)


def _as(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    return batch.select(schema.names).cast(schema)


@contextlib.contextmanager
def _opened(storage: Storage, path: str) -> Iterator[pq.ParquetFile]:
    with storage.open(path) as raw, pq.ParquetFile(raw, page_checksum_verification=True) as file:
        yield file


@contextlib.contextmanager
def _damage(place: str) -> Iterator[None]:
    """Turn what Arrow says of a broken file into ArchiveDamaged."""
    try:
        yield
    except (OSError, pa.ArrowException, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ArchiveDamaged(f"{place} cannot be read: {reason}", advice=_ADVICE) from error
