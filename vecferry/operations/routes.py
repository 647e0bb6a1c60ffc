"""Which store serves, and the way back."""

from __future__ import annotations

from pathlib import Path

from vecferry.errors import BadOption, UnsafeRoute
from vecferry.ledger import State
from vecferry.model import JsonObject
from vecferry.operations import workspaces
from vecferry.operations.serving import route
from vecferry.operations.workspaces import is_rolling
from vecferry.strategies import rollback as strategy
from vecferry.strategies.returning import Settlement
from vecferry.strategies.rollback import Figures
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.steps.rollback import RETURN_FACT
from vecferry.strategies.two_steps import send_reads_back
from vecferry.strategies.work import open_work
from vecferry.transfer.brakes import Release

__all__ = ["Figures", "foresee", "merge", "rollback", "route", "route_only", "settlement"]


def settlement(
    prefer: str | None = None,
    conflicts: Path | None = None,
    allow_deletes: int | None = None,
    allow_changes: int | None = None,
    by: str = "the command",
) -> Settlement:
    """What a person says to a way back. Raises BadOption where two answers to conflicts are given, or an unknown one.

    `prefer` is `old` or `new`. `conflicts` is the file in which each conflict is decided; one that is not there yet is
    written, and the rollback stops.
    """
    if prefer is not None and prefer not in ("old", "new"):
        raise BadOption(f"--prefer {prefer} is not known", advice="it may be old or new")
    if prefer is not None and conflicts is not None:
        raise BadOption("--prefer and --conflicts both say who wins", advice="give one of them")
    placed = None if conflicts is None else conflicts.absolute()
    return Settlement(prefer or "", placed, Release(allow_deletes, allow_changes), by)


def foresee(runner: Runner, ref: Ref, said: Settlement = strategy.UNDECIDED) -> Figures:
    """What a rollback would do now: records by what becomes of each, the pause, the store that would serve.

    Reads both stores; writes to neither. Raises UnsafeRoute for a migration that cannot be rolled back.
    """
    if _reads_alone(ref):
        raise UnsafeRoute(
            f"the reads of {ref.migration} are new and its writes are not: a rollback carries no record",
            advice=f"vecferry rollback {ref.migration} sends the reads back to the old store",
        )
    return strategy.dry_run(runner, ref, said)


def rollback(runner: Runner, ref: Ref, said: Settlement = strategy.UNDECIDED) -> JsonObject:
    """Carry back what the new store received and switch the route back; the figures of it. Drops nothing.

    Raises UnsafeRoute (exit 5), with the migration SWITCHED and writes released, for open conflicts, where a brake
    holds, or where a store is not there. A rollback that a crash cut is finished. Where reads alone had gone to the new
    store they are sent back, and there are no figures.
    """
    if is_rolling(open_work(ref).migration):
        workspaces.roll_back(runner, ref, (), said)
        return {}
    if _reads_alone(ref):
        send_reads_back(runner, ref)
        return {}
    strategy.rollback(runner, ref, said)
    return open_work(ref).fact(RETURN_FACT) or {}


def route_only(runner: Runner, ref: Ref, said: Settlement = strategy.UNDECIDED) -> JsonObject:
    """Switch the route back at once, while the new store cannot be asked: state ROLLED_BACK_UNMERGED; nothing figured.

    Raises UnsafeRoute for a migration that cannot be rolled back, with writes released.
    """
    if is_rolling(open_work(ref).migration):
        workspaces.lead_back(runner, ref, (), said)
        return {}
    if _reads_alone(ref):
        send_reads_back(runner, ref)
        return {}
    strategy.route_only(runner, ref, said)
    return {}


def merge(runner: Runner, ref: Ref, said: Settlement = strategy.UNDECIDED) -> JsonObject:
    """Carry over what the new store had received before a rollback of the route alone; the figures of it.

    Raises as `rollback` does; the state stays ROLLED_BACK_UNMERGED then.
    """
    if is_rolling(open_work(ref).migration):
        workspaces.merge(runner, ref, (), said)
        return {}
    strategy.merge(runner, ref, said)
    return open_work(ref).fact(RETURN_FACT) or {}


def _reads_alone(ref: Ref) -> bool:
    return open_work(ref).migration.state is State.READS_NEW
