"""A folder of backups: `ROOT/COLLECTION/TIME/`, one folder a backup; what is in it, and how one comes and goes.

While a backup is made, its folder holds `making.json`, locked by the process that makes it. A removal first renames
the folder to a hidden name, so that a crash never leaves half a backup under its own name.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from vecferry import canonical, failpoints, plain
from vecferry.archive import layout
from vecferry.errors import ArchiveDamaged, LockHeld, NotFound, Stopped
from vecferry.stores.staging import sync_folder, write_whole, writing
from vecferry.transfer.backup_listing import LISTING, BackupListing, Method, read_listing, write_listing

__all__ = [
    "BackupState",
    "FoundBackup",
    "Making",
    "begin",
    "finish",
    "is_being_made",
    "is_whole",
    "making",
    "note_migration",
    "read_making",
    "remove",
    "scan",
    "sweep",
]

_MAKING = "making.json"
_REMOVED = ".vecferry-removed"
_TIME = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"\d{8}T\d{6}Z(-\d+)?")


class BackupState(StrEnum):
    """What a folder among backups is."""

    VERIFIED = "verified"
    UNVERIFIED = "not verified"
    DAMAGED = "damaged"
    UNFINISHED = "unfinished"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True)
class Making:
    """What is known of a backup before it is whole. `migration` is the export that makes it, if one does."""

    source: str
    collection: str
    method: Method
    made_at: str
    migration: str | None = None


@dataclass(frozen=True, slots=True)
class FoundBackup:
    """One folder among backups. `listing` is there for whole ones, `making` for unfinished ones."""

    folder: Path
    state: BackupState
    detail: str = ""
    listing: BackupListing | None = None
    making: Making | None = None

    @property
    def series(self) -> tuple[Path, str]:
        """Backups of one source in one place; retention counts each series on its own."""
        return self.folder.parent, self.listing.source if self.listing else ""


# Making


def begin(root: Path, making: Making) -> Path:
    """A new folder for a backup, which says what is being made in it. Raises Stopped or StoreRefused."""
    parent = root / layout.folder_name(making.collection)
    with writing(str(root)):
        parent.mkdir(parents=True, exist_ok=True)
        folder = _new_folder(parent, datetime.fromisoformat(making.made_at))
        write_making(folder, making)
        sync_folder(parent)
    return folder


def _new_folder(parent: Path, at: datetime) -> Path:
    """Named after the time; a second backup of the same second gets a number."""
    name, number = at.astimezone(UTC).strftime(_TIME), 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
        else:
            return folder


def write_making(folder: Path, making: Making) -> None:
    """Say what is being made in a folder."""
    write_whole(folder / _MAKING, (json.dumps(plain.to_plain(making), indent=1) + "\n").encode())


def read_making(folder: Path) -> Making | None:
    """What is being made in a folder; None where nothing is. Raises ArchiveDamaged."""
    path = folder / _MAKING
    try:
        return plain.from_plain(Making, canonical.parse_strict(path.read_bytes().decode()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ArchiveDamaged(f"{path} cannot be read: {error}") from error


def note_migration(folder: Path, making: Making, migration: str) -> None:
    """Say which export makes the backup in a folder."""
    write_making(folder, replace(making, migration=migration))


@contextlib.contextmanager
def making(folder: Path) -> Iterator[None]:
    """Meanwhile, the backup in `folder` is this process's to make. Raises LockHeld while another one makes it."""
    path = folder / _MAKING
    if not path.exists():  # it is whole
        yield
        return
    with path.open("rb") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockHeld(f"another run is making the backup {folder}", advice="wait until it has ended") from error
        yield


def is_whole(folder: Path) -> bool:
    """Whether a backup's making has ended."""
    return (folder / LISTING).is_file() and not (folder / _MAKING).exists()


def is_being_made(folder: Path) -> bool:
    """Whether a process is making a backup in `folder` now."""
    try:
        with making(folder):
            return False
    except LockHeld:
        return True


def finish(folder: Path, listing: BackupListing) -> None:
    """All files are there: from here on the folder is a backup."""
    with writing(str(folder)):
        write_listing(folder, listing)
        failpoints.reached("backup.listed")
        (folder / _MAKING).unlink(missing_ok=True)
        sync_folder(folder)


# Looking


def scan(place: Path) -> list[FoundBackup]:
    """All backups at `place`, or one or two folders below it, with what else stands among them; by collection and age.

    Looks at names and sizes, not into the copies.
    """
    if _is_ours(place):
        return [_look(place)]
    children = _folders(place)
    parents = [place] if any(map(_is_ours, children)) else children
    groups = [entries for parent in parents if any(map(_is_ours, entries := _folders(parent)))]
    return [_look(folder) for entries in groups for folder in entries]


def _is_ours(folder: Path) -> bool:
    return (folder / LISTING).is_file() or (folder / _MAKING).is_file()


def _folders(place: Path) -> list[Path]:
    try:
        return sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise NotFound(f"{place} cannot be read: {error.strerror}") from error


def _look(folder: Path) -> FoundBackup:
    if not _is_ours(folder):
        return FoundBackup(folder, BackupState.FOREIGN, "no backup of vecferry")
    try:
        if not (folder / LISTING).is_file():
            return FoundBackup(folder, BackupState.UNFINISHED, "its making did not end", making=read_making(folder))
        listing = read_listing(folder)
    except ArchiveDamaged as error:
        return FoundBackup(folder, BackupState.DAMAGED, str(error))
    problem = listing.damage or _first_problem(folder, listing)
    if problem:
        return FoundBackup(folder, BackupState.DAMAGED, problem, listing)
    state = BackupState.VERIFIED if listing.verified_at else BackupState.UNVERIFIED
    return FoundBackup(folder, state, listing.note, listing)


def _first_problem(folder: Path, listing: BackupListing) -> str:
    for item in listing.files:
        path = listing.content(folder) / item.path
        if not path.is_file():
            return f"{path} is missing from the backup"
        if path.stat().st_size != item.size_bytes:
            return f"{path} has {path.stat().st_size:,} bytes, {item.size_bytes:,} were copied"
    return ""


# Removing


def remove(folder: Path) -> None:
    """Remove a backup, whatever happens meanwhile: either all of it is there under its name, or nothing."""
    tombstone = folder.with_name(f".{folder.name}{_REMOVED}")
    try:
        folder.rename(tombstone)
        sync_folder(folder.parent)
        failpoints.reached("prune.renamed")
        shutil.rmtree(tombstone)
    except OSError as error:
        raise Stopped(f"{folder} cannot be removed: {error}", advice="check the owner of the folder") from error


def sweep(parents: Iterable[Path]) -> list[Path]:
    """Finish the removals that a crash interrupted."""
    left = [path for parent in set(parents) for path in parent.glob(f".*{_REMOVED}") if _is_tombstone(path)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return left


def _is_tombstone(path: Path) -> bool:
    return path.is_dir() and _NAME.fullmatch(path.name[1 : -len(_REMOVED)]) is not None
