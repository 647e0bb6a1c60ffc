"""Backups: make, restore, list, verify, prune."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vecferry import plain
from vecferry.cli.actions import request
from vecferry.cli.actions.runs import first_run
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.config import MigrationConfig
from vecferry.errors import ArchiveDamaged, BadOption
from vecferry.ledger import Ledger
from vecferry.operations import backup_sets, backups, restores
from vecferry.operations.backup_sets import Pruned
from vecferry.operations.backups import Backup, Method
from vecferry.operations.restores import Restored
from vecferry.strategies.backup_sheets import backups_sheet, files_sheet, retention_sheet
from vecferry.strategies.sheets import Sheet, verdict_sheet
from vecferry.transfer.backup_set import FoundBackup
from vecferry.transfer.retention import Policy

__all__ = ["backup", "list_backups", "prune", "restore", "verify"]

Options = Mapping[str, Any]


def backup(
    screen: Screen, ledger_place: str | None, options: Options, root: Path, method: str | None, keep: Options
) -> Result:
    """A verified backup, then retention where it is asked for."""
    policy, wanted = _policy(keep) if keep else None, _method(method)
    config = request.migration(options, target=f"archive:{root.absolute()}/collection")
    chosen = backups.choose_method(config, wanted)
    if chosen is Method.ARCHIVE:
        return _exported(screen, ledger_place, config, root, policy)
    with screen.progress():
        made = backups.copy_backup(config, root, chosen)
    return _made(made, root, policy)


def _exported(
    screen: Screen, ledger_place: str | None, config: MigrationConfig, root: Path, policy: Policy | None
) -> Result:
    ledger = Ledger.open(ledger_place)
    ref = backups.start_backup(ledger, config, root)
    ended = first_run(screen, ledger, ref)
    if ended.error is None:
        return _made(backups.found_backup(ledger, ref), root, policy)
    backups.forget(ledger, ref)
    return ended


def _made(made: Backup, root: Path, policy: Policy | None) -> Result:
    """What a backup is; it stays one, whatever retention then says."""
    pruned = backup_sets.prune(root, policy) if policy else None
    listing = plain.to_plain(made.listing)
    document = {"folder": str(made.folder), **listing, "migration": made.migration, "retention": plain_of(pruned)}
    sheets = [files_sheet(f"Backed up to {made.folder}, every file read back", made.listing.files)]
    return Result(document, (*sheets, *([_retention(pruned)] if pruned else [])))


def restore(screen: Screen, ledger_place: str | None, place: str, options: Options) -> Result:
    """Bytes put back, or records loaded."""
    with screen.progress():
        whole = restores.restore_whole(place, request.store(options, "target"))
    if whole is not None:
        return _restored(whole)
    config = request.migration(options, source=f"archive:{Path(place).absolute()}")
    ledger = Ledger.open(ledger_place)
    ref = restores.start_restore(ledger, place, config)
    ended = first_run(screen, ledger, ref)
    if ended.error is None:
        restores.tidy(ledger, ref)
    return ended


def _restored(done: Restored) -> Result:
    sheets = [files_sheet(f"Put back as {done.target}, every file read back", done.files)]
    if done.verdict is not None:
        sheets.append(verdict_sheet(done.target, done.verdict))
    return Result(plain.to_plain(done), tuple(sheets))


def list_backups(root: Path) -> Result:
    """What is there."""
    found = backup_sets.list_backups(root)
    return Result({"backups": [_document(item) for item in found]}, (backups_sheet(f"Backups in {root}", found),))


def verify(root: Path, *, newest: bool) -> Result:
    """All of it read back."""
    read = backup_sets.verify_backups(root, newest=newest)
    wrong = [line for item in read for line in item.damages]
    document = {"backups": [_document(item.backup) | {"damages": list(item.damages)} for item in read]}
    sheet = backups_sheet(f"Read back in {root}", [item.backup for item in read])
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    advice = "vecferry backups list shows which are whole; make a new backup"
    error = ArchiveDamaged(f"{wrong[0]}{more}", advice=advice) if wrong else None
    return Result(document, (sheet, *wrong), error)


def prune(root: Path, keep: Options, *, dry_run: bool) -> Result:
    """What is not kept goes."""
    pruned = backup_sets.prune(root, _policy(keep), dry_run=dry_run)
    error = ArchiveDamaged("; ".join(pruned.held), advice=f"vecferry backups verify {root}") if pruned.held else None
    return Result(plain_of(pruned) or {}, (_retention(pruned, dry_run=dry_run),), error)


def _retention(pruned: Pruned, *, dry_run: bool = False) -> Sheet:
    return retention_sheet(pruned.kept, pruned.removed, pruned.left, dry_run=dry_run)


def plain_of(pruned: Pruned | None) -> dict[str, Any] | None:
    """Retention as JSON values; None where none was asked for."""
    if pruned is None:
        return None
    return {
        "removed": [str(path) for path in pruned.removed],
        "kept": [{"folder": str(path), "reason": reason} for path, reason in pruned.kept],
        "left_alone": [{"folder": str(path), "reason": reason} for path, reason in pruned.left],
        "held": list(pruned.held),
    }


def _document(found: FoundBackup) -> dict[str, Any]:
    listing = None if found.listing is None else plain.to_plain(found.listing)
    making = None if found.making is None else plain.to_plain(found.making)
    return {
        "folder": str(found.folder), "state": found.state.value, "detail": found.detail, "listing": listing,
        "making": making,
    }  # fmt: skip


def _policy(keep: Options) -> Policy:
    return Policy(keep.get("keep_daily", 0), keep.get("keep_weekly", 0))


def _method(text: str | None) -> Method | None:
    if text is None:
        return None
    try:
        return Method(text)
    except ValueError:
        known = ", ".join(Method)
        raise BadOption(f"--method {text} is no way to make a backup", advice=f"one of {known}") from None
