"""Backups of stores made of files: copies with checksums, proven by reading the copy back."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vecferry import plain
from vecferry.archive import layout
from vecferry.contract import SourceFile
from vecferry.errors import ArchiveDamaged, DataDiffer, NotFound, Stopped

__all__ = ["CopiedFile", "backup_folder", "copy_files", "read_listing", "restore_files", "verify_files"]

LISTING = "backup.json"
_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """One file of a backup: its path in the backup, size and SHA-256."""

    path: str
    size_bytes: int
    sha256: str


def backup_folder(archive: Path, collection: str) -> Path:
    """Where copies of a file store's files go."""
    return archive / "backup" / layout.folder_name(collection)


def copy_files(files: Sequence[SourceFile], folder: Path) -> list[CopiedFile]:
    """Copy files into `folder`, read every copy back, write the listing last. Copies that are whole are kept."""
    if not files:
        return []
    copied = [_copy_one(item, folder) for item in files]
    listing = folder / LISTING
    part = listing.with_suffix(".part")
    part.write_text(json.dumps({"version": 1, "files": plain.to_plain(copied)}, indent=1))
    part.replace(listing)
    return copied


def _copy_one(item: SourceFile, folder: Path) -> CopiedFile:
    goal = folder / item.relative
    goal.parent.mkdir(parents=True, exist_ok=True)
    wanted = _sha256(item.file)
    if not goal.exists() or _sha256(goal) != wanted:
        part = goal.with_name(goal.name + ".part")
        try:
            shutil.copyfile(item.file, part)
            with part.open("rb") as stream:
                os.fsync(stream.fileno())
        except OSError as error:
            part.unlink(missing_ok=True)
            raise Stopped(
                f"the copy of {item.file} failed: {error.strerror}", advice="free some space, then resume"
            ) from error
        part.replace(goal)
    if _sha256(goal) != wanted:
        raise DataDiffer(
            f"the copy {goal} differs from {item.file}", advice="the file changed under the copy, or the disk is bad"
        )
    return CopiedFile(item.relative, goal.stat().st_size, wanted)


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
        path = folder / item.path
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
    copy_files([SourceFile(folder / item.path, item.path) for item in files], goal)
    (goal / LISTING).unlink()
    return files


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
