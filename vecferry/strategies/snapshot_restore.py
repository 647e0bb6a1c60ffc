"""Snapshot-restore: writes pause, the old store is pinned by a digest and copied, and the route moves to the copy.

Nothing is looked for but the exact state under one pause, which lasts from before the snapshot until after the switch.
What is written to the old store later is listed, and not moved.
"""

from __future__ import annotations

from vecferry import plain
from vecferry.ledger import State
from vecferry.model import Verdict
from vecferry.strategies import steps
from vecferry.strategies.asking import ask
from vecferry.strategies.counting import begin
from vecferry.strategies.cutover import UNDER_WAY, finish, give_up, look_for_the_last_time, take_up, take_up_or
from vecferry.strategies.lease import working
from vecferry.strategies.pausing import release, undone_after_failure
from vecferry.strategies.prolonging import prolonged
from vecferry.strategies.reversing import does_follow
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.show import show_inventory, show_plan, show_verdict
from vecferry.strategies.snapshot_sheets import snapshot_sheet, snapshot_way_sheet
from vecferry.strategies.snapshots import Moment, Need, is_restored, way_chosen
from vecferry.strategies.sync import catch_up
from vecferry.strategies.work import open_work

__all__ = ["snapshot_restore"]


def snapshot_restore(run: Runner, ref: Ref) -> Verdict:
    """Inventory, plan, approve, pause, digest, snapshot, digest, load, validate, switch, release. Ends SWITCHED.

    What a dead run left is gone on with while its pause holds. Once that is over, nothing that it pinned is switched to
    before a digest under a new pause has said what of it still counts.
    """
    problem = None
    if open_work(ref).migration.state in UNDER_WAY:
        with working(ref) as held:
            problem = take_up(run, held)
    if problem is None and open_work(ref).migration.state is not State.SWITCHED:
        approval = prepare_and_ask(run, ref)
        with working(ref) as held:
            problem = take_up_or(run, held, lambda: move(run, held, approval))
    if problem:
        give_up(run, ref, problem)
    return plain.from_plain(Verdict, dict(open_work(ref).fact("verdict") or {}))


def prepare_and_ask(run: Runner, ref: Ref) -> int | None:
    """Everything that needs no pause; the number of the approval (None: the pause of an earlier run holds yet)."""
    with working(ref) as held:
        run.run(steps.inventory, held)
        show_inventory(run, held)
        run.run(steps.decide, held)
        show_plan(run, held)
        run.run(steps.choose_snapshot, held)
        run.show(snapshot_way_sheet(held.migration, way_chosen(open_work(held))))
        if run.run(steps.is_source_frozen, held):
            return None
        release(run, held)  # in the ledger it is over; an application may wait for this
        run.run(steps.preflight_snapshot, held)
    return ask(run, ref, steps.snapshot_form(ref))


def move(run: Runner, held: Ref, approval: int | None) -> str:
    """Everything under the pause; what the check after the switch found (`""`: nothing)."""
    run.run(steps.preflight_snapshot, held)
    if is_restored(open_work(held)):
        run.run(steps.begin_restore, held)
    else:
        run.run(steps.prepare, held)
    if does_follow(open_work(held)):
        run.run(steps.probe_rights, held)
    run.run(steps.check_hooks, held)
    with undone_after_failure(run, held, steps.undo_switch):
        run.run(steps.freeze_source, held, approval)
        token = run.run(steps.pause_writes, held, None)
        with prolonged(held, token):
            run.run(steps.wait_for_writes, held)
            need = take_snapshot(run, held, token)
            load_and_validate(run, held, need)
            run.run(steps.freeze_snapshot, held, token)
            if need is Need.CARRY:
                look_for_the_last_time(run, held, token)
            else:
                run.run(steps.check_new_store, held)
            run.run(steps.require_pinned, held, token)
            run.run(steps.write_cutover, held)
        run.run(steps.commit_switch, held, token)
    return finish(run, held)


def take_snapshot(run: Runner, held: Ref, token: int) -> Need:
    """Digest, snapshot, digest again. One of an earlier pause stays if the first digest is still its own."""
    digest = digest_of(run, held, token, Moment.BEFORE)
    need = run.run(steps.begin_snapshot, held, token, digest)
    if need is Need.MAKE:
        run.run(steps.copy_store_files, held)
        work = open_work(held)
        begin(held, "export")
        run.map(steps.export_snapshot, held, work.slice_numbers(), work.config.workers)
        after = digest_of(run, held, token, Moment.AFTER)
        run.show(snapshot_sheet(held.migration, run.run(steps.require_unchanged, held, after), after))
    return need


def digest_of(run: Runner, held: Ref, token: int, moment: Moment) -> str:
    """The digest of every record that the old store holds now."""
    numbers = run.run(steps.begin_digest, held, token, moment)
    work = open_work(held)
    workers = min(work.config.workers, work.source().capabilities().parallel_reads)
    run.map(steps.digest_slice, held, numbers, workers)
    return run.run(steps.end_digest, held)


def load_and_validate(run: Runner, held: Ref, need: Need) -> None:
    """Load the archive, bring an overtaken one up to date, compare every record. Ends READY, or raises DataDiffer."""
    work = open_work(held)
    numbers, workers = work.slice_numbers(), work.config.workers
    begin(held, "load")
    if is_restored(work):
        run.run(steps.restore_snapshot, held)
    else:
        run.map(steps.copy_slice, held, numbers, workers)
    run.run(steps.finish_load, held)
    if need is Need.CARRY:
        catch_up(run, held)
    run.run(steps.begin_validation, held)
    begin(held, "validate")
    run.map(steps.validate_slice, held, numbers, workers)
    verdict = run.run(steps.conclude, held)
    show_verdict(run, held, verdict)
    steps.require_same(str(work.config.target.public()), verdict)
