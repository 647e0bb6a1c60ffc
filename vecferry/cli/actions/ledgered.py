"""What the ledger knows: all migrations, and one of them as it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vecferry import plain
from vecferry.cli.actions import many_runs
from vecferry.cli.actions.runs import verdict_text
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.errors import NotFound
from vecferry.ledger import LIVE, Ledger, Migration, SliceRow
from vecferry.model import Verdict
from vecferry.operations import look
from vecferry.operations.report import report
from vecferry.operations.standing import Standing, standing
from vecferry.operations.sync import Lag, foreseen, lag
from vecferry.operations.workspaces import is_rolling
from vecferry.strategies.sheets import Sheet
from vecferry.strategies.workspace_sheets import workspaces_sheet

__all__ = ["list_migrations", "status"]


def list_migrations(ledger_place: str | None, *, live: bool, parts: bool = False) -> Result:
    """All migrations, the newest first; with `parts` each rolling one's workspaces behind it."""
    ledger = Ledger.open(ledger_place)
    found = list(reversed(ledger.migrations(LIVE if live else None)))
    if parts:
        found = [each for one in found for each in (one, *ledger.children(one.id))]
    header: tuple[str, ...] = ("id", "state", "strategy", "source", "target")
    rows: list[tuple[str, ...]] = [
        (one.id, one.state.value, _strategy(one), one.source_url, one.target_url) for one in found
    ]
    if any(one.group_id for one in found):
        header = (*header[:3], "group", *header[3:])
        rows = [(*row[:3], one.group_id or "", *row[3:]) for row, one in zip(rows, found, strict=True)]
    sheet = Sheet("list", f"Migrations in {ledger.url}", header, tuple(rows))
    return Result({"migrations": [_row(one) for one in found]}, (sheet,))


def _strategy(migration: Migration) -> str:
    if migration.workspace is not None:
        return f"{migration.strategy}, workspace {migration.workspace}"
    return migration.strategy if migration.limit is None else f"{migration.strategy}, trial of {migration.limit:,}"


def _row(migration: Migration) -> dict[str, Any]:
    names = ("id", "name", "state", "strategy", "source_url", "target_url", "route", "limit", "group_id")
    moments = {"created_at": migration.created_at.isoformat(), "changed_at": migration.changed_at.isoformat()}
    return {name: plain.to_plain(getattr(migration, name)) for name in names} | moments


def status(screen: Screen, ledger_place: str | None, text: str | None, *, detailed: bool) -> Result:
    """One migration as it stands."""
    group = None if text is None else many_runs.group_of(ledger_place, text)
    if group is not None:
        return many_runs.status(screen, ledger_place, group)
    ledger = Ledger.open(ledger_place)
    found = look.status(ledger, text or _newest(ledger))
    screen.migration = found.migration.id
    behind = lag(ledger, found.migration.id)
    now = standing(ledger, found.migration)
    figures = foreseen(ledger, found.migration, now.at)
    more = {"progress": _progress(found), "sync": None if behind is None else plain.to_plain(behind)}
    more["rollback_figures"] = figures
    document = report(ledger, found.migration.id) | more | now.to_json()
    pages = [_status_sheet(found, document, behind, now)]
    if is_rolling(found.migration):
        pages.append(workspaces_sheet(found.migration.id, ledger.workspaces(found.migration.id)))
    if detailed:
        document["slice_list"] = [_slice(row) for row in found.slices]
        pages += [_slices_sheet(found), _audit_sheet(found)]
    else:
        del document["audit"]
    return Result(document, tuple(pages), now.verdict(found.migration))


def _newest(ledger: Ledger) -> str:
    found = ledger.migrations()
    if not found:
        raise NotFound(f"the ledger {ledger.url} holds no migration", advice="vecferry migrate starts one")
    return found[-1].id


def _progress(found: look.Status) -> dict[str, int]:
    """Slices that are through each phase."""
    return {
        "slices": len(found.slices),
        "exported": sum(row.copied is not None for row in found.slices),
        "loaded": sum(row.loaded_at is not None for row in found.slices),
        "validated": sum(row.verified is not None for row in found.slices),
    }


def _status_sheet(found: look.Status, document: dict[str, Any], behind: Lag | None, now: Standing) -> Sheet:
    migration, done = found.migration, document["progress"]
    phases = f"{done['exported']} exported, {done['loaded']} loaded, {done['validated']} validated"
    rows = [
        ("strategy", _strategy(migration)),
        ("source", migration.source_url),
        ("target", migration.target_url),
        ("archive", document["migration"]["archive"]),
        ("started", f"{migration.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("changed", f"{migration.changed_at:%Y-%m-%d %H:%M:%S} UTC"),
    ]
    if not is_rolling(migration):
        rows.append(("slices", f"{done['slices']}: {phases}" if done["slices"] else "not planned yet"))
    if found.verdict is not None:
        rows.append(("verdict", verdict_text(plain.from_plain(Verdict, dict(found.verdict)))))
    if behind is not None:
        rows.append(("lag", _lag_text(behind)))
    if found.route is not None:
        rows.append(("route", f"{found.route.name} -> {found.route.url} (epoch {found.route.epoch})"))
        rows += [("reads", f"{found.route.name} -> {found.route.reads_url}")] if found.route.reads_url else []
    if document["rollback_figures"] is not None:
        rows.append(("rollback", _figures_text(document["rollback_figures"])))
    rows += list(_standing_rows(now))
    rows += [("next", command) for command in found.next_commands]
    return Sheet("status", f"Migration {migration.id}: {migration.state}", ("what", "value"), tuple(rows))


def _standing_rows(now: Standing) -> Iterator[tuple[str, str]]:
    """What is observed, with its time; who is paused; what is open; who is at work."""
    for look_ in now.observed:
        of = f" of workspace {look_.recorded.workspace}" if look_.recorded.workspace else ""
        for one in look_.seen:
            reads = f", reads {one.reads_url}" if one.reads_url not in (None, one.url) else ""
            says = one.error or f"{one.url}{reads}, writes {one.writes or 'not said'}"
            yield f"{one.where}{of}", f"{says} (seen {one.at:%H:%M:%S} UTC)"
    yield from (("differs", line) for line in now.differences)
    for pause in now.pauses:
        ends = "until" if now.at is not None and pause.holds(now.at) else "never released, ended at"
        of = f" of workspace {pause.workspace}" if pause.workspace else ""
        yield f"writes{of}", f"paused since {pause.paused_at:%H:%M:%S} UTC, {ends} {pause.paused_until:%H:%M:%S} UTC"
    for delta in now.open_deltas:
        yield "open delta", f"{delta.number} ({delta.direction}): {delta.receipt.rows:,} records, not read back yet"
    for call in now.open_calls:
        yield "open call", f"{call.number}: {call.action}, begun {call.intended_at:%H:%M:%S} UTC, fate unknown"
    if now.at_work is not None:
        yield "at work", f"{now.at_work.holder}, lease until {now.at_work.expires_at:%H:%M:%S} UTC"


def _figures_text(figures: Mapping[str, Any]) -> str:
    """What a rollback would come to, and how old that is."""
    would_be = figures["would_be"]
    words = ("new", "changed", "deleted", "conflicts", "aside", "kept")
    said = ", ".join(f"{would_be[word]:,} {word}" for word in words if would_be[word]) or "nothing to carry"
    age = "" if figures["age_s"] is None else f", seen {figures['age_s']:,.0f} s ago"
    return f"{said}; a pause of about {figures['pause_s']:,.1f} s; reverse: {figures['reverse']}{age}"


def _lag_text(behind: Lag) -> str:
    """How old what the new store holds is at most."""
    open_deltas = f", {behind.open_deltas:,} of them not read back yet" if behind.open_deltas else ""
    last = f"the last pass found {behind.differences:,} differences"
    return f"{behind.lag_s:,.0f} s; {last}; {behind.deltas:,} deltas carried over{open_deltas}"


def _slice(row: SliceRow) -> dict[str, Any]:
    return {
        "number": row.slice.number,
        "rows": row.copied.rows if row.copied else row.slice.rows,
        "exported": row.copied is not None,
        "loaded": row.loaded_at is not None,
        "validated": row.verified is not None,
        "part": row.copied.path if row.copied else None,
        "size_bytes": row.copied.size_bytes if row.copied else None,
    }


def _slices_sheet(found: look.Status) -> Sheet:
    rows = tuple(_slice_cells(_slice(row)) for row in found.slices)
    return Sheet("slices", "Slices", ("slice", "records", "bytes", "exported", "loaded", "validated"), rows)


def _slice_cells(row: dict[str, Any]) -> tuple[str, ...]:
    counts = ["" if row[name] is None else f"{row[name]:,}" for name in ("rows", "size_bytes")]
    return (
        str(row["number"]),
        *counts,
        *("yes" if row[name] else "no" for name in ("exported", "loaded", "validated")),
    )


def _audit_sheet(found: look.Status) -> Sheet:
    rows = tuple((f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.actor, entry.event) for entry in found.audit)
    return Sheet("audit", "Audit trail (UTC)", ("when", "who", "what"), rows)
