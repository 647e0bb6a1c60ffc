"""Put a backup back: as the files that it was made of, as the server's collection, or into any other store.

Bytes that go back to the same kind of store are proven by their checksums, a snapshot by the digest that was taken
with it; whatever is converted on the way goes through the validation ladder of a load.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from vecferry.address import Address
from vecferry.config import MigrationConfig, StoreConfig, home
from vecferry.contract import Reader, SourceFile
from vecferry.errors import BadOption, DataDiffer, NotFound, StoreRefused, TargetNotEmpty
from vecferry.ledger import Ledger
from vecferry.model import Level, LevelResult, LevelState, Verdict, VerdictState
from vecferry.operations.archives import collection_url, start_load
from vecferry.operations.backup_sets import newest_of
from vecferry.operations.migrations import run, start
from vecferry.stores import registry
from vecferry.strategies.runner import Ref, Runner
from vecferry.transfer import backup_set, progress
from vecferry.transfer.backup import CopiedFile, copy_files, put_back, refuse_damaged
from vecferry.transfer.backup_listing import BackupListing, Method
from vecferry.transfer.digest import digest_of
from vecferry.transfer.engine_name import minor_version
from vecferry.transfer.relocated import FILE_STORES, is_read_directly, relocated

__all__ = ["Restored", "find_backup", "restore", "restore_whole", "start_restore", "tidy"]

NAME = "restore"
"""Name under which reading a recovered snapshot counts its progress."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back: files read back by checksum, or a collection with its verdict."""

    target: str
    files: tuple[CopiedFile, ...] = ()
    migration: str | None = None
    verdict: Verdict | None = None
    rows: int | None = None


def restore(runner: Runner, ledger: Ledger, place: str, target: StoreConfig, options: MigrationConfig) -> Restored:
    """Put a backup back into a place where nothing is, and compare all of it.

    `place` is a backup's folder, a folder that holds one backup, or an archive's folder or URL; source and target of
    `options` are not looked at. Raises NotFound or TargetNotEmpty when something is in the way, ArchiveDamaged for a
    damaged backup, DataDiffer when what was put back is not what was backed up.
    """
    whole = restore_whole(place, target)
    if whole is not None:
        return whole
    ref = start_restore(ledger, place, options.model_copy(update={"target": target}))
    verdict = run(runner, ref)
    tidy(ledger, ref)
    return Restored(str(target.public()), migration=ref.migration, verdict=verdict)


def find_backup(place: str) -> tuple[Path, BackupListing] | None:
    """The one backup at a place; None for an archive. Raises BadOption for several, NotFound for one that is broken."""
    folder = StoreConfig(url=place).public().file if place.startswith("archive:") else Path(place).absolute()
    found = backup_set.scan(folder) if folder.is_dir() else []
    found = [item for item in found if item.state is not backup_set.BackupState.FOREIGN]
    if not found:
        return None
    if len(found) > 1:
        example = newest_of(found)
        advice = f"name one of them, for example {example.folder}" if example else f"vecferry backups list {folder}"
        raise BadOption(f"{folder} holds {len(found)} backups", advice=advice)
    return found[0].folder, _restorable(found[0])


def _restorable(found: backup_set.FoundBackup) -> BackupListing:
    if found.listing is None or found.state is backup_set.BackupState.DAMAGED:
        what = "did not end" if found.state is backup_set.BackupState.UNFINISHED else f"is damaged: {found.detail}"
        raise NotFound(f"the backup {found.folder} {what}", advice=f"vecferry backups list {found.folder.parent}")
    return found.listing


# The same kind of store: bytes


def restore_whole(place: str, target: StoreConfig) -> Restored | None:
    """Put files or a snapshot back as they are; None where the records have to be loaded."""
    found = find_backup(place)
    if found is None:
        return None
    folder, listing = found
    if listing.method is Method.SNAPSHOT:
        return _recover(folder, listing, target)
    if listing.method is Method.ARCHIVE or not _takes_files(listing, target.public()):
        return None
    goal = target.public().folder()
    put_back(listing.files, listing.content(folder), goal)
    with registry.open_source(target.address()) as store:
        rows = store.count()
    if listing.rows is not None and rows != listing.rows:
        raise DataDiffer(f"{target.public()} has {rows:,} records, the backup was made of {listing.rows:,}")
    return Restored(str(target.public()), listing.files, rows=rows)


def _takes_files(listing: BackupListing, goal: Address) -> bool:
    """Whether files go back as files: the same kind of store under the same name. Raises BadOption for other files."""
    source = StoreConfig(url=listing.source).public()
    if goal.scheme != source.scheme:
        return False
    if goal.name != source.name and goal.scheme in FILE_STORES:
        raise BadOption(
            f"the backup is of {source.name}, and files keep their names", advice=f"end the target with {source.name}"
        )
    return goal.name == source.name


def _recover(folder: Path, listing: BackupListing, target: StoreConfig) -> Restored:
    (copy,) = listing.files
    with registry.open_target(target.address()) as store:
        snapshots = store.snapshots()
        if snapshots is None:
            raise BadOption(
                f"a snapshot of {listing.source} goes back to a server of the same kind alone",
                advice="restore it there, then vecferry migrate from there",
            )
        if store.exists():
            raise TargetNotEmpty(f"{store.url} exists", advice="name a collection that does not exist")
        _refuse_older(listing, snapshots.server_version(), store.url)
        snapshots.recover(listing.content(folder) / copy.path, copy.sha256)
    return Restored(str(target.public()), listing.files, None, _compared(listing, target), listing.rows)


def _refuse_older(listing: BackupListing, version: str, url: str) -> None:
    """A server reads snapshots of its own minor version and of older ones."""
    made_by = listing.engine.rpartition(" ")[2]
    if minor_version(version) and minor_version(version) < minor_version(made_by):
        raise StoreRefused(
            f"{url} is of version {version}; the snapshot was made by {made_by}", advice="restore it to a newer server"
        )


def _compared(listing: BackupListing, target: StoreConfig) -> Verdict:
    """The verdict by the recorded digest; not finished where none was recorded. Raises DataDiffer."""
    with registry.open_source(target.address(), Reader.PUBLIC) as store:
        progress.begin(NAME, "verify", listing.rows)
        found = digest_of(store, 1000, lambda rows: progress.advance(NAME, "verify", rows))
    if listing.digest is None:
        levels = [LevelResult(level, LevelState.NOT_CHECKED, bound="no digest was recorded") for level in Level]
        return Verdict(VerdictState.NOT_FINISHED, tuple(levels))
    if str(found) != listing.digest:
        raise DataDiffer(f"{target.public()} does not hold the records that were backed up: {found.count:,} were read")
    proven = (Level.COUNT, Level.IDS, Level.PAYLOAD, Level.VECTORS)
    bound = "the digest of every record, equal to that of the backup"
    levels = [
        LevelResult(level, LevelState.VERIFIED, found.count, bound=bound)
        if level in proven
        else LevelResult(level, LevelState.NOT_CHECKED)
        for level in Level
    ]
    return Verdict(VerdictState.SAME, tuple(levels))


# Another kind of store: a load


def start_restore(ledger: Ledger, place: str, config: MigrationConfig) -> Ref:
    """Register the load of a backup, or of an archive, into the target of `config`."""
    found = find_backup(place)
    if found is None:
        return start_load(ledger, place, config)
    folder, listing = found
    if listing.method is Method.ARCHIVE:
        return start_load(ledger, collection_url(folder / Method.ARCHIVE, listing.collection), config)
    refuse_damaged(listing.files, listing.content(folder))
    address = StoreConfig(url=listing.source).public()
    wish, copies = config.model_copy(update={"backup": False}), listing.content(folder)
    if not is_read_directly(address.scheme):
        aside = _restores() / f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"
        copy_files([SourceFile(copies / item.path, item.path) for item in listing.files], aside / Method.FILES)
        wish = wish.model_copy(update={"archive": wish.archive or aside / Method.ARCHIVE})
        copies = aside / Method.FILES
    return start(ledger, wish.model_copy(update={"source": StoreConfig(url=str(relocated(address, copies)))}), "load")


def tidy(ledger: Ledger, ref: Ref) -> None:
    """Remove the copy that an engine was let into instead of the backup, once all of it was loaded and compared."""
    folder = StoreConfig(url=ledger.migration(ref.migration).source_url).public().folder()
    if folder.is_relative_to(_restores()):
        shutil.rmtree(folder, ignore_errors=True)


def _restores() -> Path:
    """Where copies for engines lie that write to what they open."""
    return (home() / "restores").absolute()
