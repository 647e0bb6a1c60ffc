"""Verified copies: files as files with checksums, a database as an archive; and their verified return."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from vecferry.archive import Archive, layout
from vecferry.config import MigrationConfig, StoreConfig
from vecferry.errors import BadOption, NotFound
from vecferry.ledger import Ledger
from vecferry.model import Verdict
from vecferry.operations.migrations import run, start
from vecferry.stores import registry
from vecferry.strategies.runner import Ref, Runner
from vecferry.transfer.backup import LISTING, CopiedFile, backup_folder, copy_files, restore_files

__all__ = [
    "Backup",
    "Restored",
    "archive_url",
    "backup",
    "copy_back",
    "copy_source",
    "restore",
    "start_export",
    "start_load",
]

_MADE_OF_FILES = frozenset({"numpy", "jsonl"})
"""Stores whose files can be put back; any other target takes the archive."""


@dataclass(frozen=True, slots=True)
class Backup:
    """Where a backup is, and what it is made of: copied files, or the archive that a migration exported."""

    folder: str
    files: tuple[CopiedFile, ...] = ()
    migration: str | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back: files read back by checksum, or a collection with its verdict."""

    target: str
    files: tuple[CopiedFile, ...] = ()
    migration: str | None = None
    verdict: Verdict | None = None


def backup(runner: Runner, ledger: Ledger, config: MigrationConfig) -> Backup:
    """Copy a source made of files, or export a database; either is read back before this returns.

    `config.archive` is the folder; the target of `config` is not looked at.
    """
    copied = copy_source(config)
    if copied is not None:
        return copied
    ref = start_export(ledger, config)
    run(runner, ref)
    return Backup(str(config.archive), migration=ref.migration)


def copy_source(config: MigrationConfig) -> Backup | None:
    """A verified copy of a source's files below `config.archive`; None for a database, which has none to copy."""
    folder = _folder(config)
    with registry.open_source(config.source.address()) as source:
        files = source.files()
        if not files:
            return None
        place = backup_folder(folder, source.describe().name)
    return Backup(str(place), tuple(copy_files(files, place)))


def start_export(ledger: Ledger, config: MigrationConfig) -> Ref:
    """Register an export into `config.archive`: its target is the archive of the source's collection."""
    folder = _folder(config)
    with registry.open_source(config.source.address()) as source:
        target = StoreConfig(url=_collection_url(folder, source.describe().name))
    return start(ledger, config.model_copy(update={"target": target}), "export")


def _folder(config: MigrationConfig) -> Path:
    if config.archive is None:
        raise BadOption("an export or a backup needs a folder", advice="vecferry export URL FOLDER")
    return config.archive.absolute()


def restore(runner: Runner, ledger: Ledger, place: str, target: StoreConfig, options: MigrationConfig) -> Restored:
    """Put a backup back: files into a folder that lacks them, an archive into a new collection; then compare all of it.

    `place` is a backup's folder or an archive's URL; source and target of `options` are not looked at.
    """
    copied = copy_back(place, target)
    if copied is not None:
        return copied
    ref = start_load(ledger, place, options.model_copy(update={"target": target}))
    return Restored(str(target.public()), migration=ref.migration, verdict=run(runner, ref))


def copy_back(place: str, target: StoreConfig) -> Restored | None:
    """Put copied files back and open them; None where the backup is an archive, or the target is not made of files."""
    goal = target.public()
    folder = StoreConfig(url=place).public().file if place.startswith("archive:") else Path(place)
    copies = _copies(folder)
    if copies is None or goal.scheme not in _MADE_OF_FILES:
        return None
    _require_name(goal.file, copies)
    files = restore_files(copies, goal.file.parent)
    with registry.open_source(target.address()) as store:
        store.count()
    return Restored(str(goal), tuple(files))


def _copies(folder: Path) -> Path | None:
    """The one folder of copied files in a backup, if it is such a backup."""
    found = sorted(path.parent for path in (*folder.glob(LISTING), *folder.glob(f"backup/*/{LISTING}")))
    if len(found) > 1:
        raise BadOption(f"{folder} holds {len(found)} backups", advice=f"name one of them, for example {found[0]}")
    return found[0] if found else None


def _require_name(goal: Path, copies: Path) -> None:
    """Files and folders keep their names, because what lies beside them belongs to them by name."""
    name = layout.collection_name(copies.name)
    if name is not None and goal.name != name:
        raise BadOption(f"the backup is of {name}, and files keep their names", advice=f"end the target with {name}")


def start_load(ledger: Ledger, place: str, config: MigrationConfig) -> Ref:
    """Register a load of an archive: `place` is its URL, or its folder where that holds one collection."""
    source = StoreConfig(url=archive_url(place))
    return start(ledger, config.model_copy(update={"source": source}), "load")


def archive_url(text: str) -> str:
    """The URL of one collection in an archive, from that URL, a folder, or the folder as a URL.

    Raises NotFound where there is no archive, BadOption where there are several.
    """
    if text.startswith("archive:"):
        place = StoreConfig(url=text).public()
        if place.raw_path and place.name in _collections(place.folder()):
            return str(place)
        return _only_collection(place.file.absolute(), text)
    folder = Path(text).absolute()
    inside = [name for name in _collections(folder.parent) if layout.folder_name(name) == folder.name]
    return _collection_url(folder.parent, inside[0]) if inside else _only_collection(folder, text)


def _only_collection(folder: Path, given: str) -> str:
    names = _collections(folder)
    if not names:
        raise NotFound(f"{given} holds no archive", advice="vecferry export URL FOLDER makes one")
    if len(names) > 1:
        example = _collection_url(folder, names[0])
        raise BadOption(f"{given} holds {len(names)} collections", advice=f"name one of them, for example {example}")
    return _collection_url(folder, names[0])


def _collections(folder: Path) -> list[str]:
    return Archive.collections(folder) if folder.is_dir() else []


def _collection_url(folder: Path, name: str) -> str:
    return f"archive://{quote(str(folder))}/{quote(name, safe='')}"
