"""Runs of many collections: each with its own migration, one table of how all of them ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from vecferry import plain
from vecferry.cli.actions.runs import attempt, runner
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.errors import NotFound, Stopped, VecferryError
from vecferry.ledger import Ledger
from vecferry.operations import many, migrations
from vecferry.operations.many import Count, Opened, Request
from vecferry.operations.member_sheet import members_sheet
from vecferry.operations.members import Member, Outcome
from vecferry.operations.report import write_report
from vecferry.strategies.runner import ApprovalForm, LocalRunner, Ref
from vecferry.strategies.sheets import Sheet

__all__ = ["group_of", "resume", "run", "status"]


def run(screen: Screen, ledger_place: str | None, request: Request) -> Result:
    """Plan the list, then move one collection after the other; what an earlier run has done is not done again."""
    ledger = Ledger.open(ledger_place)
    return _conduct(screen, ledger, many.open_group(ledger, request))


def group_of(ledger_place: str | None, text: str) -> str | None:
    """The group that a text names by its id or the start of it; a migration of that very name goes before."""
    ledger = Ledger.open(ledger_place)
    try:
        group = ledger.group(text)
    except NotFound:
        return None
    return None if any(one.id.startswith(text) for one in ledger.migrations()) else group.id


def resume(screen: Screen, ledger_place: str | None, group: str) -> Result:
    """Go on with all members of a group that are not done."""
    ledger = Ledger.open(ledger_place)
    return _conduct(screen, ledger, many.reopen(ledger, group))


def status(screen: Screen, ledger_place: str | None, group: str) -> Result:
    """A group as the ledger knows it; no store is asked."""
    ledger = Ledger.open(ledger_place)
    screen.migration = group
    opened = many.reopen(ledger, group)
    members = many.members_of(ledger, opened)
    return Result(_document(opened, members, many.tally(members)), (members_sheet(opened.group, members),))


def _conduct(screen: Screen, ledger: Ledger, opened: Opened) -> Result:
    group = opened.group
    screen.migration = group.id
    screen.say(f"group {group.id}: {len(opened.members)} collections, {group.source_url} -> {group.target_url}")
    for note in opened.notes:
        screen.say(f"note: {note}")
    try:
        _run(screen, ledger, opened)
    finally:
        screen.migration = group.id  # what goes on after an interruption is the group
    members = many.members_of(ledger, opened)
    counted = many.count(ledger, opened, members)
    pages: tuple[Sheet | str, ...] = (members_sheet(opened.group, members), _told(counted))
    return Result(_document(opened, members, counted), pages, many.shortfall(members, counted, group))


def _run(screen: Screen, ledger: Ledger, opened: Opened) -> None:
    """First all that needs nobody; then, where a person sits, one question after the other."""
    silent = LocalRunner(_later, lambda sheet: None)  # tables of inventory and plan are in the reports
    many.run(ledger, opened, partial(_attempt, screen, ledger, silent), told=partial(_tell, screen))
    if screen.can_ask:
        members = many.members_of(ledger, opened)
        waiting = tuple(one.migration.id for one in members if one.outcome is Outcome.WAITING)
        asking = partial(_attempt, screen, ledger, runner(screen))
        many.run(ledger, replace(opened, members=waiting), asking, told=partial(_tell, screen))


def _attempt(screen: Screen, ledger: Ledger, run_by: LocalRunner, ref: Ref) -> VecferryError | None:
    """One migration with its progress, and its report."""
    try:
        error = attempt(screen, ledger, ref, run_by, partial(migrations.run, ref=ref))
    except BrokenPipeError:
        raise  # whoever read the output has gone
    except Exception as bug:  # noqa: BLE001 - the command line's edge: a bug with one must not keep the others here
        advice = f"please report it, with the output of vecferry resume {ref.migration} --debug"
        return VecferryError(f"vecferry has a bug: {type(bug).__name__}: {bug}", advice=advice)
    if ledger.has_plan(ref.migration):
        try:
            write_report(ledger, ref.migration)
        except OSError as problem:
            screen.say(f"the report was not written: {problem}")
    return error


def _later(form: ApprovalForm, timeout_s: float) -> bool:
    advice = f"vecferry approve {form.migration}, then vecferry resume {form.migration}"
    raise Stopped(f"migration {form.migration} waits for an approval", advice=advice)


def _tell(screen: Screen, member: Member) -> None:
    """A line for each that was looked at."""
    rows = "" if member.rows is None else f", {member.rows:,} records"
    verdict = "" if member.verdict is None else f", verdict {member.verdict.state}"
    screen.say(f"{member.label}: {member.outcome}{rows}{verdict}")
    if member.outcome is Outcome.FAILED and member.error is not None:
        screen.say(f"  error: {member.error['message']}")
        if member.error["advice"]:
            screen.say(f"  what to do: {member.error['advice']}")


def _told(counted: Count) -> str:
    """The numbers, and whatever does not fit the list."""
    lines = [f"{counted.verified} of {counted.found} collections verified, {counted.failed} failed"]
    lines += [f"appeared meanwhile, not moved yet: {url}" for url in counted.appeared]
    lines += [f"vanished from the source since it was listed: {url}" for url in counted.vanished]
    lines += [f"verified, but not listed by the target now: {url}" for url in counted.missing]
    return "\n".join(lines)


def _document(opened: Opened, members: Sequence[Member], counted: Count) -> dict[str, Any]:
    group = opened.group
    return {
        "group": group.id,
        "source": group.source_url,
        "target": group.target_url,
        "collections": [_row(one) for one in members],
        "found": counted.found,
        "verified": counted.verified,
        "failed": counted.failed,
        "appeared": list(counted.appeared),
        "vanished": list(counted.vanished),
        "missing": list(counted.missing),
        "notes": list(opened.notes),
    }


def _row(member: Member) -> dict[str, Any]:
    migration = member.migration
    return {
        "name": member.source.name,
        "tenant": member.source.options.get("tenant"),
        "database": member.source.options.get("database"),
        "source": migration.source_url,
        "target": migration.target_url,
        "migration": migration.id,
        "state": migration.state.value,
        "outcome": member.outcome.value,
        "rows": member.rows,
        "verdict": plain.to_plain(member.verdict),
        "error": plain.to_plain(member.error),
    }
