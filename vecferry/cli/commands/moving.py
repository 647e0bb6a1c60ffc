"""Commands that move records: migrate, and its halves on their own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vecferry.cli.grouping import command
from vecferry.cli.options import (
    SOURCE,
    TARGET,
    Choices,
    Cutover,
    LedgerPlace,
    Reading,
    SourceSecrets,
    Stores,
    TargetSecrets,
    Trial,
    given,
)
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen

__all__ = ["backup", "demo", "export", "load", "migrate", "restore"]

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
)
def migrate(
    screen: Screen,
    stores: Stores,
    cutover: Cutover,
    choices: Choices,
    trial: Trial,
    reading: Reading,
    source_secrets: SourceSecrets,
    target_secrets: TargetSecrets,
    place: LedgerPlace,
) -> Result:
    """Inventory, plan, backup, export, load, validate, approve, switch: the whole way of one collection."""
    from vecferry.cli.actions import moving

    options = given(trial, stores, cutover, choices, reading, source_secrets, target_secrets)
    return moving.migrate(screen, place.ledger, options)


@command(
    PANEL,
    "vecferry export numpy:///data/vectors.npy /backup/docs",
    "vecferry export qdrant://localhost:6334/docs /backup/docs --workers 4 --max-rows-per-s 2000",
)
def export(
    screen: Screen,
    source: Annotated[str, SOURCE],
    folder: Annotated[Path, FOLDER],
    trial: Trial,
    reading: Reading,
    source_secrets: SourceSecrets,
    place: LedgerPlace,
) -> Result:
    """Export a collection to a Parquet archive, and read all of it back."""
    from vecferry.cli.actions import moving

    return moving.export(
        screen, place.ledger, given(trial, reading, source_secrets) | {"source": source, "archive": folder}
    )


@command(
    PANEL,
    "vecferry load /backup/docs qdrant+edge:///srv/qdrant/docs",
    "vecferry load archive:///backup/docs/docs chroma+path:///srv/chroma/docs --metric cosine",
)
def load(
    screen: Screen,
    archive: Annotated[str, PLACE],
    target: Annotated[str, TARGET],
    choices: Choices,
    trial: Trial,
    reading: Reading,
    target_secrets: TargetSecrets,
    place: LedgerPlace,
) -> Result:
    """Load an archive into a new collection, and compare every record. Switches no route."""
    from vecferry.cli.actions import moving

    return moving.load(
        screen, place.ledger, archive, given(trial, choices, reading, target_secrets) | {"target": target}
    )


@command(
    PANEL,
    "vecferry backup numpy:///data/vectors.npy /backup/docs",
    "vecferry backup chroma://localhost:8000/docs /backup/docs --source-token-env CHROMA_TOKEN",
)
def backup(
    screen: Screen,
    source: Annotated[str, SOURCE],
    folder: Annotated[Path, FOLDER],
    reading: Reading,
    source_secrets: SourceSecrets,
    place: LedgerPlace,
) -> Result:
    """Make a verified copy: files with checksums, a database as an archive. The copy is read back."""
    from vecferry.cli.actions import moving

    return moving.backup(screen, place.ledger, given(reading, source_secrets) | {"source": source, "archive": folder})


@command(
    PANEL,
    "vecferry restore /backup/docs numpy:///data/restored/vectors.npy",
    "vecferry restore /backup/docs qdrant://localhost:6334/docs_restored",
)
def restore(
    screen: Screen,
    backup: Annotated[str, PLACE],
    target: Annotated[str, TARGET],
    choices: Choices,
    reading: Reading,
    target_secrets: TargetSecrets,
    place: LedgerPlace,
) -> Result:
    """Put a backup back into a new place, and compare all of it."""
    from vecferry.cli.actions import moving

    return moving.restore(screen, place.ledger, backup, given(choices, reading, target_secrets) | {"target": target})
