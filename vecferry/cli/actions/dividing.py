"""The workspaces of a rolling migration from the command line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vecferry.cli.actions.runs import attempt, conduct, runner
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.errors import BadOption, VecferryError
from vecferry.ledger import Hold, Ledger, Workspace
from vecferry.operations import look, routes
from vecferry.operations import workspaces as operations
from vecferry.operations.routes import Figures
from vecferry.strategies.returning import Settlement
from vecferry.strategies.rollback_sheets import weighed_sheet
from vecferry.strategies.runner import LocalRunner, Ref
from vecferry.strategies.workspace_sheets import workspace_rows, workspaces_sheet

__all__ = ["Wishes", "roll_back", "workspaces"]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is to become of which workspaces, each as a person writes its key."""

    skip: Sequence[str] = ()
    take_up: Sequence[str] = ()
    first: Sequence[str] = ()
    retry: Sequence[str] = ()
    freeze: bool = False


def workspaces(screen: Screen, ledger_place: str | None, text: str, wishes: Wishes) -> Result:
    """Do what is wished, and show all of them."""
    ledger = Ledger.open(ledger_place)
    migration = ledger.migration(text)
    ref = Ref(ledger.url, migration.id)
    screen.migration = migration.id
    if not operations.is_rolling(migration):
        raise BadOption(
            f"migration {migration.id} moves its collection in one go; it has no workspaces",
            advice="vecferry migrate --strategy rolling moves one workspace by workspace",
        )
    done = list(_held(ledger, ref, wishes))
    if wishes.retry:
        return conduct(screen, ledger, ref, partial(operations.retry, ref=ref, names=wishes.retry))
    return _shown(ledger, ref, done)


def _held(ledger: Ledger, ref: Ref, wishes: Wishes) -> Iterator[str]:
    if wishes.freeze:
        yield _line("frozen", operations.freeze(ledger, ref.migration))
    if wishes.skip:
        yield _line("skipped", operations.hold(ledger, ref.migration, wishes.skip, Hold.SKIPPED))
    if wishes.take_up:
        yield _line("taken up", operations.hold(ledger, ref.migration, wishes.take_up, None))
    if wishes.first:
        yield _line("first", operations.go_first(ledger, ref.migration, wishes.first))


def _line(what: str, found: Sequence[Workspace]) -> str:
    return f"{what}: {', '.join(one.key for one in found) or 'none'}"


def _shown(ledger: Ledger, ref: Ref, done: Sequence[str]) -> Result:
    found, commands = ledger.workspaces(ref.migration), look.status(ledger, ref.migration).next_commands
    document = {
        "migration": ref.migration,
        "state": ledger.migration(ref.migration).state.value,
        "workspaces": workspace_rows(found),
        "done": list(done),
        "next_commands": list(commands),
    }
    said = "\n".join([*done, *(f"next: {command}" for command in commands)])
    return Result(document, (workspaces_sheet(ref.migration, found), said))


def roll_back(
    screen: Screen, ledger: Ledger, ref: Ref, names: Sequence[str], said: Settlement, *, verb: str, dry_run: bool
) -> Result:
    """Take some workspaces back, or all of them; `verb` is one of `rollback`, `route only` and `merge`."""
    if dry_run:
        return _dry_run(screen, ledger, ref, names, said)
    verbs = {"rollback": operations.roll_back, "route only": operations.lead_back, "merge": operations.merge}
    return conduct(screen, ledger, ref, partial(verbs[verb], ref=ref, names=names, said=said))


def _dry_run(screen: Screen, ledger: Ledger, ref: Ref, names: Sequence[str], said: Settlement) -> Result:
    found: list[tuple[Workspace, Figures]] = []
    chosen = operations.returnable(ledger, ref.migration, names)

    def work(run: LocalRunner) -> None:
        for one in chosen:
            found.append((one, routes.foresee(run, Ref(ref.ledger, one.child), said)))

    quiet = LocalRunner(runner(screen).approve, lambda sheet: None)
    error: VecferryError | None = attempt(screen, ledger, ref, quiet, work)
    document: dict[str, Any] = {
        "migration": ref.migration,
        "workspaces": [
            {"workspace": one.key, "would_be": figures.found.counts.numbers(), "pause_s": figures.pause_s}
            for one, figures in found
        ],
        "next_commands": list(look.status(ledger, ref.migration).next_commands),
    }
    return Result(document, tuple(weighed_sheet(one.child, figures) for one, figures in found), error)
