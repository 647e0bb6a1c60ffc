"""A cutover in two steps: reads go to the new store, are watched while passes go on, and writes follow after another
yes. Until then reads can be sent back; nobody is paused for either.
"""

from __future__ import annotations

from vecferry.errors import Stopped, UnsafeRoute
from vecferry.ledger import State
from vecferry.strategies import steps
from vecferry.strategies.asking import ask
from vecferry.strategies.cutover_sheets import told, watch_sheet
from vecferry.strategies.ending import look
from vecferry.strategies.lease import working, working_before_sync
from vecferry.strategies.pausing import follow
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.sync import catch_up
from vecferry.strategies.work import open_work
from vecferry.transfer.differences import Side

__all__ = ["move_reads", "require_only_ours", "send_reads_back"]


def move_reads(run: Runner, ref: Ref) -> None:
    """Ask, let reads go to the new store, let all follow, and catch up once. Ends READS_NEW; again it catches up.

    Nothing pauses. What a dead run left is led on: reads may be on either side while the application learns of it.
    Raises Stopped where the watch is not over, and nobody is asked whom that could be told.
    """
    approval = ask(run, ref) if open_work(ref).migration.state is State.READY else 0
    with working(ref) as held:
        if approval:
            run.run(steps.preflight_switch, held)
            run.run(steps.preflight_reads, held)
            run.run(steps.check_hooks, held)
            run.run(steps.commit_reads, held, approval)
        run.run(steps.require_reads_there, held)
        run.run(steps.check_reads, held)
        follow(run, held)
        _require_serving(run, held)
        catch_up(run, held)
        found = run.run(steps.watched, held)
    run.show(watch_sheet(ref.migration, found))
    if found["left_s"] and open_work(ref).config.approve == "auto":
        raise Stopped(
            f"reads are new, and are watched for {found['left_s']:,.0f} s yet; the state stays {State.READS_NEW}",
            advice=f"vecferry sync {ref.migration} keeps them close; from {told(found['ends'])} on vecferry resume "
            f"{ref.migration} switches the writes; vecferry rollback {ref.migration} sends the reads back",
        )


def _require_serving(run: Runner, held: Ref) -> None:
    problem = run.run(steps.check_serving, held)
    if problem:
        raise UnsafeRoute(
            f"reads went to the new store, and it is not as it must be: {problem}",
            advice=f"writes stay in the old store. vecferry rollback {held.migration} sends the reads back, vecferry "
            f"resume {held.migration} looks again",
        )


def require_only_ours(run: Runner, held: Ref) -> None:
    """Under the pause: nothing in the new store but what the migration wrote there. Raises DataDiffer."""
    run.run(steps.require_unwritten, held, look(run, held, Side.TARGET))


def send_reads_back(run: Runner, ref: Ref) -> None:
    """Let reads go to the old store again, and all follow. Ends READY; what a dead run left of it is finished."""
    with working_before_sync(ref) as held:
        if open_work(held).migration.state is State.READS_NEW:
            run.run(steps.return_reads, held)
            run.run(steps.check_reads, held)
            follow(run, held)
            run.run(steps.end_reads_back, held)
