"""A lost ledger, made anew: shown first, written with a yes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vecferry.cli.result import Result
from vecferry.errors import BadOption, UnsafeRoute
from vecferry.ledger import Ledger
from vecferry.operations import look, rebuilding
from vecferry.strategies.sheets import Sheet

__all__ = ["rebuild"]


def rebuild(ledger_place: str | None, archive: Path, collection: str | None, *, yes: bool) -> Result:
    """Show what the ledger would say; with `yes` write it."""
    found = rebuilding.propose(archive, collection)
    sheet, document = _sheet(found), _document(found)
    if not yes:
        error = BadOption(
            f"the ledger would say that {found.statement.target_url} serves {found.statement.route!r}",
            advice="is that what applications use now? then the same command with --yes; nothing was written",
        )
        return Result(document, (sheet,), error)
    ledger = Ledger.open(ledger_place)
    done = rebuilding.rebuild(ledger, found)
    commands = look.status(ledger, done.migration.id).next_commands
    told = {key: value for key, value in done.observed.to_json().items() if key != "at"}
    document |= {"state": done.migration.state.value, "written": True, **told, "next_commands": list(commands)}
    said = "\n".join([f"Written to {ledger.url}", *(f"next: {command}" for command in commands)])
    if not done.observed.differences:
        return Result(document, (sheet, said))
    error_ = UnsafeRoute(
        f"the route and what follows it differ: {'; '.join(done.observed.differences)}",
        advice=f"the ledger was written; find out which of them is right: vecferry status {done.migration.id}",
    )
    return Result(document, (sheet, said), error_)


def _document(found: rebuilding.Proposal) -> dict[str, Any]:
    statement = found.statement
    return {
        "migration": statement.migration,
        "state": None,
        "route": statement.route,
        "epoch": statement.route_epoch,
        "source_url": statement.source_url,
        "target_url": statement.target_url,
        "said_at": statement.said_at.isoformat(),
        "deltas": found.deltas,
        "open_deltas": list(found.open_deltas),
        "written": False,
        "observed": [],
        "differences": [],
        "next_commands": [],
    }


def _sheet(found: rebuilding.Proposal) -> Sheet:
    statement = found.statement
    rows = [
        ("migration", f"{statement.migration} ({statement.strategy})"),
        ("old store", statement.source_url),
        ("new store", statement.target_url),
        ("route", f"{statement.route} -> {statement.target_url} (epoch {statement.route_epoch})"),
        ("switch", f"written down at {statement.said_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("slices", f"{len(statement.slices):,}"),
        ("deltas", f"{found.deltas:,}"),
        *(("never read back", path) for path in found.open_deltas),
    ]
    return Sheet("rebuild", f"What {found.folder} knows", ("what", "value"), tuple(rows))
