"""Copies of files with checksums, proven by reading the copy back; and their return where nothing is."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from vecferry.archive import layout
from vecferry.contract import Snapshots, Source, SourceFile
from vecferry.errors import ArchiveDamaged, DataDiffer, NotFound, Stopped
from vecferry.stores.staging import sync_file, sync_folder

__all__ = [
    "CopiedFile",
    "backup_folder",
    "copy_files",
    "copy_store",
    "damages",
    "download_snapshot",
    "list_files",
    "put_back",
    "refuse_damaged",
    "require_room",
    "sha256_of",
]

REPORTS = "reports/"
_BLOCK_BYTES = 8 << 20
_RESERVE_BYTES = 64 << 20
_ADVICE_CHANGED = "stop whatever writes to it, then make the backup again"


@dataclass(frozen=True, slots=True)
class CopiedFile:
    """One file of a backup: its path below the backup's content, size and SHA-256."""

    path: str
    size_bytes: int
    sha256: str


def backup_folder(archive: Path, collection: str) -> Path:
    """Where a migration copies the files of its source."""
    return archive / layout.BACKUP / layout.folder_name(collection)


def copy_store(source: Source, folder: Path) -> list[CopiedFile]:
    """Copy a store's files below `folder`. Raises DataDiffer when it was written to meanwhile; else as `copy_files`."""
    files = source.files()
    copied = copy_files(files, folder)
    if source.files() != files:
        raise DataDiffer(f"files of {source.url} came or went under the copy", advice=_ADVICE_CHANGED)
    return copied


def copy_files(files: Sequence[SourceFile], folder: Path) -> list[CopiedFile]:
    """Copy files below `folder` and read every copy back. Copies that are there and whole are kept.

    Raises NotFound when a file cannot be read, Stopped when a copy cannot be written or the disk is too small,
    DataDiffer when a file changed meanwhile or a copy does not read back.
    """
    before = [_stamp(item.file) for item in files]
    require_room(folder, sum(size_bytes for size_bytes, *_ in before))
    copied = [_copy_one(item.file, folder / item.relative, item.relative) for item in files]
    for item, stamp in zip(files, before, strict=True):
        if _stamp(item.file) != stamp:
            raise DataDiffer(f"{item.file} was written to under the copy", advice=_ADVICE_CHANGED)
    return copied


def download_snapshot(snapshots: Snapshots, content: Path) -> None:
    """Let the server make a snapshot, fetch it into the folder `content`, and remove it there. Raises as they do."""
    made = snapshots.make()
    try:
        require_room(content, made.size_bytes)
        snapshots.download(made, content / made.name)
    finally:
        snapshots.delete(made.name)


def require_room(folder: Path, size_bytes: int) -> None:
    """Raise Stopped when the disk of `folder`, which need not exist yet, has not so much free."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    free_bytes = shutil.disk_usage(place).free
    if free_bytes < size_bytes + _RESERVE_BYTES:
        raise Stopped(
            f"the disk of {place} has {free_bytes / 1e9:.1f} GB free, {size_bytes / 1e9:.1f} GB are to be copied",
            advice="free some space (vecferry backups prune), or name a folder on another disk",
        )


def damages(files: Sequence[CopiedFile], folder: Path) -> list[str]:
    """All that is wrong with copies below `folder`, every byte of which is read: missing, changed and unlisted ones.

    A migration's reports may lie among them.
    """
    found = []
    for item in files:
        path = folder / item.path
        if not path.is_file():
            found.append(f"{path} is missing from the backup")
        elif sha256_of(path) != item.sha256:
            found.append(f"{path} has changed since the backup was made")
    listed = {item.path for item in files}
    strangers = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = (path.relative_to(folder).as_posix() for path in strangers)
    unlisted = (name for name in names if name not in listed and not name.startswith(REPORTS))
    return found + [f"{folder / name} is no part of the backup" for name in unlisted]


def list_files(folder: Path) -> list[CopiedFile]:
    """Every file below `folder` but a migration's reports, with its checksum, sorted."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    found = [CopiedFile(path.relative_to(folder).as_posix(), path.stat().st_size, sha256_of(path)) for path in paths]
    return [item for item in found if not item.path.startswith(REPORTS)]


def put_back(files: Sequence[CopiedFile], folder: Path, goal: Path) -> None:
    """Put the copies below `folder` back under `goal`, read them back, and make them visible last.

    Raises ArchiveDamaged when a copy is not what it was, NotFound when one of its files or folders is in `goal`
    already, Stopped when a file cannot be written. Until the end there is only a hidden folder beside `goal`.
    """
    refuse_damaged(files, folder)
    tops = sorted({item.path.partition("/")[0] for item in files})
    taken = [name for name in tops if (goal / name).exists()]
    if taken:
        raise NotFound(f"{goal / taken[0]} exists; a restore overwrites nothing", advice="restore into an empty folder")
    aside = goal.with_name(f".{goal.name}.vecferry-restore")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        copy_files([SourceFile(folder / item.path, item.path) for item in files], aside)
        _publish(aside, goal, tops)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def refuse_damaged(files: Sequence[CopiedFile], folder: Path) -> None:
    """Raise ArchiveDamaged, naming the first copy below `folder` that is not what it was."""
    for item in files:
        path = folder / item.path
        if not path.is_file():
            raise ArchiveDamaged(f"{path} is missing from the backup")
        if sha256_of(path) != item.sha256:
            raise ArchiveDamaged(f"{path} has changed since the backup was made", advice="restore another backup")


def _publish(aside: Path, goal: Path, tops: Sequence[str]) -> None:
    try:
        if goal.exists():
            for name in tops:
                (aside / name).rename(goal / name)
            sync_folder(goal)
        else:
            aside.rename(goal)
            sync_folder(goal.parent)
    except OSError as error:
        raise Stopped(f"{goal} cannot be written: {error.strerror}", advice="name another folder") from error


def _copy_one(file: Path, goal: Path, relative: str) -> CopiedFile:
    if goal.is_file() and (wanted := sha256_of(file)) == sha256_of(goal):
        return CopiedFile(relative, goal.stat().st_size, wanted)
    try:
        wanted = _replace(file, goal)
    except OSError as error:
        raise Stopped(
            f"the copy of {file} to {goal} failed: {error.strerror}", advice="free some space, then do it again"
        ) from error
    if sha256_of(goal) != wanted:
        raise DataDiffer(f"the copy {goal} does not read back as {file}", advice="the disk is bad; name another folder")
    return CopiedFile(relative, goal.stat().st_size, wanted)


def _replace(file: Path, goal: Path) -> str:
    """Copy a file; the copy is visible whole. The checksum of what was read."""
    goal.parent.mkdir(parents=True, exist_ok=True)
    aside = goal.with_name(f".{goal.name}.vecferry-part")
    digest = hashlib.sha256()
    try:
        with _opened(file) as source, aside.open("wb") as copy:
            while block := source.read(_BLOCK_BYTES):
                digest.update(block)
                copy.write(block)
        sync_file(aside)
        _forget_cached(aside)
        aside.replace(goal)
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(goal.parent)
    return digest.hexdigest()


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}") from error


def _forget_cached(path: Path) -> None:
    """What is read back should come from the disk, not from memory."""
    with path.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _stamp(file: Path) -> tuple[int, int, int]:
    """What tells that a file was written to: size, time of change, and which file it is."""
    try:
        status = file.stat()
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}") from error
    return status.st_size, status.st_mtime_ns, status.st_ino


def sha256_of(file: Path) -> str:
    """SHA-256 of a file in hex. Raises NotFound when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}") from error
    return digest.hexdigest()
