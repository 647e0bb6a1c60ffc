"""Backup, nightly backup with retention, verification of the newest backup, restore."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

from prefect import flow

from flows.artifacts import progress_shown, show_table
from flows.migration import SETTINGS, RunLedger, advised, name_of, show_end, store
from flows.runner import PrefectRunner
from vecferry.config import make_config
from vecferry.errors import ArchiveDamaged
from vecferry.operations import backup_sets, backups, restores
from vecferry.operations.backup_sets import Pruned
from vecferry.operations.backups import Backup
from vecferry.strategies.backup_sheets import backups_sheet, files_sheet, retention_sheet
from vecferry.strategies.runner import Ref
from vecferry.strategies.sheets import verdict_sheet
from vecferry.transfer.backup_listing import Method
from vecferry.transfer.retention import Policy

__all__ = ["How", "backup", "nightly_backup", "restore", "verify_backup"]


class How(StrEnum):
    """How a backup is made, as a form offers it."""

    AUTOMATIC = "files or archive"
    FILES = "files"
    ARCHIVE = "archive"
    SNAPSHOT = "snapshot"


@flow(name="backup", flow_run_name=name_of("back up"), **SETTINGS)
@advised
def backup(
    root: str,
    source: str | None = None,
    method: How = How.AUTOMATIC,
    workers: int = 2,
    source_key_env: str | None = None,
    source_block: str | None = None,
    trust_local_files: bool = False,
) -> dict[str, Any]:
    """Make a verified backup in a new folder below `root`: copied files, an archive, or a server's snapshot.

    Args:
        root: Folder of all backups, as the worker sees it.
        source: URL of the collection.
        method: How: copied files for folders and an archive for databases, or one of them, or the server's snapshot.
        workers: Slices at a time.
        source_key_env: Name of the worker's environment variable that holds the store's API key.
        source_block: Name of a block with the store's URL and secrets; `source` may then name a collection in it.
        trust_local_files: Open the source's files although they could run a program (pickles of qdrant+path).
    """
    place = store(source, source_key_env, source_block)
    made = _back_up(place, root, method, workers=workers, trust_local_files=trust_local_files)
    return _receipt(made, None)


@flow(name="nightly-backup", flow_run_name=name_of("nightly backup of"), **SETTINGS)
@advised
def nightly_backup(
    root: str,
    source: str | None = None,
    keep_daily: int = 7,
    keep_weekly: int = 4,
    method: How = How.AUTOMATIC,
    workers: int = 2,
    source_key_env: str | None = None,
    source_block: str | None = None,
    trust_local_files: bool = False,
) -> dict[str, Any]:
    """Make a verified backup, then remove the backups that are not kept; nothing goes unless the new one is whole.

    Args:
        root: Folder of all backups, as the worker sees it.
        source: URL of the collection.
        keep_daily: Keep the newest verified backup of each of the last so many days (UTC) that have one.
        keep_weekly: Keep the newest verified backup of each of the last so many weeks (ISO, UTC) that have one.
        method: How: copied files for folders and an archive for databases, or one of them, or the server's snapshot.
        workers: Slices at a time.
        source_key_env: Name of the worker's environment variable that holds the store's API key.
        source_block: Name of a block with the store's URL and secrets; `source` may then name a collection in it.
        trust_local_files: Open the source's files although they could run a program (pickles of qdrant+path).
    """
    policy, place = Policy(keep_daily, keep_weekly), store(source, source_key_env, source_block)
    made = _back_up(place, root, method, workers=workers, trust_local_files=trust_local_files)
    pruned = backup_sets.prune(Path(root), policy)
    show_table(retention_sheet(pruned.kept, pruned.removed, pruned.left, dry_run=False))
    return _receipt(made, pruned)


@flow(name="verify-backup", flow_run_name="verify backups in {root}", **SETTINGS)
@advised
def verify_backup(root: str, newest: bool = True) -> dict[str, Any]:
    """Read backups back, every byte; the run fails, and names the file, where one is damaged.

    Args:
        root: Folder of all backups, or one backup's, as the worker sees it.
        newest: Only the newest backup of each source; else all of them.
    """
    read = backup_sets.verify_backups(Path(root), newest=newest)
    show_table(backups_sheet(f"Read back in {root}", [item.backup for item in read]))
    wrong = [line for item in read for line in item.damages]
    if wrong:
        raise ArchiveDamaged("; ".join(wrong[:5]), advice="Make a new backup, and look at the disk.")
    return {"verified": [str(item.backup.folder) for item in read]}


@flow(name="restore", flow_run_name=name_of("restore to"), **SETTINGS)
@advised
def restore(
    folder: str,
    target: str | None = None,
    workers: int = 2,
    target_key_env: str | None = None,
    target_block: str | None = None,
) -> dict[str, Any]:
    """Put a backup back into a new place, of the same or another kind; then compare all of it.

    Args:
        folder: Folder of one backup, or one that an export was written to.
        target: URL of the collection to create, or of the files to write. It must not exist.
        workers: Slices at a time.
        target_key_env: Name of the worker's environment variable that holds the store's API key.
        target_block: Name of a block with the store's URL and secrets; `target` may then name a collection in it.
    """
    ledger = RunLedger.open()
    place = store(target, target_key_env, target_block)
    # What is put back is the folder's content; the source of a migration is not looked at.
    config = make_config({"source": place, "target": place, "workers": workers}, where="the parameters")
    with progress_shown():
        done = restores.restore(PrefectRunner(ledger.url), ledger, folder, config.target, config)
    if done.migration is not None:
        show_end(ledger, Ref(ledger.url, done.migration))
    elif done.verdict is not None:
        show_table(verdict_sheet(done.target, done.verdict))
    if done.files:
        show_table(files_sheet(f"Put back for {done.target}", done.files))
    return {"target": done.target, "files": len(done.files), "migration": done.migration}


def _back_up(place: dict[str, Any] | None, root: str, method: How, **options: Any) -> Backup:
    ledger = RunLedger.open()
    # Where a backup goes is its folder; the target of a migration is not looked at.
    config = make_config({"source": place, "target": place, **options}, where="the parameters")
    wanted = None if method is How.AUTOMATIC else Method(method)
    with progress_shown():
        made = backups.backup(PrefectRunner(ledger.url), ledger, config, Path(root), wanted)
    if made.migration is not None:
        show_end(ledger, Ref(ledger.url, made.migration))
    show_table(files_sheet(f"Backed up to {made.folder}", made.listing.files))
    return made


def _receipt(made: Backup, pruned: Pruned | None) -> dict[str, Any]:
    """What a run returns: small, and enough to find the backup."""
    return {
        "folder": str(made.folder),
        "method": made.listing.method.value,
        "rows": made.listing.rows,
        "files": len(made.listing.files),
        "migration": made.migration,
        "removed": [] if pruned is None else [str(path) for path in pruned.removed],
    }
