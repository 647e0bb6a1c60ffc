"""What applications ask: which collection serves a name, and whether writes wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vecferry import plain
from vecferry.cli.result import Result
from vecferry.errors import UnsafeRoute
from vecferry.ledger import Ledger, Serving, key_of
from vecferry.operations import serving

if TYPE_CHECKING:
    from vecferry.routing.observing import Observation

__all__ = ["route"]


def route(ledger_place: str | None, name: str, workspace: str | None, *, observe: bool) -> Result:
    """Which collection serves a name."""
    ledger = Ledger.open(ledger_place)
    known = [one.workspace for one in ledger.workspace_routes(name) if one.workspace is not None]
    key = None if workspace is None else key_of(workspace, known)
    found, now = serving.route(ledger, name, key), serving.ask(ledger, name, key)
    document = {
        "name": found.name,
        "workspace": key,
        "url": now.url,
        "reads": now.reads_url,
        "writes": now.writes,
        "epoch": now.epoch,
        "ttl_s": now.ttl_s,
        "at": now.at.isoformat(),
        "previous_url": found.previous_url,
        "migration": found.migration,
        "changed_at": found.changed_at.isoformat(),
        "alias": plain.to_plain(found.alias),
        "alias_confirmed": found.alias_confirmed_at is not None,
    }
    return _observed(ledger, now, found.migration, key, document) if observe else Result(document, (now.url,))


def _places(one: Serving | Observation) -> str:
    """What serves, and what is read from where that is another store."""
    reads = f", reads {one.reads_url}" if one.reads_url not in (None, one.url) else ""
    return f"{one.url or ''}{reads}"


def _observed(ledger: Ledger, now: Serving, migration: str, key: str | None, document: dict[str, Any]) -> Result:
    from vecferry.operations import pausing
    from vecferry.strategies.sheets import Sheet

    found = pausing.observe(ledger, migration)
    header = ("where", "serves", "epoch", "writes", "at")
    recorded = ("ledger", _places(now), str(now.epoch), now.writes, f"{now.at:%H:%M:%S} UTC")
    rows = [recorded]
    for one in found.seen:
        epoch = "" if one.epoch is None else str(one.epoch)
        rows.append((one.where, one.error or _places(one), epoch, one.writes or "", f"{one.at:%H:%M:%S} UTC"))
    note = "" if found.seen else "nothing else follows this route: no alias, no route file, no read-back hook"
    sheet = Sheet("observed", f"Route {now.name}", header, tuple(rows), note)
    error = None
    if found.differences:
        advice = f"look at vecferry status {migration} --detailed before anything else"
        error = UnsafeRoute(f"the route and what follows it differ: {'; '.join(found.differences)}", advice=advice)
    return Result(document | {key: value for key, value in found.to_json().items() if key != "at"}, (sheet,), error)
