"""Runs of a migration from the command line: progress, the question before the switch, and how it ended."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

from vecferry import plain
from vecferry.cli.advice import STOPPED
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.errors import Stopped, VecferryError
from vecferry.ledger import Ledger, State
from vecferry.model import Level, LevelState, Verdict, VerdictState
from vecferry.operations import ending, migrations
from vecferry.operations.report import report, write_report
from vecferry.strategies.cutover_sheets import cutover_words
from vecferry.strategies.runner import ApprovalForm, LocalRunner, Ref
from vecferry.strategies.sheets import Sheet, verdict_sheet

__all__ = ["attempt", "conduct", "first_run", "runner", "verdict_text"]


def first_run(screen: Screen, ledger: Ledger, ref: Ref) -> Result:
    """Run a migration that was just registered.

    One that fails before it has a plan is ended at once: nothing was moved, so there is nothing to go on with.
    """
    error = _run(screen, ledger, ref, partial(migrations.run, ref=ref))
    unplanned = ledger.migration(ref.migration).planned_at is None
    if error is not None and not isinstance(error, Stopped) and unplanned:
        ending.abort(ledger, ref.migration)
    return _ended(screen, ledger, ref, error)


def conduct(screen: Screen, ledger: Ledger, ref: Ref, work: Callable[[LocalRunner], object] | None = None) -> Result:
    """Go on with a migration, or do `work` with its runner. An error becomes part of the result."""
    return _ended(screen, ledger, ref, _run(screen, ledger, ref, work or partial(migrations.run, ref=ref)))


def _run(screen: Screen, ledger: Ledger, ref: Ref, work: Callable[[LocalRunner], object]) -> VecferryError | None:
    return attempt(screen, ledger, ref, runner(screen), work)


def attempt(
    screen: Screen, ledger: Ledger, ref: Ref, run_by: LocalRunner, work: Callable[[LocalRunner], object]
) -> VecferryError | None:
    """Do `work` on a migration with progress on the screen; how it failed, if it did."""
    migration = ledger.migration(ref.migration)
    screen.migration = migration.id
    screen.say(f"migration {migration.id}: {migration.source_url} -> {migration.target_url}")
    try:
        with screen.progress(), _interruptible(screen):
            work(run_by)
    except VecferryError as error:
        return error
    return None


@contextmanager
def _interruptible(screen: Screen) -> Iterator[None]:
    """Ctrl-C stops the run at its next batch, and says so; once more, and the process ends where it stands."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, _end_at_once)
        screen.say_at_once("stopping at the next batch; Ctrl-C again stops at once")
        raise KeyboardInterrupt

    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as in a shell's background
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _end_at_once(number: int, frame: FrameType | None) -> None:
    # Every step bears being killed anywhere, so there is nothing to put in order.
    os._exit(STOPPED)


def runner(screen: Screen) -> LocalRunner:
    """The runner of the command line: tables to stderr, questions to the terminal.

    The verdict belongs to the result; it is shown before only to whoever is asked.
    """
    verdicts: list[Sheet] = []

    def show(sheet: Sheet) -> None:
        if sheet.key == "verdict":
            verdicts.append(sheet)
        else:
            screen.show(sheet)

    def ask(form: ApprovalForm, timeout_s: float) -> bool:
        for sheet in verdicts if screen.can_ask else []:
            screen.show(sheet)
        with screen.held():
            return _ask(screen, form, timeout_s)

    return LocalRunner(ask, show)


def _ask(screen: Screen, form: ApprovalForm, timeout_s: float) -> bool:
    """The answer of a person at the terminal; there is no default. Raises Stopped where nobody answers."""
    advice = f"vecferry approve {form.migration}, then vecferry resume {form.migration}"
    for line in (form.title, *(f"  * {line}" for line in form.lines)):
        screen.say(line)
    if not screen.can_ask:
        raise Stopped(f"migration {form.migration} waits for an approval", advice=advice)
    while True:
        print("yes or no? ", end="", file=screen.err, flush=True)
        if not select.select([sys.stdin], [], [], timeout_s)[0]:
            raise Stopped(f"nobody answered within {timeout_s:,.0f} s", advice=advice)
        line = sys.stdin.readline()
        if not line:
            raise Stopped("the question was left unanswered", advice=advice)
        if line.strip().lower() in ("yes", "no"):
            return line.strip().lower() == "yes"


def _ended(screen: Screen, ledger: Ledger, ref: Ref, error: VecferryError | None) -> Result:
    """What is known of a migration as the result of a run; written beside the archive once there is a plan."""
    content = report(ledger, ref.migration) | {"report": None}
    if content["rows"] is not None:
        try:
            content["report"] = str(write_report(ledger, ref.migration))
        except OSError as problem:
            # What was moved stays moved, whether or not a page about it can be written.
            screen.say(f"the report was not written: {problem}")
    return Result(content, tuple(_pages(content)), error)


def _pages(content: dict[str, Any]) -> list[Sheet | str]:
    migration, verdict = content["migration"], _verdict(content)
    rows = [("source", migration["source_url"]), ("target", migration["target_url"])]
    if content["rows"] is not None:
        rows.append(("records", f"{content['rows']:,}"))
    if verdict is not None:
        rows.append(("verdict", verdict_text(verdict)))
    if content["route"] is not None:
        rows.append(("route", f"{content['route']['name']} -> {content['route']['url']}"))
    rows += cutover_words(content["cutover"] or {})
    if content["way_back"] is not None:
        rows.append(("taken along", _counts(content["way_back"])))
    rows += [("not moved", f"{item['name']}: {item['value']}") for item in content["not_moved"]]
    whole = migration["strategy"] in ("export", "backup") and migration["state"] == State.READY
    rows.append(("archive", migration["archive"] + (", whole: every record was read back" if whole else "")))
    if content["report"]:
        rows.append(("report", content["report"]))
    rows += [("next", command) for command in content["next_commands"]]
    summary = Sheet("summary", f"Migration {migration['id']}: {migration['state']}", ("what", "value"), tuple(rows))
    shown = verdict is not None and migration["state"] not in (State.ROLLED_BACK, State.ABORTED)
    return [verdict_sheet(migration["target_url"], verdict), summary] if verdict and shown else [summary]


def _verdict(content: dict[str, Any]) -> Verdict | None:
    return None if content["verdict"] is None else plain.from_plain(Verdict, content["verdict"])


def _counts(way_back: dict[str, Any]) -> str:
    words = ("new", "changed", "deleted", "kept", "aside")
    said = [f"{way_back[word]:,} {word}" for word in words if way_back.get(word)]
    return ", ".join(said) or "nothing: the new store was not written"


def verdict_text(verdict: Verdict) -> str:
    """A verdict in one line. What was not checked is named, so that nobody takes it for proven."""
    checked = next((result.checked for result in verdict.levels if result.level is Level.VECTORS), 0)
    differences = sum(result.differences for result in verdict.levels)
    unchecked = [result.level.value for result in verdict.levels if result.state is LevelState.NOT_CHECKED]
    found = "every record compared" if verdict.state is VerdictState.SAME else f"{differences:,} differences"
    not_checked = f"; not checked: {', '.join(unchecked)}" if unchecked else ""
    return f"{verdict.state}: {checked:,} records, {found}{not_checked}"
