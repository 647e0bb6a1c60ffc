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
from vecferry.model import ALL_PARTS, Digest, Part

__all__ = [
    "as_schema",
    "changed_rows",
    "damage",
    "opened",
    "read_hash_rows",
    "read_hashes",
    "read_part",
    "read_rows",
    "refuse_changed",
    "take_rows",
    "whole",
]

_ADVICE = "`vecferry verify` lists all that is damaged; restore the file from a copy, or export again"


def read_part(
    storage: Storage, number: int, batch_rows: int, parts: frozenset[Part] = ALL_PARTS
) -> Iterator[pa.RecordBatch]:
    """The sealed rows of a part in batches of at most `batch_rows`, in the order in which they were written.

    Ids and hashes have to add up to the file's digest and, where all parts of the records are read, each row
    is held against its hash. Raises ArchiveDamaged when the file is missing, cut or changed.
    """
    path = layout.part_path(number)
    for batch in whole(storage, path, read_rows(storage, path, batch_rows, parts)):
        if parts == ALL_PARTS:
            refuse_changed(batch, storage.place(path))
        yield batch


def read_hashes(storage: Storage, number: int, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Ids and hashes of a part in batches of `HASHES_SCHEMA`, which have to add up. Raises ArchiveDamaged."""
    path = layout.hashes_path(number)
    return whole(storage, path, read_hash_rows(storage, path, batch_rows))


def read_rows(
    storage: Storage, path: str, batch_rows: int, parts: frozenset[Part] = ALL_PARTS
) -> Iterator[pa.RecordBatch]:
    """The sealed rows of the part at `path`, not held against any hash. Raises ArchiveDamaged."""
    with damage(storage.place(path)), opened(storage, path) as file:
        schema = _schema(file, parts)
        for batch in file.iter_batches(batch_rows, columns=schema.names):
            yield as_schema(batch, schema)


def read_hash_rows(storage: Storage, path: str, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Batches of `HASHES_SCHEMA` from the file at `path`, not added up. Raises ArchiveDamaged."""
    with damage(storage.place(path)), opened(storage, path) as file:
        for batch in file.iter_batches(batch_rows):
            yield as_schema(batch, HASHES_SCHEMA)


def whole(storage: Storage, path: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same batches; at their end, ArchiveDamaged unless ids and hashes add up to the file's digest.

    A flipped bit in a footer can hide rows from Arrow, and no page checksum covers that.
    """
    found = Digest()
    for batch in batches:
        found += sealing.digest(batch)
        yield batch
    place = storage.place(path)
    with damage(place), opened(storage, path) as file:
        said = _said(file)[layout.FOOTER_DIGEST]
    if str(found) != said:
        raise ArchiveDamaged(f"{place} does not hold the records that were written: its digest differs", advice=_ADVICE)


def take_rows(storage: Storage, number: int, rows: Sequence[int], parts: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
    """Some rows of a part, by ascending row number, sealed; one row group in memory at a time.

    Raises ArchiveDamaged as `read_part` does.
    """
    path = layout.part_path(number)
    wanted = np.asarray(rows, dtype=np.int64)
    with damage(storage.place(path)), opened(storage, path) as file:
        schema = _schema(file, parts)
        found = []
        for group, start, end in _groups(file.metadata):
            here = wanted[(wanted >= start) & (wanted < end)] - start
            if len(here):
                table = file.read_row_group(group, columns=schema.names).take(pa.array(here))
                found += [as_schema(batch, schema) for batch in table.combine_chunks().to_batches()]
    result = pa.concat_batches(found) if found else pa.RecordBatch.from_pylist([], schema=schema)
    if parts == ALL_PARTS:
        refuse_changed(result, storage.place(path))
    return result


def changed_rows(batch: pa.RecordBatch) -> list[int]:
    """Rows of a sealed batch with all parts whose hash is not that of their values."""
    same = (sealing.hash_parts(batch) == columns.stored_hashes(batch)).all(axis=1)
    rows: list[int] = np.flatnonzero(~same).tolist()
    return rows


def refuse_changed(batch: pa.RecordBatch, place: str) -> None:
    """Raise ArchiveDamaged, naming the first record of a sealed batch whose hash is not that of its values."""
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


def _schema(file: pq.ParquetFile, parts: frozenset[Part]) -> pa.Schema:
    """The schema of the batches to read. Raises ArrowInvalid unless the file's columns are those of a part."""
    found = file.schema_arrow.remove_metadata()
    try:
        fields = columns.fields_of(found)
        whole = columns.arrow_schema(fields, sealed=True)
    except (AttributeError, KeyError, ValueError):
        whole = None
    if whole is None or not found.equals(whole):
        raise pa.ArrowInvalid("its columns are not those of a part")
    return columns.arrow_schema(fields, parts, sealed=True)


def as_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The columns of `schema` from a batch as Arrow read it."""
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            # A damaged dictionary may be too short for its indices, which Arrow itself does not look at.
            column.validate(full=True)
    return batch.select(schema.names).cast(schema)


@contextlib.contextmanager
def opened(storage: Storage, path: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file whose footer says that it is the one at `path`, whole; ArrowInvalid else."""
    # Buffering ahead would keep every row group that was read: the whole file, at its end.
    options = {"page_checksum_verification": True, "pre_buffer": False}
    with storage.open(path) as raw, pq.ParquetFile(raw, **options) as file:
        said = _said(file)
        rows = sum(file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups))
        if said[layout.FOOTER_PATH] != path or said[layout.FOOTER_ROWS] != str(rows):
            raise pa.ArrowInvalid(
                f"it says that it is {said[layout.FOOTER_PATH]} with {said[layout.FOOTER_ROWS]} rows, and has {rows}"
            )
        yield file


def _said(file: pq.ParquetFile) -> dict[str, str]:
    """What a file's footer says of it."""
    return {name.decode(): value.decode() for name, value in (file.metadata.metadata or {}).items()}


@contextlib.contextmanager
def damage(place: str) -> Iterator[None]:
    """Turn what Arrow says of a broken file into ArchiveDamaged."""
    try:
        yield
    except (OSError, pa.ArrowException, KeyError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise ArchiveDamaged(f"{place} cannot be read: {reason}", advice=_ADVICE) from error
