"""Verified copies: files as files with checksums, a database as an archive; and their verified return."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from vecferry.archive import Archive
from vecferry.config import MigrationConfig, StoreConfig
from vecferry.contract import Source
from vecferry.errors import BadOption, NotFound
from vecferry.ledger import Ledger
from vecferry.model import Verdict
from vecferry.operations.migrations import run, start
from vecferry.stores import registry
from vecferry.strategies.runner import Runner
from vecferry.transfer.backup import LISTING, CopiedFile, backup_folder, copy_files, restore_files

__all__ = ["Backup", "Restored", "archive_url", "backup", "restore"]


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
    """Copy a source made of files, or export a database; either is read back before this returns."""
    if config.archive is None:
        raise BadOption("a backup needs a folder", advice="vecferry backup URL FOLDER")
    with registry.open_source(config.source.address()) as source:
        copied = _copy(source, config.archive)
    if copied is not None:
        return copied
    ref = start(ledger, config, "export")
    run(runner, ref)
    return Backup(str(config.archive), migration=ref.migration)


def _copy(source: Source, archive: Path) -> Backup | None:
    files = source.files()
    if not files:
        return None
    folder = backup_folder(archive, source.describe().name)
    return Backup(str(folder), tuple(copy_files(files, folder)))


def restore(runner: Runner, ledger: Ledger, archive: str, target: StoreConfig, options: MigrationConfig) -> Restored:
    """Put a backup back: files into a new folder, an archive into a new collection; then compare all of it."""
    folder = Path(archive.removeprefix("archive:").replace("//", "/", 1) if archive.startswith("archive:") else archive)
    copies = _copies(folder)
    if copies is not None:
        goal = target.public().file
        return Restored(str(target.public()), tuple(restore_files(copies, _folder_of(goal))))
    ref = start(ledger, options, "load")
    verdict = run(runner, ref)
    return Restored(str(target.public()), migration=ref.migration, verdict=verdict)


def _copies(folder: Path) -> Path | None:
    """The one folder of copied files in a backup, if it is such a backup."""
    found = [path.parent for path in (*folder.glob(LISTING), *folder.glob(f"backup/*/{LISTING}"))]
    if len(found) > 1:
        raise BadOption(f"{folder} holds {len(found)} backups", advice=f"name one of them, for example {found[0]}")
    return found[0] if found else None


def _folder_of(goal: Path) -> Path:
    return goal.parent if goal.suffix else goal


def archive_url(text: str) -> str:
    """The URL of the one collection in an archive's folder, or the URL itself. Raises NotFound or BadOption."""
    if text.startswith("archive:"):
        return text
    folder = Path(text).absolute()
    names = Archive.collections(folder) if folder.is_dir() else []
    if not names:
        raise NotFound(f"{text} holds no archive", advice="vecferry export URL FOLDER makes one")
    if len(names) > 1:
        example = f"archive://{folder}/{quote(names[0], safe='')}"
        raise BadOption(f"{text} holds {len(names)} collections", advice=f"name one of them, for example {example}")
    return f"archive://{folder}/{quote(names[0], safe='')}"
