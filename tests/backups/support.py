"""Backups for tests: what a folder holds, a byte that flips, a backup that is older than it is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from vecferry.transfer.backup_listing import read_listing, write_listing

__all__ = ["aged", "contents", "flip"]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip(path: Path, at: float = 0.5) -> None:
    """Flip one bit, at this share of the file (an empty file gets a byte)."""
    content = bytearray(path.read_bytes() or b"\0")
    content[min(int(len(content) * at), len(content) - 1)] ^= 1
    path.write_bytes(content)


def aged(folder: Path, days: int) -> Path:
    """The same backup as if it had been made so many days ago; its new folder."""
    listing = read_listing(folder)
    at = datetime.now(UTC) - timedelta(days=days)
    older = folder.with_name(at.strftime("%Y%m%dT%H%M%SZ"))
    folder.rename(older)
    write_listing(older, replace(listing, made_at=at.isoformat(timespec="seconds")))
    return older
