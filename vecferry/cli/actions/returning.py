"""The way back from the command line: what it would come to, and the rollback itself."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from vecferry.cli.actions import dividing, many_ends, many_runs
from vecferry.cli.actions.runs import attempt, conduct, runner
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.errors import BadOption, VecferryError
from vecferry.ledger import Holder, Ledger
from vecferry.operations import look, routes
from vecferry.operations.routes import Figures
from vecferry.operations.workspaces import is_rolling
from vecferry.strategies.returning import Settlement
from vecferry.strategies.rollback_sheets import weighed_sheet
from vecferry.strategies.runner import LocalRunner, Ref

__all__ = ["rollback"]


def rollback(
    screen: Screen,
    ledger_place: str | None,
    text: str,
    choices: dict[str, Any],
    *,
    dry_run: bool,
    route_only: bool = False,
    merge: bool = False,
    workspaces: Sequence[str] = (),
) -> Result:
    """Switch the route back, or say what that would come to; or (`merge`) what a switch of the route alone left.

    `workspaces`: of a rolling migration these alone. A group is rolled back member by member.
    """
    group = many_runs.group_of(ledger_place, text)
    if group is not None:
        alone = dry_run or route_only or merge or bool(workspaces)
        return many_ends.rollback(screen, ledger_place, group, choices, alone=alone)
    said = routes.settlement(**choices, by=Holder.here().user)
    ledger = Ledger.open(ledger_place)
    ref = Ref(ledger.url, ledger.migration(text).id)
    screen.migration = ref.migration
    if is_rolling(ledger.migration(ref.migration)):
        named = "merge" if merge else "route only" if route_only else "rollback"
        return dividing.roll_back(screen, ledger, ref, workspaces, said, verb=named, dry_run=dry_run)
    if workspaces:
        raise BadOption(f"migration {ref.migration} has no workspaces", advice="leave --workspace out")
    if dry_run:
        return _dry_run(screen, ledger, ref, said)
    verb = routes.merge if merge else routes.route_only if route_only else routes.rollback
    return conduct(screen, ledger, ref, partial(verb, ref=ref, said=said))


def _dry_run(screen: Screen, ledger: Ledger, ref: Ref, said: Settlement) -> Result:
    found: list[Figures] = []

    def work(run: LocalRunner) -> None:
        found.append(routes.foresee(run, ref, said))

    # The table is the result, so it is not shown beside it.
    quiet = LocalRunner(runner(screen).approve, lambda sheet: None)
    error = attempt(screen, ledger, ref, quiet, work)
    return _foreseen(ledger, ref, found[0] if found else None, error)


def _foreseen(ledger: Ledger, ref: Ref, figures: Figures | None, error: VecferryError | None) -> Result:
    status = look.status(ledger, ref.migration)
    document: dict[str, Any] = {
        "migration": ref.migration,
        "state": status.migration.state.value,
        "would_be": None if figures is None else figures.found.counts.numbers(),
        "examples": {} if figures is None else {key: list(ids) for key, ids in figures.found.counts.examples.items()},
        "still_changing": 0 if figures is None else figures.found.waiting + figures.found.incomplete,
        "pause_s": None if figures is None else figures.pause_s,
        "leads_to": None if figures is None else figures.leads_to,
        "copies_files": False if figures is None else figures.copies,
        "listed": {} if figures is None else figures.found.listed,
        "next_commands": list(status.next_commands),
    }
    return Result(document, () if figures is None else (weighed_sheet(ref.migration, figures),), error)
