"""Forward again after a rollback."""

from __future__ import annotations

from collections.abc import Sequence

from vecferry.errors import BadOption
from vecferry.ledger import ENDED, FORWARD_FACT, Ledger, State
from vecferry.operations import migrations, workspaces
from vecferry.strategies.forward_again import go_forward_again
from vecferry.strategies.runner import Ref, Runner

__all__ = ["forward"]


def forward(runner: Runner, ref: Ref, names: Sequence[str] = ()) -> None:
    """Lead a rolled back migration forward again without another copy, and go on with it; a second time it goes on.

    Of a rolling one the workspaces that are called so, or all that were rolled back. Raises UnsafeRoute where the
    rollback is not over or something is gone, PlanRefused where another migration has the route, DataDiffer for records
    in the new store that nobody knows; then nothing was changed.
    """
    ledger = Ledger.open(ref.ledger)
    migration = ledger.migration(ref.migration)
    if workspaces.is_rolling(migration):
        return workspaces.forward(runner, ref, names)
    if migration.parent is not None:
        raise BadOption(
            f"{migration.id} moves one workspace of {migration.parent}",
            advice=f"vecferry forward {migration.parent} --workspace KEY",
        )
    if names:
        raise BadOption(f"migration {migration.id} has no workspaces", advice="name none")
    goes_on = ledger.fact(migration.id, FORWARD_FACT) is not None and migration.state not in ENDED
    if migration.state is State.ROLLED_BACK or not goes_on:
        go_forward_again(runner, ref)
    migrations.run(runner, ref)
    return None
