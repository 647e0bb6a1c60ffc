"""Commands that end a migration: complete, decommission, discard, abort; and a lost ledger made anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vecferry.cli.grouping import command
from vecferry.cli.options import MIGRATION, LedgerPlace
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen

__all__ = ["abort", "complete", "decommission", "discard", "rebuild"]

PANEL = "End"
GROUPS = {"ledger": "The control database: make a lost one anew."}

ACCEPT_LATE = typer.Option(
    metavar="DIGEST", help="Let these late records go: the digest that was shown, or gone for a store that is gone."
)
COLLECTION = typer.Option(metavar="NAME", help="The collection that is meant, its name typed in full.")


@command(PANEL, "vecferry complete docs-20261121-7f3a", "vecferry complete docs-20261121-7f3a --json")
def complete(
    screen: Screen,
    migration: Annotated[str, MIGRATION],
    place: LedgerPlace,
    accept_late: Annotated[str | None, ACCEPT_LATE] = None,
) -> Result:
    """End the way back of a switched migration, after a last look at the old store. Drops nothing."""
    from vecferry.cli.actions import ending

    return ending.complete(screen, place.ledger, migration, accept_late or "")


@command(PANEL, "vecferry decommission docs-20261121-7f3a --collection docs")
def decommission(
    screen: Screen,
    migration: Annotated[str, MIGRATION],
    place: LedgerPlace,
    collection: Annotated[str | None, COLLECTION] = None,
    accept_late: Annotated[str | None, ACCEPT_LATE] = None,
) -> Result:
    """Drop the old collection of a completed migration, after one more look. Files are never deleted."""
    from vecferry.cli.actions import ending

    return ending.decommission(screen, place.ledger, migration, collection or "", accept_late or "")


@command(PANEL, "vecferry discard docs-20261121-7f3a")
def discard(
    screen: Screen,
    migration: Annotated[str, MIGRATION],
    place: LedgerPlace,
    accept_late: Annotated[str | None, ACCEPT_LATE] = None,
) -> Result:
    """Drop the target that an aborted or rolled back migration created. Refused while anything names it."""
    from vecferry.cli.actions import ending

    return ending.discard(screen, place.ledger, migration, accept_late or "")


@command(PANEL, "vecferry abort docs-20261121-7f3a")
def abort(screen: Screen, migration: Annotated[str, MIGRATION], place: LedgerPlace) -> Result:
    """End a migration before its switch, and release the writes. Drops nothing; `discard` removes the target."""
    from vecferry.cli.actions import ending

    return ending.abort(screen, place.ledger, migration)


@command(
    PANEL,
    "vecferry ledger rebuild /backup/docs",
    "vecferry ledger rebuild /backup/docs --ledger /srv/ledger.db --yes",
    "vecferry ledger rebuild /backup/docs --rolled-back acme --yes",
    name="ledger rebuild",
)
def rebuild(
    screen: Screen,
    archive: Annotated[Path, typer.Argument(metavar="ARCHIVE", help="The archive's folder.", file_okay=False)],
    place: LedgerPlace,
    collection: Annotated[str | None, COLLECTION] = None,
    rolled_back: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="A workspace that was about to switch, and that the old store serves now."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="What is shown is what applications use now: write it.")] = False,
) -> Result:
    """Make a lost ledger anew from the archive of a switched migration, so that its way back works.

    Of a rolling migration it takes the archive of the whole: those that have not switched are copied anew.
    """
    from vecferry.cli.actions import rebuilding

    return rebuilding.rebuild(place.ledger, archive, collection, rolled_back or (), yes=yes)
