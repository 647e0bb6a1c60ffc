"""Commands that move records: migrate, and its halves on their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vecferry.cli.grouping import command
from vecferry.cli.options import (
    MIGRATION,
    SOURCE,
    TARGET,
    Choices,
    Cutover,
    LedgerPlace,
    Many,
    Naming,
    Reading,
    Rolling,
    SourceSecrets,
    Stores,
    TargetSecrets,
    Trial,
    given,
)
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen

__all__ = ["demo", "export", "load", "migrate", "sync"]

PANEL = "Move"
FOLDER = typer.Argument(metavar="FOLDER", help="Where it is written.", file_okay=False)
PLACE = typer.Argument(metavar="FOLDER|URL", help="The folder that was written, or archive:///FOLDER/COLLECTION.")


@command(PANEL, "vecferry demo", "vecferry demo --keep /tmp/ferry")
def demo(
    screen: Screen,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep stores, archive and ledger in this new folder.")
    ] = None,
) -> Result:
    """Show the whole way on embedded stores with generated data: all phases, verdict, switch, rollback."""
    from vecferry.cli.actions import demonstrating

    return demonstrating.demo(screen, keep)


@command(
    PANEL,
    "vecferry migrate --source numpy:///data/vectors.npy --target qdrant://localhost:6334/docs --metric cosine",
    "vecferry migrate --source chroma+path:///srv/chroma/docs --target qdrants://HOST:6334/docs "
    "--target-key-env QDRANT_API_KEY --approve auto --json",
    "vecferry migrate --config migration.yaml --limit 1000",
    "vecferry migrate --source chroma+path:///srv/chroma --target qdrant://localhost:6334 --collections 'docs*' "
    "--exclude '*_old' --approve auto",
    "vecferry migrate --source chroma://localhost:8000/docs --target qdrant://localhost:6334/docs "
    "--strategy snapshot-restore --pause-limit-s 1800",
    "vecferry migrate --source chroma://localhost:8000/docs --target qdrant://localhost:6334/docs --strategy rolling "
    "--by workspace_id --wave 20",
)
def migrate(
    screen: Screen,
    stores: Stores,
    many: Many,
    naming: Naming,
    cutover: Cutover,
    rolling: Rolling,
    choices: Choices,
    trial: Trial,
    reading: Reading,
    source_secrets: SourceSecrets,
    target_secrets: TargetSecrets,
    place: LedgerPlace,
) -> Result:
    """Inventory, plan, backup, export, load, validate, approve, switch: the whole way of one collection, or of many."""
    from vecferry.cli.actions import moving

    options = given(trial, stores, many, naming, cutover, rolling, choices, reading, source_secrets, target_secrets)
    return moving.migrate(screen, place.ledger, options)


@command(
    PANEL,
    "vecferry export numpy:///data/vectors.npy /backup/docs",
    "vecferry export qdrant://localhost:6334/docs /backup/docs --workers 4 --max-rows-per-s 2000",
    "vecferry export qdrant://localhost:6334 /backup/everything --all",
)
def export(
    screen: Screen,
    source: Annotated[str, SOURCE],
    folder: Annotated[Path, FOLDER],
    many: Many,
    trial: Trial,
    reading: Reading,
    source_secrets: SourceSecrets,
    place: LedgerPlace,
) -> Result:
    """Export a collection, or many, to a Parquet archive, and read all of it back."""
    from vecferry.cli.actions import moving

    return moving.export(
        screen, place.ledger, given(many, trial, reading, source_secrets) | {"source": source, "archive": folder}
    )


@command(
    PANEL,
    "vecferry load /backup/docs qdrant+edge:///srv/qdrant/docs",
    "vecferry load archive:///backup/docs/docs chroma+path:///srv/chroma/docs --metric cosine",
    "vecferry load /backup/everything qdrant+edge:///srv/qdrant --all",
)
def load(
    screen: Screen,
    archive: Annotated[str, PLACE],
    target: Annotated[str, TARGET],
    many: Many,
    naming: Naming,
    choices: Choices,
    trial: Trial,
    reading: Reading,
    target_secrets: TargetSecrets,
    place: LedgerPlace,
) -> Result:
    """Load an archive into a new collection, or many into many, and compare every record. Switches no route."""
    from vecferry.cli.actions import moving

    return moving.load(
        screen, place.ledger, archive, given(many, naming, trial, choices, reading, target_secrets) | {"target": target}
    )


@command(PANEL, "vecferry sync docs-20261121-7f3a", "vecferry sync docs-20261121-7f3a --allow-deletes 1200 --json")
def sync(
    screen: Screen,
    migration: Annotated[str, MIGRATION],
    place: LedgerPlace,
    allow_deletes: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Let so many deletes through: those that a brake held and showed."),
    ] = None,
    allow_changes: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Let so many changed records through: those that a brake held and showed."
        ),
    ] = None,
) -> Result:
    """Carry what changed in the old store since it was read last into the new one, and read it back. Once.

    After the switch it goes the other way (or, with reverse: hold, only looks), and says what a rollback would come to.
    """
    from vecferry.cli.actions import syncing

    return syncing.sync(screen, place.ledger, migration, allow_deletes, allow_changes)
