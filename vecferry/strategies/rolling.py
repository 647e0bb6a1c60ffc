"""Rolling: one collection moves workspace by workspace. Each is filled, proven, approved and switched on its own.

Every workspace is an ordinary blue-green migration over a view of both stores. This is their order and their approval.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from vecferry.errors import Stopped, VecferryError
from vecferry.ledger import DEFAULT_WORKSPACE, Ledger, State, Workspace
from vecferry.strategies import steps, waves
from vecferry.strategies.asking import ask
from vecferry.strategies.lease import working
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.show import show_inventory, show_plan
from vecferry.strategies.waves import TO_FILL, Done, is_to_switch, raise_worst
from vecferry.strategies.work import open_work
from vecferry.strategies.workspace_sheets import workspaces_sheet

__all__ = ["rolling"]


def rolling(run: Runner, ref: Ref, only: Collection[int] | None = None) -> None:
    """Inventory, plan, groups, backup; then wave by wave fill, ask, switch. Ends SWITCHED when all of them are.

    What fails is noted with its workspace, and is no reason to stop the others. Raises the most serious of it.
    `only`: the numbers of the workspaces to do now.
    """
    prepare(run, ref)
    ledger, settings = Ledger.open(ref.ledger), open_work(ref).rolling
    chosen = [one.number for one in ledger.workspaces(ref.migration) if only is None or one.number in only]
    done: list[Done] = []
    try:
        if settings.approve_by == "once":
            for wave in _waves(ledger, ref, chosen, settings.wave):
                done += _filled(run, ledger, ref, wave)
            done += _asked(run, ledger, ref, chosen)
        for wave in _waves(ledger, ref, chosen, settings.wave):
            if settings.approve_by != "once":
                done += _filled(run, ledger, ref, wave)
                done += _asked(run, ledger, ref, wave)
            done += _switched(run, ledger, ref, wave)
    finally:
        run.show(workspaces_sheet(ref.migration, ledger.workspaces(ref.migration)))
    raise_worst(ref, done)


def prepare(run: Runner, ref: Ref) -> None:
    """What is done once for the whole collection."""
    with working(ref) as held:
        run.run(steps.require_rolling, held)
        run.run(steps.inventory, held)
        show_inventory(run, held)
        run.run(steps.decide, held)
        show_plan(run, held)
        run.run(steps.find_workspaces, held)
        run.run(steps.back_up, held)
    run.show(workspaces_sheet(ref.migration, Ledger.open(ref.ledger).workspaces(ref.migration)))


def _waves(ledger: Ledger, ref: Ref, chosen: Collection[int], size: int) -> Iterator[list[int]]:
    """Numbers of the workspaces that are to do, some at a time; the group of all others alone, and last."""
    to_do = [one for one in ledger.workspaces(ref.migration) if one.number in chosen and _is_to_do(ledger, one)]
    named = [one.number for one in to_do if one.key != DEFAULT_WORKSPACE]
    yield from (named[start : start + size] for start in range(0, len(named), size))
    yield from ([one.number] for one in to_do if one.key == DEFAULT_WORKSPACE)


def _is_to_do(ledger: Ledger, one: Workspace) -> bool:
    return one.hold is None and (one.state in TO_FILL or is_to_switch(ledger, one))


def _some(ledger: Ledger, ref: Ref, numbers: Sequence[int]) -> list[Workspace]:
    wanted = set(numbers)
    return [one for one in ledger.workspaces(ref.migration) if one.number in wanted and one.hold is None]


def _filled(run: Runner, ledger: Ledger, ref: Ref, numbers: Sequence[int]) -> list[Done]:
    left = [one.number for one in _some(ledger, ref, numbers) if one.state in TO_FILL]
    return run.run(waves.fill_wave, ref, left) if left else []


def _switched(run: Runner, ledger: Ledger, ref: Ref, numbers: Sequence[int]) -> list[Done]:
    left = [
        one.number for one in _some(ledger, ref, numbers) if is_to_switch(ledger, one) and _may_go(ledger, ref, one)
    ]
    return run.run(waves.switch_wave, ref, left) if left else []


def _may_go(ledger: Ledger, ref: Ref, one: Workspace) -> bool:
    """Whether its question was answered with yes, or its switch was begun before."""
    if one.state is not State.READY or open_work(ref).config.approve == "auto":
        return True
    child = Ref(ref.ledger, one.child)
    return steps.approved(child, steps.approval_form(child))


def _asked(run: Runner, ledger: Ledger, ref: Ref, numbers: Sequence[int]) -> list[Done]:
    """Ask for those of these that are READY: one by one, or in one question. Raises Stopped without an answer."""
    work = open_work(ref)
    ready = [one for one in _some(ledger, ref, numbers) if one.state is State.READY]
    if work.config.approve == "auto" or not ready:
        return []
    if work.rolling.approve_by == "each":
        return [done for one in ready for done in _asked_alone(run, Ref(ref.ledger, one.child), one)]
    steps.settle_wave(ref)
    form = steps.wave_form(ref, [one.number for one in ready])
    if form is None:
        return []
    if not run.approve(form, work.config.approve_timeout_s):
        steps.answer_wave(ref, form, yes=False)
        raise Stopped(
            f"the switch of {len(ready):,} workspaces was declined; they stay READY",
            advice=f"vecferry resume {ref.migration} asks again; vecferry workspaces {ref.migration} --skip KEY leaves "
            "one out",
        )
    steps.answer_wave(ref, form, yes=True)
    return []


def _asked_alone(run: Runner, child: Ref, one: Workspace) -> list[Done]:
    """A no, or no answer, leaves this workspace where it is; the next one is asked for all the same."""
    try:
        ask(run, child)
    except VecferryError as error:
        return [Done(one.key, one.child, str(error), error.advice, error.exit_code)]
    return []
