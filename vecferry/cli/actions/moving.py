"""Migrate, and its halves on their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vecferry.cli.actions import many_runs, request
from vecferry.cli.actions.runs import first_run
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.errors import BadOption
from vecferry.ledger import Ledger
from vecferry.operations import archives, migrations

__all__ = ["export", "load", "migrate"]

Options = Mapping[str, Any]


def migrate(screen: Screen, ledger_place: str | None, options: Options) -> Result:
    """The whole way."""
    strategy = request.strategy(options)
    many = request.many(options, strategy)
    if many is not None and strategy == "rolling":
        raise BadOption("a rolling migration moves one collection", advice="name one collection in each URL")
    if many is not None and strategy == "snapshot-restore":
        raise BadOption(
            "a snapshot-restore moves one collection at a time",
            advice="each pauses its application as long as its copy takes; name one collection",
        )
    if many is not None:
        return many_runs.run(screen, ledger_place, many)
    config = request.migration(options)
    ledger = Ledger.open(ledger_place)
    return first_run(screen, ledger, migrations.start(ledger, config, strategy))


def export(screen: Screen, ledger_place: str | None, options: Options) -> Result:
    """A collection to an archive."""
    many = request.many(options, "export", target=_archive(options["archive"]))
    if many is not None:
        return many_runs.run(screen, ledger_place, many)
    config = _into_folder(options)
    ledger = Ledger.open(ledger_place)
    return first_run(screen, ledger, archives.start_export(ledger, config))


def _into_folder(options: Options) -> Any:
    """The target is the archive; its name is known once the source is open."""
    return request.migration(options, target=f"archive:{Path(options['archive']).absolute()}/collection")


def _archive(folder: Path | str) -> str:
    """The URL of a folder of archives."""
    return f"archive://{quote(str(Path(folder).absolute()))}"


def load(screen: Screen, ledger_place: str | None, archive: str, options: Options) -> Result:
    """An archive to a new collection."""
    store = archive if archive.startswith("archive:") else _archive(archive)
    many = request.many(options, "load", source=store)
    if many is not None:
        return many_runs.run(screen, ledger_place, many)
    config = request.migration(options, source=archives.archive_url(archive))
    ledger = Ledger.open(ledger_place)
    return first_run(screen, ledger, archives.start_load(ledger, archive, config))
