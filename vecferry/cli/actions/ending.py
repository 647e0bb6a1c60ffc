"""Complete, decommission, discard, abort."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from vecferry import plain
from vecferry.cli.actions import many_ends, many_runs
from vecferry.cli.actions.runs import attempt, runner
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.errors import VecferryError
from vecferry.ledger import Ledger
from vecferry.operations import ending, look
from vecferry.strategies.runner import LocalRunner, Ref

__all__ = ["abort", "complete", "decommission", "discard"]


def complete(screen: Screen, ledger_place: str | None, text: str, accepted: str) -> Result:
    """End the way back."""
    ledger, ref = _named(screen, ledger_place, text)
    ended, error = _done(screen, ledger, ref, partial(ending.complete, ref=ref, accepted=accepted))
    status = look.status(ledger, ref.migration)
    document = {
        "migration": ref.migration,
        "state": status.migration.state.value,
        "already": ended.already,
        "late": _late(ended),
        "next_commands": list(status.next_commands),
    }
    if error is not None:
        return Result(document, (), error)
    since = f"{status.migration.changed_at:%Y-%m-%d %H:%M:%S} UTC"
    said = f"is COMPLETED since {since}; nothing was done" if ended.already else "is COMPLETED; there is no way back"
    lines = [f"Migration {ref.migration} {said}", f"{status.migration.target_url} serves; nothing was dropped"]
    return Result(document, ("\n".join([*lines, *(f"next: {command}" for command in status.next_commands)]),))


def decommission(screen: Screen, ledger_place: str | None, text: str, collection: str, accepted: str) -> Result:
    """Drop the old collection."""
    ledger, ref = _named(screen, ledger_place, text)
    work = partial(ending.decommission, ref=ref, collection=collection, accepted=accepted)
    ended, error = _done(screen, ledger, ref, work)
    source = ledger.migration(ref.migration).source_url
    document = {
        "migration": ref.migration,
        "collection": source,
        "dropped": ended.dropped or None,
        "already": ended.already,
        "late": _late(ended),
    }
    said = f"{source} is dropped already; nothing was done" if ended.already else f"Dropped {source}"
    if ended.dropped and ended.late is None:
        said = f"{source} is not there any more; that is written down"
    return Result(document, () if error is not None else (said,), error)


def discard(screen: Screen, ledger_place: str | None, text: str, accepted: str) -> Result:
    """Drop what it left behind."""
    ledger, ref = _named(screen, ledger_place, text)
    ended, error = _done(screen, ledger, ref, partial(ending.discard, ref=ref, accepted=accepted))
    document = {"migration": ref.migration, "discarded": ended.dropped or None, "late": _late(ended)}
    return Result(document, () if error is not None else (f"Dropped {ended.dropped}",), error)


def abort(screen: Screen, ledger_place: str | None, text: str) -> Result:
    """End it before its switch; of a group, each member that has not switched."""
    group = many_runs.group_of(ledger_place, text)
    if group is not None:
        return many_ends.abort(screen, ledger_place, group)
    ledger, ref = _named(screen, ledger_place, text)
    done = ending.abort(ledger, ref.migration)
    commands = look.status(ledger, ref.migration).next_commands
    document = {
        "migration": ref.migration,
        "state": done.state.value,
        "fenced": list(done.fenced),
        "next_commands": list(commands),
    }
    lines = [f"Migration {ref.migration}: {done.state}; nothing was dropped"]
    lines += [f"cut off: {holder}" for holder in done.fenced]
    return Result(document, ("\n".join([*lines, *(f"next: {command}" for command in commands)]),), done.error)


def _done(
    screen: Screen, ledger: Ledger, ref: Ref, work: Callable[[LocalRunner], ending.Ended]
) -> tuple[ending.Ended, VecferryError | None]:
    """How it ended, and how it failed, if it did."""
    found: list[ending.Ended] = []
    error = attempt(screen, ledger, ref, runner(screen), lambda run: found.append(work(run)))
    return (found[0] if found else ending.Ended()), error


def _late(ended: ending.Ended) -> Any:
    return None if ended.late is None else plain.to_plain(ended.late)


def _named(screen: Screen, ledger_place: str | None, text: str) -> tuple[Ledger, Ref]:
    ledger = Ledger.open(ledger_place)
    screen.migration = ledger.migration(text).id
    return ledger, Ref(ledger.url, screen.migration)
