"""Several workspaces in one go, each by itself: what fails is noted and keeps no other from moving.

One call is one task of a flow, so that hundreds of workspaces stay below its limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from vecferry import failpoints
from vecferry.errors import (
    ConfigError,
    DataDiffer,
    LeaseLost,
    LockHeld,
    PlanRefused,
    RetryLater,
    Stopped,
    UnsafeRoute,
    VecferryError,
)
from vecferry.ledger import DEFAULT_WORKSPACE, ENDED, Hold, Ledger, State, Workspace
from vecferry.strategies import steps
from vecferry.strategies.across import bring_back, settle_brought, settle_followed
from vecferry.strategies.blue_green import fill_and_prove
from vecferry.strategies.cutover import cut_over
from vecferry.strategies.ending import look
from vecferry.strategies.forward_again import go_forward_again
from vecferry.strategies.lease import working
from vecferry.strategies.moved import MOVED_FACT, moved_words
from vecferry.strategies.returning import Settlement
from vecferry.strategies.rollback import merge, rollback, route_only
from vecferry.strategies.runner import ApprovalForm, LocalRunner, Ref
from vecferry.strategies.sheets import Sheet
from vecferry.strategies.steps.cutover import CUTOVER_FACT
from vecferry.strategies.sync import sync
from vecferry.strategies.work import open_work
from vecferry.strategies.workspace_list import note_workspaces
from vecferry.transfer import retry
from vecferry.transfer.brakes import Release
from vecferry.transfer.differences import Side
from vecferry.transfer.late import Late

__all__ = [
    "TO_FILL",
    "Done",
    "each",
    "end_ways_back",
    "fill_wave",
    "forget_wave",
    "forward_wave",
    "is_to_switch",
    "lead_back_wave",
    "look_at_wave",
    "merge_wave",
    "raise_worst",
    "roll_back_wave",
    "switch_wave",
    "sync_wave",
]

TO_FILL = frozenset({State.PLANNED, State.COPYING, State.CATCHING_UP, State.VERIFYING})
_TO_SWITCH = frozenset({State.READY, State.READS_NEW, State.FROZEN, State.SWITCHING})
_OF_THE_RUN = (LockHeld, LeaseLost, RetryLater)
"""Not a fault of one workspace: the next one would meet it as well."""

_BY_CODE: dict[int, type[VecferryError]] = {
    5: UnsafeRoute,
    1: DataDiffer,
    4: PlanRefused,
    2: ConfigError,
    3: Stopped,
}
"""Kinds of errors by their exit code, the most serious first."""


@dataclass(frozen=True, slots=True)
class Done:
    """How work on one workspace ended. `error` is what a person is told (`""`: it went well); `rows` were carried."""

    key: str
    child: str
    error: str = ""
    advice: str = ""
    exit_code: int = 0
    rows: int = 0


def fill_wave(ref: Ref, numbers: Sequence[int]) -> list[Done]:
    """Copy, catch up and validate these workspaces, one after the other."""

    def fill(run: LocalRunner, child: Ref) -> None:
        settle_brought(child)
        with working(child) as held:
            run.run(steps.decide_workspace, held)
            steps.require_same(str(open_work(held).config.target.public()), fill_and_prove(run, held))

    return each(ref, numbers, fill, lambda one: one.state in TO_FILL, counted=True)


def forget_wave(ref: Ref, numbers: Sequence[int]) -> list[Done]:
    """Take back the copies of these workspaces that did not end."""

    def forget(run: LocalRunner, child: Ref) -> None:
        with working(child) as held:
            run.run(steps.forget_copy, held)

    return each(ref, numbers, forget, lambda one: one.state is State.COPYING)


def forward_wave(ref: Ref, numbers: Sequence[int]) -> list[Done]:
    """Lead these rolled back workspaces forward again, as far as CATCHING_UP."""
    return each(ref, numbers, go_forward_again, lambda one: one.state is State.ROLLED_BACK)


def switch_wave(ref: Ref, numbers: Sequence[int]) -> list[Done]:
    """Switch these workspaces, each under its own pause, or finish what a dead run left of that."""

    def switch(run: LocalRunner, child: Ref) -> None:
        _require_last(child)
        _end_bulk_loads(child)
        settle_brought(child)
        cut_over(run, child)
        failpoints.reached("rolling.workspace_switched")

    ledger = Ledger.open(ref.ledger)
    return each(ref, numbers, switch, lambda one: is_to_switch(ledger, one))


def is_to_switch(ledger: Ledger, one: Workspace) -> bool:
    """Whether a switch of it is to come, or was begun and not finished."""
    unfinished = one.state is State.SWITCHED and ledger.fact(one.child, CUTOVER_FACT) is None
    return one.state in _TO_SWITCH or unfinished


def _require_last(child: Ref) -> None:
    """Raise Stopped where the group of all other records would move before a workspace that is still to move."""
    work = open_work(child)
    if work.scope is None or not work.scope.is_default or work.migration.state is not State.READY:
        return
    before = [one for one in work.ledger.workspaces(work.owner) if one.key != DEFAULT_WORKSPACE]
    left = [one.key for one in before if one.state not in ENDED | {State.SWITCHED} and one.hold is not Hold.SKIPPED]
    if left:
        raise Stopped(
            f"the group of all other records moves last, and {len(left):,} workspaces are to move yet: {left[0]}",
            advice=f"vecferry workspaces {work.owner} shows them",
        )


def _end_bulk_loads(child: Ref) -> None:
    """Before a switch the target is as applications need it, though the load of another workspace broke off."""
    work = open_work(child)
    every = work.ledger.workspaces(work.owner, [State.COPYING])
    if work.migration.state is State.READY and every:
        with working(child):
            retry.call(work.config.retry_budget_s, work.target().finish_load)


def roll_back_wave(ref: Ref, numbers: Sequence[int], settlement: Settlement) -> list[Done]:
    """Take these workspaces back; the others stay where they are."""

    def roll_back(run: LocalRunner, child: Ref) -> None:
        settle_followed(child, goes_back=True)
        rollback(run, child, settlement)

    return each(ref, numbers, roll_back)


def lead_back_wave(ref: Ref, numbers: Sequence[int], settlement: Settlement) -> list[Done]:
    """Send the routes of these workspaces back alone."""
    return each(ref, numbers, lambda run, child: route_only(run, child, settlement))


def merge_wave(ref: Ref, numbers: Sequence[int], settlement: Settlement) -> list[Done]:
    """Carry over what the new store had received of workspaces whose routes alone went back."""

    def merge_one(run: LocalRunner, child: Ref) -> None:
        settle_followed(child, goes_back=True)
        merge(run, child, settlement)

    return each(ref, numbers, merge_one)


def sync_wave(ref: Ref, numbers: Sequence[int], release: Release) -> list[Done]:
    """One pass for each of these workspaces, where its state has something to carry."""
    return each(ref, numbers, lambda run, child: _synced(run, child, release))


def _synced(run: LocalRunner, child: Ref, release: Release) -> int:
    settle_followed(child)
    carried = bring_back(child)
    return carried + sync(run, child, release).carried


def look_at_wave(ref: Ref, numbers: Sequence[int], side: Side, completing: bool = False) -> list[Late]:
    """What of each of these workspaces one store holds that nobody knows. Raises as `look` does.

    `completing`: it also has to be ready for its end.
    """
    found, runner = list[Late](), LocalRunner(_nobody, _unseen)
    for one in _chosen(ref, numbers):
        settle_followed(Ref(ref.ledger, one.child))
        with working(Ref(ref.ledger, one.child)) as held:
            if completing:
                steps.require_completable(held)
            found.append(look(runner, held, side))
    return found


def end_ways_back(ref: Ref, numbers: Sequence[int], late: Late | None, accepted: str) -> None:
    """The last step of each of these workspaces."""
    for one in _chosen(ref, numbers):
        with working(Ref(ref.ledger, one.child)) as held:
            steps.end_way_back(held, late, accepted)
            failpoints.reached("rolling.workspace_completed")


def _chosen(ref: Ref, numbers: Sequence[int]) -> list[Workspace]:
    wanted = set(numbers)
    return [one for one in Ledger.open(ref.ledger).workspaces(ref.migration) if one.number in wanted]


def each(
    ref: Ref,
    numbers: Sequence[int],
    work: Callable[[LocalRunner, Ref], int | None],
    wanted: Callable[[Workspace], bool] = lambda one: True,
    *,
    counted: bool = False,
) -> list[Done]:
    """Do `work` on each of these workspaces that is `wanted` and not held, and note how it ended, also in the archive.

    Raises what is no fault of one workspace: then the others were not begun.
    """
    ledger, done = Ledger.open(ref.ledger), list[Done]()
    runner = LocalRunner(_nobody, _unseen)
    try:
        for one in _chosen(ref, numbers):
            one = ledger.workspace(ref.migration, one.key)  # held meanwhile, perhaps
            if one.hold is not None or not wanted(one):
                continue
            if counted:
                ledger.begin_attempt(ref.migration, one.number)
            done.append(_done(ledger, ref, one, lambda child: work(runner, child)))
    finally:
        note_workspaces(ref)
    return done


def _done(ledger: Ledger, ref: Ref, one: Workspace, work: Callable[[Ref], int | None]) -> Done:
    try:
        rows = work(Ref(ref.ledger, one.child))
    except VecferryError as error:
        ledger.note_workspace(ref.migration, one.number, str(error))
        if isinstance(error, _OF_THE_RUN):
            raise
        return Done(one.key, one.child, str(error), error.advice, error.exit_code)
    note = moved_words(ledger.fact(one.child, MOVED_FACT))
    if one.note != note:
        ledger.note_workspace(ref.migration, one.number, note)
    return Done(one.key, one.child, rows=rows or 0)


def _nobody(form: ApprovalForm, timeout_s: float) -> bool:
    raise Stopped(
        f"the switch of {form.migration} is not approved (any more)",
        advice=f"vecferry resume {form.migration.rpartition('.')[0]} asks again",
    )


def _unseen(sheet: Sheet) -> None:
    """Hundreds of tables are read by nobody; each report lies beside its archive."""


def raise_worst(ref: Ref, done: Iterable[Done]) -> None:
    """Raise an error of the most serious kind among those of the workspaces; nothing where all went well."""
    failed = [one for one in done if one.error]
    if failed:
        _raise(ref, failed)


def _raise(ref: Ref, failed: list[Done]) -> NoReturn:
    code = next(code for code in _BY_CODE if any(one.exit_code == code for one in failed))
    first = next(one for one in failed if one.exit_code == code)
    more = f"; {len(failed) - 1:,} other workspaces did not come to their end" if len(failed) > 1 else ""
    raise _BY_CODE[code](
        f"workspace {first.key}: {first.error}{more}",
        advice="; ".join(filter(None, (first.advice, f"vecferry workspaces {ref.migration} shows all of them"))),
    )
