"""Make a verified backup: files copied with checksums, a database as an archive, or a server's own snapshot.

Each is a folder of its own below `ROOT/COLLECTION/`; what stands there already is never touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vecferry.config import MigrationConfig, StoreConfig
from vecferry.contract import Source
from vecferry.errors import BadOption, VecferryError
from vecferry.ledger import Ledger, State
from vecferry.model import Digest
from vecferry.operations.archives import collection_url
from vecferry.operations.migrations import run, start
from vecferry.stores import registry
from vecferry.strategies.runner import Ref, Runner
from vecferry.transfer import backup_set, pace, progress
from vecferry.transfer.backup import CopiedFile, copy_store, download_snapshot, list_files
from vecferry.transfer.backup_listing import BackupListing, Method, read_listing, utc_now
from vecferry.transfer.backup_set import Making
from vecferry.transfer.digest import digest_of
from vecferry.transfer.engine_name import engine_name

__all__ = ["Backup", "Method", "backup", "choose_method", "copy_backup", "forget", "found_backup", "start_backup"]

NAME = "backup"
"""Name under which reading for a snapshot counts its progress."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A whole backup: where it is, what it lists, and the migration that exported it, if one did."""

    folder: Path
    listing: BackupListing
    migration: str | None = None


def backup(runner: Runner, ledger: Ledger, config: MigrationConfig, root: Path, method: Method | None = None) -> Backup:
    """Back a collection up below `root`. All of it is read back before this returns.

    `method` None: files are copied, anything else is exported to an archive. The target of `config` is not looked at.
    Raises BadOption for a method that the store does not have, DataDiffer when files change under the copy,
    Stopped for a disk that is too small.
    """
    chosen = choose_method(config, method)
    if chosen is not Method.ARCHIVE:
        return copy_backup(config, root, chosen)
    ref = start_backup(ledger, config, root)
    run(runner, ref)
    return found_backup(ledger, ref)


def choose_method(config: MigrationConfig, wanted: Method | None) -> Method:
    """How a source is backed up. Raises BadOption for a way that it does not have."""
    if wanted is Method.ARCHIVE:
        return wanted
    with registry.open_source(config.source.address()) as source:
        ways = {Method.FILES: bool(source.files()), Method.SNAPSHOT: source.snapshots() is not None}
    if wanted is None:
        return Method.FILES if ways[Method.FILES] else Method.ARCHIVE
    if not ways[wanted]:
        has = ", ".join(method for method in Method if ways.get(method, True))
        raise BadOption(f"{config.source.public()} cannot be backed up as {wanted}", advice=f"--method {has}")
    return wanted


def start_backup(ledger: Ledger, config: MigrationConfig, root: Path) -> Ref:
    """Register the export of a source into a new folder below `root`; once it is verified it becomes a backup."""
    made_at = utc_now()
    with registry.open_source(config.source.address()) as source:
        making = Making(str(config.source.public()), source.describe().name, Method.ARCHIVE, made_at)
    folder = backup_set.begin(root.absolute(), making)
    archive = folder / Method.ARCHIVE
    target = StoreConfig(url=collection_url(archive, making.collection))
    ref = start(ledger, config.model_copy(update={"target": target, "archive": archive, "limit": None}), "backup")
    if Path(ledger.migration(ref.migration).archive) == archive:
        backup_set.note_migration(folder, making, ref.migration)
    else:  # a flow run that is retried goes on with the backup that it began
        backup_set.remove(folder)
    return ref


def forget(ledger: Ledger, ref: Ref) -> None:
    """Remove the folder of a backup whose export was ended before it began; any other can be resumed."""
    folder = Path(ledger.migration(ref.migration).archive).parent
    if ledger.migration(ref.migration).state is State.ABORTED and not backup_set.is_whole(folder):
        backup_set.remove(folder)


def found_backup(ledger: Ledger, ref: Ref) -> Backup:
    """The backup that an export has become."""
    folder = Path(ledger.migration(ref.migration).archive).parent
    return Backup(folder, read_listing(folder), ref.migration)


def copy_backup(config: MigrationConfig, root: Path, method: Method) -> Backup:
    """A backup by copying files or by a server's snapshot, without a migration. Removed again when it fails."""
    made_at = utc_now()
    with registry.open_source(config.source.address()) as source:
        making = Making(str(config.source.public()), source.describe().name, method, made_at)
        folder = backup_set.begin(root.absolute(), making)
        with backup_set.making(folder):
            try:
                _refuse_inside(source, root.absolute())
                listing = _MAKERS[method](source, making, folder, config)
            except VecferryError:
                backup_set.remove(folder)
                raise
            backup_set.finish(folder, listing)
    return Backup(folder, listing)


def _refuse_inside(source: Source, root: Path) -> None:
    """Backups inside the store would be copied into the next backup."""
    if any(item.file.is_relative_to(root) for item in source.files()):
        raise BadOption(f"{root} lies inside {source.url}", advice="name a folder outside of the store")


def _by_files(source: Source, making: Making, folder: Path, config: MigrationConfig) -> BackupListing:
    rows = source.count()
    copied = copy_store(source, folder / Method.FILES)
    return _listing(source, making, copied, rows, None)


def _by_snapshot(source: Source, making: Making, folder: Path, config: MigrationConfig) -> BackupListing:
    snapshots = source.snapshots()
    assert snapshots is not None, "the method was chosen by what the store has"
    before = _digest(source, config)
    content = folder / Method.SNAPSHOT
    content.mkdir()
    download_snapshot(snapshots, content)
    quiet = _digest(source, config) == before
    note = "" if quiet else "written to meanwhile: its checksum proves the file, its records were not compared"
    rows, digest = (before.count, str(before)) if quiet else (None, None)
    return _listing(source, making, list_files(content), rows, digest, note)


_MAKERS = {Method.FILES: _by_files, Method.SNAPSHOT: _by_snapshot}


def _digest(source: Source, config: MigrationConfig) -> Digest:
    progress.begin(NAME, "read", source.count())
    paced = pace.Pace(config.max_rows_per_s)

    def moved(rows: int) -> None:
        paced.take(rows)
        progress.advance(NAME, "read", rows)

    return digest_of(source, config.batch_rows, moved)


def _listing(
    source: Source, making: Making, files: list[CopiedFile], rows: int | None, digest: str | None, note: str = ""
) -> BackupListing:
    return BackupListing(
        making.source,
        making.collection,
        engine_name(source.url.partition(":")[0], source),
        making.method,
        tuple(files),
        making.made_at,
        rows=rows,
        digest=digest,
        verified_at=utc_now(),
        note=note,
    )
