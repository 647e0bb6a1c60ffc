"""Backups of stores made of files: copies with checksums, proven by reading the copy back.

A backup's folder holds `files/`, the copies under their own paths, and `backup.json`, which lists them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vecferry import plain
from vecferry.archive import layout
from vecferry.contract import SourceFile
from vecferry.errors import ArchiveDamaged, DataDiffer, NotFound, Stopped
from vecferry.stores.staging import sync_file, sync_folder, write_whole

__all__ = ["CopiedFile", "backup_folder", "copy_files", "read_listing", "restore_files", "verify_files"]

LISTING = "backup.json"
_FILES = "files"
_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """One file of a backup: its path relative to the store, size and SHA-256."""

    path: str
    size_bytes: int
    sha256: str


def backup_folder(archive: Path, collection: str) -> Path:
    """Where copies of a file store's files go."""
    return archive / "backup" / layout.folder_name(collection)


def copy_files(files: Sequence[SourceFile], folder: Path) -> list[CopiedFile]:
    """Copy files into `folder`, read every copy back, write the listing last. Copies that are whole are kept.

    Raises NotFound when a file cannot be read, Stopped when a copy cannot be written, DataDiffer when a
    copy does not read back as the file.
    """
    if not files:
        return []
    copied = [_copy_one(item.file, folder / _FILES, item.relative) for item in files]
    write_whole(folder / LISTING, json.dumps({"version": 1, "files": plain.to_plain(copied)}, indent=1).encode())
    return copied


def _copy_one(file: Path, folder: Path, relative: str) -> CopiedFile:
    goal, wanted = folder / relative, _sha256(file)
    if not goal.exists() or _sha256(goal) != wanted:
        try:
            _replace(file, goal)
        except OSError as error:
            raise Stopped(
                f"the copy of {file} failed: {error.strerror}", advice="free some space, then resume"
            ) from error
    if _sha256(goal) != wanted:
        raise DataDiffer(
            f"the copy {goal} differs from {file}", advice="the file changed under the copy, or the disk is bad"
        )
    return CopiedFile(relative, goal.stat().st_size, wanted)


def _replace(file: Path, goal: Path) -> None:
    """Copy a file; the copy is visible whole."""
    goal.parent.mkdir(parents=True, exist_ok=True)
    aside = goal.with_name(f".{goal.name}.vecferry-part")
    try:
        shutil.copyfile(file, aside)
        sync_file(aside)
        aside.replace(goal)
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(goal.parent)


def read_listing(folder: Path) -> list[CopiedFile]:
    """The files of a backup. Raises NotFound where there is none."""
    listing = folder / LISTING
    if not listing.exists():
        raise NotFound(f"{folder} holds no backup of files")
    content = json.loads(listing.read_text())
    return [plain.from_plain(CopiedFile, item) for item in content["files"]]


def verify_files(folder: Path) -> list[CopiedFile]:
    """Read every file of a backup and compare its checksum. Raises ArchiveDamaged naming the first that differs."""
    files = read_listing(folder)
    for item in files:
        path = folder / _FILES / item.path
        if not path.exists():
            raise ArchiveDamaged(f"{path} is missing from the backup")
        if _sha256(path) != item.sha256:
            raise ArchiveDamaged(f"{path} has changed since the backup was made")
    return files


def restore_files(folder: Path, goal: Path) -> list[CopiedFile]:
    """Put a backup's files back under `goal`, which must hold none of them, and read them back."""
    files = verify_files(folder)
    taken = [item.path for item in files if (goal / item.path).exists()]
    if taken:
        raise NotFound(f"{goal / taken[0]} exists; a restore overwrites nothing", advice="restore into an empty folder")
    return [_copy_one(folder / _FILES / item.path, goal, item.path) for item in files]


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}") from error
    return digest.hexdigest()
