"""Collections of this process with an archive, for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa

from tests.support.migrating import mixed_batch, schema
from vecferry import address
from vecferry import batch as columns
from vecferry.archive import Archive, Changes, HashRows
from vecferry.contract import Target
from vecferry.model import CollectionSchema, IdKind, Receipt, RecordId
from vecferry.stores import registry
from vecferry.transfer.limits import Limits
from vecferry.transfer.pace import Pace

SCHEMA = schema()
BATCH_ROWS = 64


def memory(batches: Sequence[pa.RecordBatch], of: CollectionSchema = SCHEMA) -> Target:
    """A collection of this process that holds these records."""
    store = registry.open_target(address.parse(f"memory:///{uuid4().hex}"))
    store.create(of, {})
    for batch in batches:
        store.write(batch)
    return store


def limits(moved: list[int] | None = None, retry_budget_s: float = 0.0) -> Limits:
    """No pace, no lease; rows that move are noted."""
    noted = [] if moved is None else moved
    return Limits(BATCH_ROWS, retry_budget_s, Pace(None), lambda: None, noted.append)


def archived(folder: Path, store: Target, slices: int = 1) -> tuple[Archive, list[Receipt]]:
    """An archive with a part for each slice, its hashes as if the target had given back the same bits."""
    archive = Archive.create(folder, "docs", {"version": 1})
    described = store.describe()
    types = columns.arrow_schema(described.vectors)
    receipts = [archive.write_part(part.number, types, store.read(part)) for part in store.slices(slices)]
    hashes = [archive.write_hashes(item.number, _as_found(archive, item.number)) for item in receipts]
    archive.commit(Changes(schema=described, parts=tuple(receipts), hashes=tuple(hashes), complete=True))
    return archive, receipts


def _as_found(archive: Archive, number: int) -> list[HashRows]:
    batches = list(archive.read_part(number, BATCH_ROWS))
    hashes = [columns.stored_hashes(batch) for batch in batches]
    return [
        HashRows(batch, batch, found, found, np.ones(len(found), dtype=bool))
        for batch, found in zip(batches, hashes, strict=True)
    ]


def one(number: int, **parts: object) -> pa.RecordBatch:
    """Record `doc-<number>` of `mixed_batch`, with another `vector`, `document` or `payload` where given."""
    batch = mixed_batch(number + 1).slice(number, 1)
    for name, value in parts.items():
        at = batch.schema.get_field_index(name)
        batch = batch.set_column(at, batch.schema.field(at), pa.array([value], batch.column(at).type))
    return batch


def name(number: int) -> RecordId:
    """The id of that record."""
    return RecordId(IdKind.STRING, f"doc-{number}")
