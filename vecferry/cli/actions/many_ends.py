"""One verb for a whole group: its way back, or its end before the switch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from vecferry.cli.actions.runs import attempt, runner
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.errors import BadOption, VecferryError
from vecferry.ledger import Group, Holder, Ledger, Migration
from vecferry.operations import ending, routes, together
from vecferry.strategies.returning import Settlement
from vecferry.strategies.runner import Ref

__all__ = ["abort", "rollback"]


def rollback(screen: Screen, ledger_place: str | None, group: str, choices: dict[str, Any], *, alone: bool) -> Result:
    """Roll each switched member back; `alone`: an option was given that is for one migration."""
    if alone or choices.get("conflicts") is not None:
        raise BadOption(
            f"{group} is a group: it is rolled back with --prefer, --allow-deletes and --allow-changes alone",
            advice=f"vecferry status {group} names its migrations; give one of them",
        )
    said = routes.settlement(**choices, by=Holder.here().user)
    return _each(screen, ledger_place, group, "rollback", together.why_not_rolled_back, partial(_roll_back, said))


def _roll_back(said: Settlement, screen: Screen, ledger: Ledger, ref: Ref) -> VecferryError | None:
    return attempt(screen, ledger, ref, runner(screen), partial(routes.rollback, ref=ref, said=said))


def abort(screen: Screen, ledger_place: str | None, group: str) -> Result:
    """Abort each member that has not switched."""
    return _each(screen, ledger_place, group, "abort", together.why_not_aborted, _abort)


def _abort(screen: Screen, ledger: Ledger, ref: Ref) -> VecferryError | None:
    try:
        return ending.abort(ledger, ref.migration).error
    except VecferryError as error:
        return error


def _each(
    screen: Screen,
    ledger_place: str | None,
    text: str,
    verb: str,
    why_not: Callable[[Migration], str],
    act: Callable[[Screen, Ledger, Ref], VecferryError | None],
) -> Result:
    ledger = Ledger.open(ledger_place)
    group = ledger.group(text)
    ends = []
    try:
        for one in together.for_each(ledger, group, why_not, partial(act, screen, ledger)):
            screen.say(f"{one.migration.id}: {one.words}")
            ends.append(one)
    finally:
        screen.migration = group.id  # what goes on after an interruption is the group
    return Result(_document(group, ends), (together.ends_sheet(group, ends),), together.problem_of(group, verb, ends))


def _document(group: Group, ends: list[together.Ended]) -> dict[str, Any]:
    rows = [
        {
            "migration": one.migration.id,
            "source": one.migration.source_url,
            "state": one.migration.state.value,
            "skipped": one.skipped or None,
            "error": None if one.error is None else str(one.error),
            "exit_code": 0 if one.error is None else one.error.exit_code,
        }
        for one in ends
    ]
    return {"group": group.id, "collections": rows}
