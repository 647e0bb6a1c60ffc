"""Commands for the workspaces of a rolling migration."""

from __future__ import annotations

from typing import Annotated

import typer

from vecferry.cli.grouping import command
from vecferry.cli.options import MIGRATION, LedgerPlace
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen

__all__ = ["workspaces"]

PANEL = "Decide"


@command(
    PANEL,
    "vecferry workspaces docs-20261121-7f3a",
    "vecferry workspaces docs-20261121-7f3a --skip acme --first globex",
    "vecferry workspaces docs-20261121-7f3a --retry acme",
)
def workspaces(
    screen: Screen,
    migration: Annotated[str, MIGRATION],
    place: LedgerPlace,
    skip: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Leave this workspace where it is. May be repeated.")
    ] = None,
    take_up: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Move it again with the others after --skip or --freeze. May be repeated."),
    ] = None,
    freeze: Annotated[
        bool, typer.Option("--freeze", help="Leave all where they are that are still to move; a run stops after one.")
    ] = False,
    first: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Move this workspace before the others. May be repeated.")
    ] = None,
    retry: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Go on with this one now, and no other. May be repeated.")
    ] = None,
) -> Result:
    """Show the workspaces of a rolling migration, or say which move, which wait and which go first.

    KEY is a JSON value or plain text; missing and default are the records without the field, and all others.
    """
    from vecferry.cli.actions import dividing

    wishes = dividing.Wishes(skip or [], take_up or [], first or [], retry or [], freeze)
    return dividing.workspaces(screen, place.ledger, migration, wishes)
