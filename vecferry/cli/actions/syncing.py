"""One catch-up pass from the command line."""

from __future__ import annotations

from typing import Any

from vecferry import plain
from vecferry.cli.actions.runs import attempt, runner
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.errors import VecferryError
from vecferry.ledger import Ledger
from vecferry.operations import look
from vecferry.operations.sync import lag
from vecferry.operations.sync import sync as run_sync
from vecferry.strategies.rollback_sheets import figures_sheet
from vecferry.strategies.runner import LocalRunner, Ref
from vecferry.strategies.sync import Synced
from vecferry.strategies.sync_sheets import sync_sheet

__all__ = ["sync"]


def sync(
    screen: Screen, ledger_place: str | None, text: str, allow_deletes: int | None, allow_changes: int | None
) -> Result:
    """Catch up once; what was found and carried over. After the switch: back, and what a rollback would come to."""
    ledger = Ledger.open(ledger_place)
    ref = Ref(ledger.url, ledger.migration(text).id)
    done: list[Synced] = []

    def work(run: LocalRunner) -> None:
        done.append(run_sync(run, ref, allow_deletes=allow_deletes, allow_changes=allow_changes))

    # The table of what was done is the result, so it is not shown beside it.
    quiet = LocalRunner(runner(screen).approve, lambda sheet: None)
    error = attempt(screen, ledger, ref, quiet, work)
    return _result(ledger, ref, done[0] if done else None, error)


def _result(ledger: Ledger, ref: Ref, done: Synced | None, error: VecferryError | None) -> Result:
    status, behind = look.status(ledger, ref.migration), lag(ledger, ref.migration)
    document: dict[str, Any] = {
        "migration": ref.migration,
        "state": status.migration.state.value,
        "skipped": done.skipped if done else "",
        "finished_deltas": done.finished if done else 0,
        "found": done.found.counts() if done and done.found is not None else None,
        "carried": plain.to_plain(done.made) if done and done.made else None,
        "back": dict(done.back.figures) if done and done.back else None,
        "lag_s": behind.lag_s if behind else None,
        "next_commands": list(status.next_commands),
    }
    if done is None:
        return Result(document, (), error)
    if done.back is not None:
        return Result(document, (figures_sheet(ref.migration, done.back.figures),), done.back.problem)
    if done.workspaces is not None:
        document |= {"workspaces": done.workspaces, "carried_rows": done.rows}
        return Result(document, (f"{done.workspaces:,} workspaces had one pass each: {done.rows:,} records",), error)
    sheet = sync_sheet(ref.migration, done.skipped, done.finished, done.found, done.made)
    return Result(document, (sheet,), error)
