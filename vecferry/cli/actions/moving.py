"""Migrate, and its halves on their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vecferry import plain
from vecferry.cli.actions import request
from vecferry.cli.actions.runs import first_run
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.ledger import Ledger
from vecferry.operations import backups, migrations
from vecferry.strategies.sheets import Sheet
from vecferry.transfer.backup import CopiedFile

__all__ = ["backup", "export", "load", "migrate", "restore"]

Options = Mapping[str, Any]


def migrate(screen: Screen, ledger_place: str | None, options: Options) -> Result:
    """The whole way."""
    config = request.migration(options)
    ledger = Ledger.open(ledger_place)
    return first_run(screen, ledger, migrations.start(ledger, config))


def export(screen: Screen, ledger_place: str | None, options: Options) -> Result:
    """A collection to an archive."""
    config = _into_folder(options)
    ledger = Ledger.open(ledger_place)
    return first_run(screen, ledger, backups.start_export(ledger, config))


def _into_folder(options: Options) -> Any:
    """The target is the archive; its name is known once the source is open."""
    return request.migration(options, target=f"archive:{Path(options['archive']).absolute()}/collection")


def load(screen: Screen, ledger_place: str | None, archive: str, options: Options) -> Result:
    """An archive to a new collection."""
    config = request.migration(options, source=backups.archive_url(archive))
    ledger = Ledger.open(ledger_place)
    return first_run(screen, ledger, backups.start_load(ledger, archive, config))


def backup(screen: Screen, ledger_place: str | None, options: Options) -> Result:
    """A verified copy of files, or an export."""
    config = _into_folder(options)
    copied = backups.copy_source(config)
    if copied is None:
        ledger = Ledger.open(ledger_place)
        return first_run(screen, ledger, backups.start_export(ledger, config))
    return _files(f"Copied to {copied.folder}, every file read back", plain.to_plain(copied), copied.files)


def restore(screen: Screen, ledger_place: str | None, place: str, options: Options) -> Result:
    """Files put back, or an archive loaded."""
    copied = backups.copy_back(place, request.store(options, "target"))
    if copied is None:
        return load(screen, ledger_place, place, options)
    return _files(f"Put back as {copied.target}, every file read back", plain.to_plain(copied), copied.files)


def _files(title: str, document: dict[str, Any], files: tuple[CopiedFile, ...]) -> Result:
    rows = tuple((item.path, f"{item.size_bytes:,}", item.sha256) for item in files)
    return Result(document, (Sheet("files", title, ("file", "bytes", "sha256"), rows),))
