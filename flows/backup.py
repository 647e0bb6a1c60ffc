"""Backup and restore: verified copies, and their verified return."""

from __future__ import annotations

from typing import Any

from prefect import flow

from flows.artifacts import progress_shown, show_table
from flows.migration import SETTINGS, RunLedger, advised, name_of, show_end, store
from flows.runner import PrefectRunner
from vecferry.config import make_config
from vecferry.ledger import Ledger
from vecferry.operations import backups
from vecferry.operations.backups import Backup, Restored
from vecferry.strategies.runner import Ref
from vecferry.strategies.sheets import Sheet

__all__ = ["backup", "restore"]


@flow(name="backup", flow_run_name=name_of("back up"), **SETTINGS)
@advised
def backup(source: str, folder: str, workers: int = 2, source_key_env: str | None = None) -> dict[str, Any]:
    """Copy a collection made of files with checksums, or export a database to an archive; then read all of it back.

    Args:
        source: URL of the collection.
        folder: Folder that the backup is written to.
        workers: Slices at a time.
        source_key_env: Name of the worker's environment variable that holds the store's API key.
    """
    ledger = RunLedger.open()
    place = store(source, source_key_env)
    # Where a backup goes is its folder; the target of a migration is not looked at.
    options = {"source": place, "target": place, "archive": folder, "workers": workers}
    config = make_config(options, where="the parameters")
    with progress_shown():
        made = backups.backup(PrefectRunner(ledger.url), ledger, config)
    _show_made(ledger, f"Files copied to {made.folder}", made)
    return {"folder": made.folder, "files": len(made.files), "migration": made.migration}


@flow(name="restore", flow_run_name=name_of("restore to"), **SETTINGS)
@advised
def restore(folder: str, target: str, workers: int = 2, target_key_env: str | None = None) -> dict[str, Any]:
    """Put a backup back: files into a new folder, an archive into a new collection; then compare all of it.

    Args:
        folder: Folder that a backup or an export was written to.
        target: URL of the collection to create, or of the files to write. It must not exist.
        workers: Slices at a time.
        target_key_env: Name of the worker's environment variable that holds the store's API key.
    """
    ledger = RunLedger.open()
    place = store(target, target_key_env)
    # What is put back is the folder's content; the source of a migration is not looked at.
    config = make_config({"source": place, "target": place, "workers": workers}, where="the parameters")
    with progress_shown():
        done = backups.restore(PrefectRunner(ledger.url), ledger, folder, config.target, config)
    _show_made(ledger, f"Files put back for {done.target}", done)
    return {"target": done.target, "files": len(done.files), "migration": done.migration}


def _show_made(ledger: Ledger, title: str, made: Backup | Restored) -> None:
    """The files, or the report of the migration that did the work."""
    if made.migration is not None:
        show_end(ledger, Ref(ledger.url, made.migration))
    if made.files:
        rows = tuple((item.path, f"{item.size_bytes:,}", item.sha256) for item in made.files)
        show_table(Sheet("files", title, ("file", "bytes", "sha256"), rows))
