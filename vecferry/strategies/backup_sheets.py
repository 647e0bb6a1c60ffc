"""Tables about backups, for the terminal and for Prefect."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vecferry.strategies.sheets import Sheet
from vecferry.transfer.backup import CopiedFile
from vecferry.transfer.backup_set import FoundBackup

__all__ = ["backups_sheet", "files_sheet", "retention_sheet"]


def backups_sheet(title: str, found: Sequence[FoundBackup]) -> Sheet:
    """One row for each folder, whole or not."""
    header = ("backup", "method", "records", "bytes", "verified", "state", "source")
    return Sheet("backups", title, header, tuple(map(_row, found)))


def _row(found: FoundBackup) -> tuple[str, ...]:
    listing = found.listing
    state = f"{found.state}: {found.detail}" if found.detail else found.state.value
    if listing is None:
        making = found.making
        return (str(found.folder), making.method if making else "", "", "", "", state, making.source if making else "")
    rows = "" if listing.rows is None else f"{listing.rows:,}"
    size = f"{listing.size_bytes:,}"
    return str(found.folder), listing.method, rows, size, listing.verified_at or "", state, listing.source


def retention_sheet(
    kept: Sequence[tuple[Path, str]], removed: Sequence[Path], left: Sequence[tuple[Path, str]], *, dry_run: bool
) -> Sheet:
    """What retention kept, removed, and would not touch."""
    gone = "would be removed" if dry_run else "removed"
    rows = [(str(path), "kept", reason) for path, reason in kept]
    rows += [(str(path), gone, "") for path in removed]
    rows += [(str(path), "left alone", reason) for path, reason in left]
    return Sheet("retention", "Retention", ("backup", "what", "why"), tuple(rows))


def files_sheet(title: str, files: Sequence[CopiedFile]) -> Sheet:
    """Copied files with their checksums."""
    rows = tuple((item.path, f"{item.size_bytes:,}", item.sha256) for item in files)
    return Sheet("files", title, ("file", "bytes", "sha256"), rows)
