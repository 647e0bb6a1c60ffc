"""Commands that only look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vecferry.cli import completion
from vecferry.cli.grouping import command
from vecferry.cli.options import (
    CONFIG,
    SOURCE,
    Choices,
    Destination,
    LedgerPlace,
    Many,
    Naming,
    Reading,
    SourceSecrets,
    Stores,
    StoreSecrets,
    TargetSecrets,
    Trial,
    given,
)
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen

__all__ = ["doctor", "inventory", "list_migrations", "plan", "route", "status", "stores", "verify"]

PANEL = "Look"


@command(PANEL, "vecferry stores", "vecferry stores --markdown", "vecferry stores --json")
def stores(
    screen: Screen,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a Markdown table, as the README shows it.")] = False,
) -> Result:
    """List every store: its URLs, what it can hold, and which extra brings its driver."""
    from vecferry.cli.actions import looking

    return looking.stores(markdown=markdown)


@command(
    PANEL,
    "vecferry doctor chroma+path:///srv/chroma/docs qdrant://localhost:6334/docs",
    "vecferry doctor qdrants://HOST:6334 --key-env QDRANT_API_KEY --write-check",
    "vecferry doctor --config migration.yaml --json",
)
def doctor(
    screen: Screen,
    secrets: StoreSecrets,
    place: LedgerPlace,
    urls: Annotated[
        list[str] | None,
        typer.Argument(metavar="[URL]...", help="Stores or collections.", autocompletion=completion.urls),
    ] = None,
    config: Annotated[Path | None, CONFIG] = None,
    folder: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="A folder for archives or backups: its rights and room. May be repeated."),
    ] = None,
    write_check: Annotated[
        bool, typer.Option("--write-check", help="Make, fill and drop a scratch collection in each store.")
    ] = False,
) -> Result:
    """Tell whether stores are reachable, healthy and allowed, and how they, the ledger and the drivers are."""
    from vecferry.cli.actions import doctoring

    return doctoring.doctor(place.ledger, urls or [], given(secrets), config, folder or [], write=write_check)


@command(
    PANEL,
    "vecferry inventory numpy:///data/vectors.npy",
    "vecferry inventory chroma+path:///srv/chroma/docs --target qdrant://localhost:6334/docs",
    "vecferry inventory qdrant://localhost:6334/docs --no-vectors --json",
    "vecferry inventory chroma://localhost:8000 --all",
)
def inventory(
    screen: Screen,
    source: Annotated[str, SOURCE],
    many: Many,
    destination: Destination,
    choices: Choices,
    trial: Trial,
    reading: Reading,
    source_secrets: SourceSecrets,
    target_secrets: TargetSecrets,
    no_vectors: Annotated[
        bool, typer.Option("--no-vectors", help="Leave the vectors unread: quicker, and nothing is told of them.")
    ] = False,
) -> Result:
    """Show what a collection is: schema, what all its records hold, its room, and what of it will not fit a target."""
    from vecferry.cli.actions import looking

    options = given(many, destination, choices, trial, reading, source_secrets, target_secrets) | {"source": source}
    return looking.inventory(screen, options | ({"no_vectors": True} if no_vectors else {}))


@command(
    PANEL,
    "vecferry plan --source numpy:///data/vectors.npy --target qdrant+edge:///srv/qdrant/docs --metric cosine",
    "vecferry plan --config migration.yaml --json",
    "vecferry plan --source chroma+path:///srv/chroma --target qdrant://localhost:6334 --collections 'docs*'",
)
def plan(
    screen: Screen,
    stores: Stores,
    many: Many,
    naming: Naming,
    choices: Choices,
    trial: Trial,
    reading: Reading,
    source_secrets: SourceSecrets,
    target_secrets: TargetSecrets,
) -> Result:
    """Show what would happen to every feature of a collection. Moves nothing; exit 4 when it would be refused."""
    from vecferry.cli.actions import looking

    return looking.plan(screen, given(trial, stores, many, naming, choices, reading, source_secrets, target_secrets))


@command(
    PANEL,
    "vecferry verify --source numpy:///data/vectors.npy --target qdrant+edge:///srv/qdrant/docs",
    "vecferry verify --config migration.yaml --json",
    "vecferry verify --source chroma+path:///srv/chroma --target qdrant://localhost:6334 --all",
)
def verify(
    screen: Screen,
    stores: Stores,
    many: Many,
    naming: Naming,
    choices: Choices,
    trial: Trial,
    reading: Reading,
    source_secrets: SourceSecrets,
    target_secrets: TargetSecrets,
) -> Result:
    """Compare every record of two stores. Writes nothing; exit 1 when they differ."""
    from vecferry.cli.actions import looking

    return looking.verify(screen, given(trial, stores, many, naming, choices, reading, source_secrets, target_secrets))


@command(PANEL, "vecferry list", "vecferry list --live --json", name="list")
def list_migrations(
    screen: Screen,
    place: LedgerPlace,
    live: Annotated[bool, typer.Option("--live", help="Only those that have not ended.")] = False,
    workspaces: Annotated[
        bool, typer.Option("--workspaces", help="With the migration of each workspace of a rolling one.")
    ] = False,
) -> Result:
    """List the migrations of the ledger, the newest first."""
    from vecferry.cli.actions import ledgered

    return ledgered.list_migrations(place.ledger, live=live, parts=workspaces)


@command(PANEL, "vecferry status", "vecferry status docs-20261121-7f3a --detailed")
def status(
    screen: Screen,
    place: LedgerPlace,
    migration: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="A migration; else the newest.", autocompletion=completion.migrations),
    ] = None,
    detailed: Annotated[bool, typer.Option("--detailed", help="With every slice and the audit trail.")] = False,
) -> Result:
    """Show a migration as it stands, and what can be done now."""
    from vecferry.cli.actions import ledgered

    return ledgered.status(screen, place.ledger, migration, detailed=detailed)


@command(PANEL, "vecferry route docs", "vecferry route docs --json", "vecferry route docs --observe")
def route(
    screen: Screen,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The logical name.", autocompletion=completion.routes)],
    place: LedgerPlace,
    workspace: Annotated[
        str | None, typer.Option(metavar="KEY", help="One workspace alone: a JSON value, or plain text.")
    ] = None,
    observe: Annotated[
        bool,
        typer.Option("--observe", help="Look at alias, route file and read-back hook too (exit 5: they differ)."),
    ] = False,
) -> Result:
    """Say which collection serves a logical name now, and whether writes wait: applications ask this."""
    from vecferry.cli.actions import serving

    return serving.route(place.ledger, name, workspace, observe=observe)
