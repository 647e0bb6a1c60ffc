"""What an archive knows of its switch, in the terms in which a ledger would keep it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vecferry.archive import Archive, DeltaEntry, Manifest, verify
from vecferry.errors import ArchiveDamaged, BadOption
from vecferry.ledger import Delta, Direction, Entry, Restored, SliceRow
from vecferry.model import Receipt, Slice
from vecferry.strategies.cutover_file import Statement, read_statement

__all__ = ["Kept", "kept_in", "opened", "restored"]


@dataclass(frozen=True, slots=True)
class Kept:
    """What one archive knows of its switch. `open_deltas`: files of deltas that nobody read back."""

    statement: Statement
    deltas: int
    open_deltas: tuple[str, ...]


def kept_in(archive: Archive) -> Kept | None:
    """What an archive knows of its switch, None where none was near. Raises ArchiveDamaged."""
    manifest = archive.manifest()
    if manifest.cutover is None:
        return None
    found = verify(archive, deep=False)
    if not found.sound:
        raise ArchiveDamaged(f"{archive.place} is not as it was written: {found.damages[0]}", advice="restore the file")
    listed = {delta.rows.path for delta in manifest.deltas} | {delta.hashes.path for delta in manifest.deltas}
    left = tuple(path for path in archive.storage.files() if path.startswith("deltas/") and path not in listed)
    return Kept(read_statement(archive), len(manifest.deltas), left)


def opened(folder: Path, collection: str | None) -> Archive:
    """The archive of a collection in a folder, or of the only one. Raises NotFound, BadOption."""
    if collection is not None:
        return Archive.open(folder, collection)
    known = Archive.collections(folder)
    if len(known) > 1:
        raise BadOption(f"{folder} holds {len(known)} collections", advice=f"name one: --collection {known[0]}")
    return Archive.open(folder, known[0] if known else "")


def restored(archive: Archive, statement: Statement, folder: str) -> Restored:
    """What a ledger would know by an archive whose migration has `folder` as its own."""
    manifest = archive.manifest()
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
