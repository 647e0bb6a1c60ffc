"""Cutover: the writes pause, the old store is read until it is still, and one transaction switches the route.

Until that transaction every failure goes back to before the pause, and writes go on in the old store. After it the way
leads forward, or a person decides. Writes are released last of all.
"""

from __future__ import annotations

from collections.abc import Callable

from vecferry.errors import DataDiffer, UnsafeRoute
from vecferry.ledger import State
from vecferry.strategies import steps
from vecferry.strategies.asking import ask
from vecferry.strategies.cutover_sheets import cutover_sheet
from vecferry.strategies.ending import look
from vecferry.strategies.lease import working
from vecferry.strategies.pausing import (
    MAX_LAST_PASSES,
    follow,
    pause,
    release,
    released_after_failure,
    undone_after_failure,
)
from vecferry.strategies.reversing import does_follow
from vecferry.strategies.rollback import rollback
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.steps.cutover import CUTOVER_FACT, Stage
from vecferry.strategies.sync import catch_up
from vecferry.strategies.two_steps import move_reads, require_only_ours
from vecferry.strategies.work import open_work
from vecferry.transfer.differences import Side

__all__ = ["UNDER_WAY", "ask", "cut_over", "finish", "give_up", "look_for_the_last_time", "take_up", "take_up_or"]

UNDER_WAY = frozenset({State.FROZEN, State.SWITCHING, State.SWITCHED})
"""States of a switch that was begun."""


def cut_over(run: Runner, ref: Ref) -> None:
    """Ask, pause, look for the last time, switch, follow, check, release, look for late records. Ends SWITCHED.

    In two steps reads go before, with a question of their own.
    What a dead run left is gone on with where that is safe, else undone and begun anew.
    """
    problem = None
    if open_work(ref).migration.state in UNDER_WAY:
        with working(ref) as held:
            problem = take_up(run, held)
    if problem is None and open_work(ref).migration.state is not State.SWITCHED:
        if open_work(ref).in_two_steps:
            move_reads(run, ref)
        approval = ask(run, ref)
        with working(ref) as held:
            problem = take_up_or(run, held, lambda: switch(run, held, approval))
    if problem:
        give_up(run, ref, problem)


def take_up_or(run: Runner, held: Ref, begin: Callable[[], str]) -> str:
    """Begin the switch, unless another run did while this one waited: then what that one left is gone on with."""
    problem = take_up(run, held) if open_work(held).migration.state in UNDER_WAY else None
    return begin() if problem is None else problem


def switch(run: Runner, held: Ref, approval: int) -> str:
    """Everything under the pause; what the check after it found (`""`: nothing)."""
    if open_work(held).in_two_steps:
        run.run(steps.require_watched, held)
    run.run(steps.preflight_switch, held)
    if does_follow(open_work(held)):
        run.run(steps.probe_rights, held)
    with undone_after_failure(run, held, steps.undo_switch):
        token = pause(run, held, approval)
        look_for_the_last_time(run, held, token)
        run.run(steps.write_cutover, held)
        run.run(steps.commit_switch, held, token)
    return finish(run, held)


def look_for_the_last_time(run: Runner, held: Ref, token: int) -> None:
    """Passes until one is empty and the next sees the same; then the new store. Raises DataDiffer, naming records."""
    for _ in range(MAX_LAST_PASSES):
        if run.run(steps.is_settled, held, token):
            run.run(steps.check_new_store, held)
            if open_work(held).in_two_steps:
                require_only_ours(run, held)
            return
        if not run.run(steps.pass_unread, held, token):
            catch_up(run, held)
    raise DataDiffer(
        f"the old store is still being written: {MAX_LAST_PASSES} passes under the pause each found something new",
        advice="nothing was switched. Find out who writes it without minding the pause, then vecferry resume "
        f"{held.migration}",
    )


def finish(run: Runner, held: Ref) -> str:
    """After the route moved: all follow it and are read back, the new store is checked, writes are released.

    Returns why the check failed; then writes are not released.
    """
    run.run(steps.check_route, held)
    follow(run, held)
    problem = run.run(steps.check_serving, held)
    run.run(steps.end_switching, held, problem)
    if not problem:
        release(run, held)
        late = look(run, held, Side.SOURCE)
        run.show(cutover_sheet(held.migration, run.run(steps.end_cutover, held, late), late))
    return problem


def take_up(run: Runner, held: Ref) -> str | None:
    """Go on with what a dead run left (what `finish` says), or undo it (None)."""
    work = open_work(held)
    if work.migration.state is State.SWITCHED and work.fact(CUTOVER_FACT) is not None:
        run.run(steps.check_route, held)
        return ""
    stage = run.run(steps.find_stage, held)
    if stage is Stage.UNMOVED:
        run.run(steps.undo_switch, held)
        return None
    if stage is Stage.UNSEEN:
        with released_after_failure(run, held):
            token = run.run(steps.pause_writes, held, None)
            run.run(steps.wait_for_writes, held)
            look_for_the_last_time(run, held, token)
            run.run(steps.write_cutover, held)
    elif stage is Stage.ENDED:
        release(run, held)  # in the ledger it is over; the application may wait for this
    return finish(run, held)


def give_up(run: Runner, ref: Ref, problem: str) -> None:
    """The new store failed its check: the route goes back if the approver chose so, else the pause is held."""
    name = ref.migration
    if open_work(ref).config.on_check_failed == "rollback":
        rollback(run, ref)
        with working(ref) as held:
            release(run, held)
        raise UnsafeRoute(
            f"after the switch the new store was not as it must be: {problem}. The route went back",
            advice=f"look at the new store; vecferry status {name}",
        )
    raise UnsafeRoute(
        f"after the switch the new store is not as it must be: {problem}",
        advice=f"writes stay paused until the pause ends. vecferry rollback {name} goes back, vecferry resume {name} "
        f"checks again, vecferry unpause {name} lets writes go on in the new store",
    )
