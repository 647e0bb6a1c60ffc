"""A ledger that was lost, made anew from the archive of a switched migration: then its way back works again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vecferry.archive import Archive, DeltaEntry, Manifest, verify
from vecferry.errors import ArchiveDamaged, BadOption, NotFound, PlanRefused
from vecferry.ledger import Delta, Direction, Entry, Holder, Ledger, Migration, Restored, SliceRow
from vecferry.model import Receipt, Slice
from vecferry.operations.pausing import observe
from vecferry.strategies.cutover_file import Statement, read_statement
from vecferry.strategies.telling import Observed

__all__ = ["Proposal", "Rebuilt", "propose", "rebuild"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a ledger would say. `open_deltas`: files of deltas that nobody read back; a way back looks for itself."""

    statement: Statement
    folder: Path
    collection: str
    deltas: int
    open_deltas: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What was entered, and what alias, route file and application say of it."""

    migration: Migration
    observed: Observed


def propose(folder: Path, collection: str | None = None) -> Proposal:
    """What the archive in a folder knows of its switch; every file is held against its checksum. Writes nothing.

    Raises NotFound where no switch was near, BadOption where several collections are there and none is named,
    PlanRefused for a workspace, ArchiveDamaged.
    """
    archive = _opened(folder, collection)
    manifest = archive.manifest()
    if manifest.cutover is None:
        raise NotFound(
            f"{archive.place} holds no cutover file: its migration was not about to switch",
            advice="there is no route to go back on; restore the archive with vecferry restore ARCHIVE URL",
        )
    found = verify(archive, deep=False)
    if not found.sound:
        raise ArchiveDamaged(f"{archive.place} is not as it was written: {found.damages[0]}", advice="restore the file")
    listed = {delta.rows.path for delta in manifest.deltas} | {delta.hashes.path for delta in manifest.deltas}
    left = tuple(path for path in archive.storage.files() if path.startswith("deltas/") and path not in listed)
    statement = read_statement(archive)
    if statement.strategy == "rolling":
        raise PlanRefused(
            f"{archive.place} is that of one workspace of {statement.migration.rpartition('.')[0]}: the ledger of a "
            "rolling migration is not made anew from it",
            advice="restore the ledger from a copy; the archive itself can be restored: vecferry restore ARCHIVE URL",
        )
    return Proposal(statement, folder.absolute(), archive.collection, len(manifest.deltas), left)


def rebuild(ledger: Ledger, proposal: Proposal) -> Rebuilt:
    """Enter it as SWITCHED. Raises PlanRefused where the ledger knows the migration or the route already."""
    archive = Archive.open(proposal.folder, proposal.collection)
    migration = ledger.restore_migration(_restored(archive, proposal), Holder.here().user)
    return Rebuilt(migration, observe(ledger, migration.id))


def _opened(folder: Path, collection: str | None) -> Archive:
    if collection is not None:
        return Archive.open(folder, collection)
    known = Archive.collections(folder)
    if len(known) > 1:
        raise BadOption(f"{folder} holds {len(known)} collections", advice=f"name one: --collection {known[0]}")
    return Archive.open(folder, known[0] if known else "")


def _restored(archive: Archive, proposal: Proposal) -> Restored:
    statement, manifest = proposal.statement, archive.manifest()
    folder = str(proposal.folder)
    return Restored(
        statement.migration,
        Entry(
            statement.name,
            statement.strategy,
            statement.source_url,
            statement.target_url,
            statement.route,
            folder,
            {**statement.config, "archive": folder},
        ),
        statement.created_at,
        archive.plan(),
        _slices(statement, manifest),
        statement.facts,
        [_delta(statement.migration, entry) for entry in manifest.deltas],
        statement.route_epoch,
        statement.alias,
    )


def _slices(statement: Statement, manifest: Manifest) -> list[SliceRow]:
    copied: dict[int, Receipt] = {part.rows.number: part.rows for part in manifest.parts}
    return [
        SliceRow(Slice(one.number, one.bounds, one.rows), copied.get(one.number), statement.said_at, one.verified)
        for one in statement.slices
    ]


def _delta(migration_id: str, entry: DeltaEntry) -> Delta:
    now = datetime.now(UTC)
    counts = {"added": str(entry.added), "removed": str(entry.removed), "rows": entry.rows.rows}
    return Delta(
        migration_id,
        entry.rows.number,
        Direction(entry.direction),
        entry.rows,
        {**counts, "gone": 0, "changed": 0},
        {"rebuilt": True},
        now,
        now,
        entry.hashes,
        entry.closing,
        now,
    )
