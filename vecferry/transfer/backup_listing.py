"""`backup.json`: what a backup is a copy of, how it was made, and the checksum of each of its files.

    <backup>/backup.json            written last: without it a folder is no backup
    <backup>/files/...              copied files under their own paths (method `files`)
    <backup>/archive/COLLECTION/    a Parquet archive (method `archive`)
    <backup>/snapshot/NAME          a snapshot that a server made (method `snapshot`)

The listing has a checksum of its own. Fields that it does not know are kept when it is written again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vecferry import canonical, plain
from vecferry.errors import ArchiveDamaged, NotFound
from vecferry.stores.staging import write_whole
from vecferry.transfer.backup import CopiedFile

__all__ = ["LISTING", "BackupListing", "Method", "read_listing", "utc_now", "write_listing"]

LISTING = "backup.json"
FORMAT, VERSION = "vecferry-backup", 1
_CHECKSUM = "sha256"
_DAMAGED = "restore another backup; `vecferry backups list` shows what there is"


class Method(StrEnum):
    """How a backup was made: copied files, an archive, or a snapshot of the store's own server."""

    FILES = "files"
    ARCHIVE = "archive"
    SNAPSHOT = "snapshot"


def utc_now() -> str:
    """The time as backups record it: UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class BackupListing:
    """The content of `backup.json`. Times are UTC in ISO 8601.

    `source` is the URL without secrets; `engine` names what wrote the source, with its version where known.
    `rows` and `digest` (of raw records, or of the archive) are None where they are not known: copied files are
    proven by their checksums. `made_at` is when the making began. `verified_at` is when all of it was last read
    back and found whole, None if it never was. `damage` says what was wrong when it was read last.
    """

    source: str
    collection: str
    engine: str
    method: Method
    files: tuple[CopiedFile, ...]
    made_at: str
    rows: int | None = None
    digest: str | None = None
    verified_at: str | None = None
    damage: str | None = None
    note: str = ""
    vecferry: str = version("vecferry")

    @property
    def at(self) -> datetime:
        """When its making began."""
        return datetime.fromisoformat(self.made_at)

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(item.size_bytes for item in self.files)

    def content(self, folder: Path) -> Path:
        """Where the files are."""
        return folder / self.method.value

    def verified(self, damage: str | None = None) -> BackupListing:
        """The same after it was read: whole, or with `damage`."""
        return replace(self, verified_at=None if damage else utc_now(), damage=damage)


def write_listing(folder: Path, listing: BackupListing) -> None:
    """Write the listing of a backup, whole; fields of a later version that stand there are kept."""
    path = folder / LISTING
    known = _document(path) if path.exists() else {}
    raw = {**known, "format": FORMAT, "format_version": VERSION, **plain.to_plain(listing)}
    raw.pop(_CHECKSUM, None)
    write_whole(path, (json.dumps({**raw, _CHECKSUM: _checksum(raw)}, indent=1) + "\n").encode())


def read_listing(folder: Path) -> BackupListing:
    """The listing of a backup. Raises NotFound where there is none, ArchiveDamaged for one that was changed."""
    path = folder / LISTING
    if not path.is_file():
        raise NotFound(f"{folder} holds no backup: it has no {LISTING}", advice="vecferry backups list FOLDER")
    raw = _document(path)
    try:
        listing = plain.from_plain(BackupListing, raw)
        if listing.at.tzinfo is None:
            raise ValueError(f"made_at={listing.made_at} has no time zone")
    except ValueError as error:
        raise ArchiveDamaged(f"{path} is not the listing of a backup: {error}", advice=_DAMAGED) from error
    return listing


def _document(path: Path) -> dict[str, Any]:
    try:
        raw = canonical.parse_strict(path.read_bytes().decode())
    except OSError as error:
        raise ArchiveDamaged(f"{path} cannot be read: {error.strerror}", advice=_DAMAGED) from error
    except ValueError as error:
        raise ArchiveDamaged(f"{path} is not JSON text: {error}", advice=_DAMAGED) from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ArchiveDamaged(f"{path} does not belong to a backup of vecferry", advice=_DAMAGED)
    if raw.get("format_version") != VERSION:
        raise ArchiveDamaged(
            f"{path} has the format version {raw.get('format_version')}; this vecferry reads {VERSION}",
            advice="install a newer vecferry: pip install --upgrade vecferry",
        )
    if raw.get(_CHECKSUM) != _checksum(raw):
        raise ArchiveDamaged(f"{path} was changed after it was written: its checksum differs", advice=_DAMAGED)
    return raw


def _checksum(raw: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON text of everything but the checksum itself, in hex."""
    covered = {name: value for name, value in raw.items() if name != _CHECKSUM}
    return hashlib.sha256(canonical.encode(covered)).hexdigest()
