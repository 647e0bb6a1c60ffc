"""The cutover file: what a switch stands on, so that the way back needs no ledger.

Its rows say of every record where it is on the other side and what both sides held; the statement in its footer says
which migration switched which route, and how.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from vecferry import canonical, plain
from vecferry.archive import layout, reader, writer
from vecferry.archive.grouping import row_groups
from vecferry.archive.hash_rows import HASHES_SCHEMA
from vecferry.archive.storage import Storage
from vecferry.errors import ArchiveDamaged
from vecferry.model import JsonObject, Receipt

__all__ = ["STATEMENT", "read_cutover", "read_statement", "write_cutover"]

STATEMENT = "vecferry.cutover"
"""The key in the file's footer behind which the statement stands, as a JSON object."""


def write_cutover(storage: Storage, statement: JsonObject, rows: Iterable[pa.RecordBatch]) -> Receipt:
    """Write batches of `HASHES_SCHEMA`, each id once, with the statement. Errors as for `writer.write_part`.

    Memory: one row group and one batch, and 16 bytes a row.
    """
    groups = row_groups(writer.conform(batch, HASHES_SCHEMA) for batch in rows)
    said = {STATEMENT: plain.to_json(statement)}
    return writer.write_file(storage, 0, layout.CUTOVER, HASHES_SCHEMA, groups, said)


def read_cutover(storage: Storage, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """The rows in batches of `HASHES_SCHEMA`, which have to add up. Raises ArchiveDamaged."""
    return reader.whole(storage, layout.CUTOVER, reader.read_hash_rows(storage, layout.CUTOVER, batch_rows))


def read_statement(storage: Storage) -> JsonObject:
    """The statement. Raises ArchiveDamaged."""
    place = storage.place(layout.CUTOVER)
    with reader.damage(place), reader.opened(storage, layout.CUTOVER) as file:
        text = (file.metadata.metadata or {})[STATEMENT.encode()]
    try:
        found = canonical.parse_strict(text.decode())
    except ValueError as error:
        raise ArchiveDamaged(f"{place} holds no statement: {error}", advice="restore the file from a copy") from error
    if not isinstance(found, dict):
        raise ArchiveDamaged(f"{place} holds no statement", advice="restore the file from a copy")
    return found
