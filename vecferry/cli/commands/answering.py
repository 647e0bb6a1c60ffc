"""Commands for a migration that is under way, or has switched: resume, approve, unpause, rollback, merge, forward."""

from __future__ import annotations

from typing import Annotated

import typer

from vecferry.cli.grouping import command
from vecferry.cli.options import MIGRATION, DryRun, LedgerPlace, Settling, given
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen

__all__ = ["approve", "forward", "merge", "resume", "rollback", "unpause"]

PANEL = "Decide"

OF_WORKSPACE = typer.Option(metavar="KEY", help="One workspace alone: a JSON value, or plain text.")


@command(PANEL, "vecferry resume docs-20261121-7f3a", "vecferry resume many-to-qdrant-20261121-7f3a")
def resume(screen: Screen, migration: Annotated[str, MIGRATION], place: LedgerPlace) -> Result:
    """Go on with a migration, or all of a group, from wherever it stopped; no finished slice is done again."""
    from vecferry.cli.actions import answering

    return answering.resume(screen, place.ledger, migration)


@command(PANEL, "vecferry approve docs-20261121-7f3a", "vecferry approve docs-20261121-7f3a --reject")
def approve(
    screen: Screen,
    migration: Annotated[str, MIGRATION],
    place: LedgerPlace,
    reject: Annotated[bool, typer.Option("--reject", help="Say no: the migration stays as it is.")] = False,
) -> Result:
    """Say yes to the switch of a migration that waits for it."""
    from vecferry.cli.actions import answering

    return answering.approve(screen, place.ledger, migration, yes=not reject)


@command(PANEL, "vecferry unpause docs-20261121-7f3a")
def unpause(screen: Screen, migration: Annotated[str, MIGRATION], place: LedgerPlace) -> Result:
    """Release the writes that a migration paused: in ledger, route file and application. Then it cannot switch."""
    from vecferry.cli.actions import answering

    return answering.unpause(screen, place.ledger, migration)


@command(
    PANEL,
    "vecferry rollback docs-20261121-7f3a --dry-run",
    "vecferry rollback docs-20261121-7f3a",
    "vecferry rollback docs-20261121-7f3a --prefer new",
)
def rollback(
    screen: Screen,
    migration: Annotated[str, MIGRATION],
    place: LedgerPlace,
    settling: Settling,
    dry_run: DryRun = False,
    route_only: Annotated[
        bool, typer.Option("--route-only", help="The new store is broken: the route goes back now, records by `merge`.")
    ] = False,
    workspace: Annotated[list[str] | None, OF_WORKSPACE] = None,
) -> Result:
    """Write what the new store received to the old one, and switch the route back. Drops nothing.

    Records that both sides changed stop it (exit 5), listed in a file to decide in. Old files get a copy beside them.
    Where only reads are new, they go back, and nothing is written.
    """
    from vecferry.cli.actions import returning

    choices = given(settling)
    return returning.rollback(
        screen, place.ledger, migration, choices, dry_run=dry_run, route_only=route_only, workspaces=workspace or ()
    )


@command(PANEL, "vecferry merge docs-20261121-7f3a --dry-run", "vecferry merge docs-20261121-7f3a --prefer old")
def merge(
    screen: Screen,
    migration: Annotated[str, MIGRATION],
    place: LedgerPlace,
    settling: Settling,
    dry_run: DryRun = False,
    workspace: Annotated[list[str] | None, OF_WORKSPACE] = None,
) -> Result:
    """After `rollback --route-only`: write what the new store received to the old one, which serves. Ends ROLLED_BACK.

    Takes what `rollback` takes; the new store has to be there again. After a whole rollback: what came late.
    """
    from vecferry.cli.actions import returning

    choices = given(settling)
    return returning.rollback(
        screen, place.ledger, migration, choices, dry_run=dry_run, merge=True, workspaces=workspace or ()
    )


@command(PANEL, "vecferry forward docs-20261121-7f3a", "vecferry forward tenants-20261121-7f3a --workspace acme")
def forward(
    screen: Screen,
    migration: Annotated[str, MIGRATION],
    place: LedgerPlace,
    workspace: Annotated[list[str] | None, OF_WORKSPACE] = None,
) -> Result:
    """After a rollback: go forward again from the copy that is there. Nothing is copied twice.

    The new store is read whole first; what nobody knows in it stops this (exit 1). Then as `resume` does.
    """
    from vecferry.cli.actions import answering

    return answering.forward(screen, place.ledger, migration, workspace or ())
