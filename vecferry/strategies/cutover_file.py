"""What a switch stands on, written into the archive before its commit: enough to go back, or on, without the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from vecferry import failpoints, plain, sealing
from vecferry.archive import HASHES_SCHEMA, Archive, Changes
from vecferry.errors import ArchiveDamaged
from vecferry.ledger import Migration, SliceRow
from vecferry.model import Digest, JsonObject, Receipt
from vecferry.strategies.telling import serving
from vecferry.strategies.work import Work
from vecferry.transfer.known import KnownState

__all__ = ["CopiedSlice", "Statement", "read_statement", "write_cutover_file"]

_VERSION = 1


@dataclass(frozen=True, slots=True)
class CopiedSlice:
    """One slice of the plan, and what its comparison with the target gave."""

    number: int
    bounds: JsonObject
    rows: int | None
    verified: JsonObject | None


@dataclass(frozen=True, slots=True)
class Statement:
    """Which switch it is, in the terms in which the ledger would keep it. `route_epoch` is the one after the switch.

    `facts` are results of earlier phases that the way back asks for.
    """

    version: int
    migration: str
    name: str
    strategy: str
    route: str
    route_epoch: int
    source_url: str
    target_url: str
    config: JsonObject
    slices: tuple[CopiedSlice, ...]
    facts: JsonObject
    alias: JsonObject | None
    created_at: datetime
    said_at: datetime


_FACTS = ("inventory", "loaded", "verdict", "identity", "target identity", "backup")
"""What `complete`, `decommission`, `status` and the way back look up."""


def write_cutover_file(work: Work, known: KnownState, *, epoch: int, alias: JsonObject | None = None) -> Receipt:
    """Write `cutover.parquet`, read it back, and let the archive's manifest list it. A later switch writes it anew.

    `epoch` is what the route will have after the switch, `alias` what the engine's alias is to become with it. Call it
    while the writes are paused, before the transaction. Raises ArchiveDamaged where it does not read back.
    """
    work.once("target identity", lambda: {"target": work.reader().identity()})
    receipt = work.archive.write_cutover(plain.to_plain(_statement(work, epoch, alias)), _rows(known))
    failpoints.reached("cutover.file_written")
    _read_back(work.archive, receipt)
    work.archive.commit(Changes(cutover=receipt))
    failpoints.reached("cutover.file_listed")
    return receipt


def read_statement(archive: Archive) -> Statement:
    """What the archive's cutover file says of its switch. Raises ArchiveDamaged."""
    content = archive.cutover_statement()
    if content.get("version") != _VERSION:
        raise ArchiveDamaged(
            f"the cutover file of {archive.place} has the version {content.get('version')!r}",
            advice="install a newer vecferry: pip install --upgrade vecferry",
        )
    try:
        return plain.from_plain(Statement, dict(content))
    except ValueError as error:
        raise ArchiveDamaged(
            f"the cutover file of {archive.place} does not say which switch it is: {error}",
            advice="restore the file from a copy",
        ) from error


def _statement(work: Work, epoch: int, alias: JsonObject | None) -> JsonObject:
    migration: Migration = work.migration
    names = ("name", "strategy", "route", "source_url", "target_url", "config")
    found = {name: work.fact(name) for name in _FACTS}
    return {
        "version": _VERSION,
        "migration": migration.id,
        **{name: getattr(migration, name) for name in names},
        "route_epoch": epoch,
        "slices": [_copied(row) for row in work.slices()],
        "facts": {name: value for name, value in found.items() if value is not None},
        "alias": alias,
        "created_at": migration.created_at.isoformat(),
        "said_at": serving(work).at.isoformat(),
    }


def _copied(row: SliceRow) -> CopiedSlice:
    return CopiedSlice(row.slice.number, row.slice.bounds, row.slice.rows, row.verified)


def _rows(known: KnownState) -> Iterator[pa.RecordBatch]:
    for batch in known.batches():
        yield pa.RecordBatch.from_arrays([batch.column(name) for name in HASHES_SCHEMA.names], schema=HASHES_SCHEMA)


def _read_back(archive: Archive, receipt: Receipt) -> None:
    """The file as it is on the disk: its checksum, its statement, its rows."""
    archive.confirm(receipt)
    read_statement(archive)
    found = sum((sealing.digest(batch) for batch in archive.read_cutover()), Digest())
    if str(found) != receipt.digest:
        raise ArchiveDamaged(f"the cutover file of {archive.place} does not read back as it was written")
