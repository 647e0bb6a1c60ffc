"""A report of each run, kept beside the archive: JSON for programs, Markdown for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vecferry import plain
from vecferry.ledger import Ledger, Migration
from vecferry.model import Verdict
from vecferry.operations.look import status
from vecferry.operations.workspaces import is_rolling
from vecferry.strategies.runner import Ref
from vecferry.strategies.sheets import Sheet, decisions_sheet, not_moved_sheet, verdict_sheet
from vecferry.strategies.steps.cutover import CUTOVER_FACT
from vecferry.strategies.steps.rollback import RETURN_FACT
from vecferry.strategies.work import open_work
from vecferry.strategies.workspace_sheets import workspace_rows, workspaces_sheet

__all__ = ["report", "sheet_markdown", "write_report"]


def report(ledger: Ledger, migration_id: str) -> dict[str, Any]:
    """All that is known of a migration, as JSON values."""
    found = status(ledger, migration_id)
    work = open_work(Ref(ledger.url, found.migration.id))
    planned = found.migration.planned_at is not None
    mapping = work.plan.mapping if planned else None
    return {
        "migration": _public(found.migration, work.archive_folder),
        "rows": work.plan.rows if planned else None,
        "slices": len(found.slices),
        "decisions": plain.to_plain(mapping.decisions) if mapping else [],
        "not_moved": plain.to_plain(mapping.not_moved) if mapping else [],
        "backup": ledger.fact(found.migration.id, "backup"),
        "verdict": found.verdict,
        "cutover": ledger.fact(found.migration.id, CUTOVER_FACT),
        "way_back": ledger.fact(found.migration.id, RETURN_FACT),
        "route": None
        if found.route is None
        else {"name": found.route.name, "url": found.route.url, "epoch": found.route.epoch},
        "next_commands": list(found.next_commands),
        **_workspaces(ledger, found.migration),
        "audit": [{"at": entry.at.isoformat(), "event": entry.event, "detail": entry.detail} for entry in found.audit],
    }


def _workspaces(ledger: Ledger, migration: Migration) -> dict[str, Any]:
    return {"workspaces": workspace_rows(ledger.workspaces(migration.id))} if is_rolling(migration) else {}


def _public(migration: Migration, archive: Path) -> dict[str, Any]:
    names = ("id", "name", "strategy", "source_url", "target_url", "route", "limit")
    values = {name: getattr(migration, name) for name in names}
    return values | {
        "archive": str(archive),
        "state": migration.state.value,
        "created_at": migration.created_at.isoformat(),
    }


def write_report(ledger: Ledger, migration_id: str) -> Path:
    """Write both files; the path of the Markdown one."""
    content = report(ledger, migration_id)
    folder = Path(content["migration"]["archive"]) / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    name = content["migration"]["id"]
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    path = folder / f"{name}.md"
    path.write_text(_markdown(ledger, content))
    return path


def _markdown(ledger: Ledger, content: dict[str, Any]) -> str:
    migration = content["migration"]
    work = open_work(Ref(ledger.url, migration["id"]))
    sheets: list[Sheet] = []
    if content["rows"] is not None:
        mapping = work.plan.mapping
        sheets.append(decisions_sheet(migration["source_url"], migration["target_url"], mapping.decisions))
        sheets.append(not_moved_sheet(mapping.not_moved))
    if content["verdict"] is not None:
        sheets.append(verdict_sheet(migration["target_url"], plain.from_plain(Verdict, content["verdict"])))
    if migration["strategy"] == "rolling" and "workspaces" in content:
        sheets.append(workspaces_sheet(migration["id"], ledger.workspaces(migration["id"])))
    head = [f"# Migration {migration['id']}", "", f"State **{migration['state']}**, {migration['strategy']}.", ""]
    history = [f"* {entry['at']} {entry['event']}" for entry in content["audit"]]
    body = [sheet_markdown(sheet) for sheet in sheets if sheet.rows]
    return "\n".join([*head, *body, "## History", "", *history, ""])


def sheet_markdown(sheet: Sheet) -> str:
    """A sheet as a Markdown table."""
    lines = [f"## {sheet.title}", "", _row(sheet.header), _row(tuple("---" for _ in sheet.header))]
    lines += [_row(row) for row in sheet.rows]
    if sheet.note:
        lines += ["", *(f"* {line}" for line in sheet.note.splitlines())]
    return "\n".join([*lines, ""])


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
