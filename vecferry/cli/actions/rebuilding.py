"""A lost ledger, made anew: shown first, written with a yes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vecferry.cli.result import Result
from vecferry.errors import BadOption, UnsafeRoute, VecferryError
from vecferry.ledger import Ledger, Migration
from vecferry.operations import look, rebuilding, rebuilding_workspaces
from vecferry.operations.kept import Kept
from vecferry.strategies.sheets import Sheet

__all__ = ["rebuild"]

_EMPTY: dict[str, Any] = {"state": None, "written": False, "observed": [], "differences": [], "next_commands": []}


def rebuild(
    ledger_place: str | None, archive: Path, collection: str | None, rolled_back: Sequence[str], *, yes: bool
) -> Result:
    """Show what the ledger would say; with `yes` write it. `rolled_back`: keys of workspaces."""
    if rebuilding_workspaces.is_of_workspaces(archive, collection):
        return _rebuild_workspaces(ledger_place, archive, collection, rolled_back, yes=yes)
    if rolled_back:
        raise BadOption("only a rolling migration has workspaces", advice="leave --rolled-back out")
    found = rebuilding.propose(archive, collection)
    sheet, document = _sheet(found), _document(found)
    if not yes:
        return _shown(sheet, document, f"{found.statement.target_url} serves {found.statement.route!r}")
    ledger = Ledger.open(ledger_place)
    done = rebuilding.rebuild(ledger, found)
    told = {key: value for key, value in done.observed.to_json().items() if key != "at"}
    return _written(ledger, done.migration, sheet, document | told)


def _rebuild_workspaces(
    ledger_place: str | None, archive: Path, collection: str | None, rolled_back: Sequence[str], *, yes: bool
) -> Result:
    found = rebuilding_workspaces.propose(archive, collection, rolled_back)
    sheet, document = _whole_sheet(found), _whole_document(found)
    if not yes:
        moved, listed = sum(one.is_new for one in found.found), found.listed
        says = f"{listed.target_url} serves {moved:,} of {len(found.found):,} workspaces of {listed.route!r}"
        return _shown(sheet, document, says)
    ledger = Ledger.open(ledger_place)
    done = rebuilding_workspaces.rebuild(ledger, found)
    seen = [{**item, "workspace": key} for key, one in done.observed for item in one.to_json()["observed"]]
    return _written(ledger, done.migration, sheet, document | {"observed": seen, "differences": done.differences})


def _shown(sheet: Sheet, document: Mapping[str, Any], says: str) -> Result:
    error = BadOption(
        f"the ledger would say that {says}",
        advice="is that what applications use now? then the same command with --yes; nothing was written",
    )
    return Result(dict(document), (sheet,), error)


def _written(ledger: Ledger, migration: Migration, sheet: Sheet, document: dict[str, Any]) -> Result:
    commands = look.status(ledger, migration.id).next_commands
    document |= {"state": migration.state.value, "written": True, "next_commands": list(commands)}
    said = "\n".join([f"Written to {ledger.url}", *(f"next: {command}" for command in commands)])
    error: VecferryError | None = None
    if document["differences"]:
        error = UnsafeRoute(
            f"the route and what follows it differ: {'; '.join(document['differences'])}",
            advice=f"the ledger was written; find out which of them is right: vecferry status {migration.id}",
        )
    return Result(document, (sheet, said), error)


def _document(found: rebuilding.Proposal) -> dict[str, Any]:
    statement = found.statement
    return _EMPTY | {
        "migration": statement.migration,
        "route": statement.route,
        "epoch": statement.route_epoch,
        "source_url": statement.source_url,
        "target_url": statement.target_url,
        "said_at": statement.said_at.isoformat(),
        "deltas": found.kept.deltas,
        "open_deltas": list(found.kept.open_deltas),
        "workspaces": [],
    }


def _sheet(found: rebuilding.Proposal) -> Sheet:
    statement = found.statement
    rows = [
        ("migration", f"{statement.migration} ({statement.strategy})"),
        ("old store", statement.source_url),
        ("new store", statement.target_url),
        ("route", f"{statement.route} -> {statement.target_url} (epoch {statement.route_epoch})"),
        ("switch", f"written down at {_moment(found.kept)}"),
        ("slices", f"{len(statement.slices):,}"),
        ("deltas", f"{found.kept.deltas:,}"),
        *(("never read back", path) for path in found.kept.open_deltas),
    ]
    return Sheet("rebuild", f"What {found.folder} knows", ("what", "value"), tuple(rows))


def _moment(kept: Kept) -> str:
    return f"{kept.statement.said_at:%Y-%m-%d %H:%M:%S} UTC"


def _whole_document(found: rebuilding_workspaces.Proposal) -> dict[str, Any]:
    listed = found.listed
    kept = [one.kept for one in found.found if one.kept is not None]
    said_at = max((one.statement.said_at for one in kept), default=None)
    return _EMPTY | {
        "migration": listed.migration,
        "route": listed.route,
        "epoch": found.epoch,
        "source_url": listed.source_url,
        "target_url": listed.target_url,
        "said_at": None if said_at is None else said_at.isoformat(),
        "deltas": sum(one.deltas for one in kept),
        "open_deltas": [path for _, path in _open_deltas(found)],
        "workspaces": [_workspace(one) for one in found.found],
    }


def _workspace(one: rebuilding_workspaces.Found) -> dict[str, Any]:
    return {
        "workspace": one.listed.key,
        "records": one.listed.rows,
        "state": one.state.value,
        "hold": None if one.listed.hold is None else one.listed.hold.value,
        "epoch": one.epoch,
        "said_at": None if one.kept is None else one.kept.statement.said_at.isoformat(),
    }


def _whole_sheet(found: rebuilding_workspaces.Proposal) -> Sheet:
    listed = found.listed
    rows = [
        ("migration", f"{listed.migration} ({listed.strategy})"),
        ("old store", listed.source_url),
        ("new store", listed.target_url),
        ("route", f"{listed.route} -> {found.serves} (epoch {found.epoch})"),
        *((f"workspace {one.listed.key}", _words(one)) for one in found.found),
        *((f"never read back, {key}", path) for key, path in _open_deltas(found)),
    ]
    return Sheet("rebuild", f"What {found.folder} knows", ("what", "value"), tuple(rows))


def _words(one: rebuilding_workspaces.Found) -> str:
    held = f", {one.listed.hold}" if one.listed.hold is not None else ""
    if one.kept is None:
        return f"{one.state}{held}: no switch was near; it is copied anew"
    return f"{one.state}{held}: switch written down at {_moment(one.kept)}; epoch {one.epoch}"


def _open_deltas(found: rebuilding_workspaces.Proposal) -> Iterator[tuple[str, str]]:
    for one in found.found:
        for path in () if one.kept is None else one.kept.open_deltas:
            yield one.listed.key, f"workspaces/{one.listed.number:04d}/{path}"
