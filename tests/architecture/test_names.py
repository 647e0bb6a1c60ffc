"""Public names change on purpose only."""

from __future__ import annotations

import importlib

import pytest

import vecferry

PINNED = {
    "vecferry.conditions": {
        "Between", "Border", "Condition", "Equals", "Missing", "Others", "Ranges", "from_plain", "matches",
        "matches_any", "to_plain", "value_texts",
    },
    "vecferry.contract": {
        "Aliasing", "Health", "Listed", "Listing", "Narrowing", "Reader", "Snapshot", "Snapshots", "Source",
        "SourceFile", "Target", "fields_by_name",
    },
    "vecferry.errors": {
        "ArchiveDamaged", "BadOption", "BadRecord", "ConfigError", "DataDiffer", "DataError", "LeaseLost", "LockHeld",
        "LossRefused", "MissingExtra", "NotFound", "PlanRefused", "RetryLater", "Stopped", "StoreRefused",
        "TargetNotEmpty", "UnsafeRoute", "VecferryError",
    },
    "vecferry.grouping": {
        "ByField", "ByRanges", "Discovery", "Group", "SourceView", "TargetView", "discover", "not_carried",
        "target_view", "view",
    },
    "vecferry.operations.archives": {"archive_url", "collection_url", "start_export", "start_load"},
    "vecferry.operations.backup_sets": {"Pruned", "Verified", "list_backups", "newest_of", "prune", "verify_backups"},
    "vecferry.operations.backups": {
        "Backup", "Method", "backup", "choose_method", "copy_backup", "forget", "found_backup", "start_backup",
    },
    "vecferry.operations.checkup": {"Check", "Checkup", "Findings", "Level", "failure"},
    "vecferry.operations.doctor": {
        "examine_extras", "examine_folder", "examine_hooks", "examine_ledger", "examine_store",
    },
    "vecferry.operations.look": {
        "NAME", "Preview", "Status", "counted", "mapping_between", "preview", "status", "verify",
    },
    "vecferry.operations.ending": {"Aborted", "Ended", "abort", "complete", "decommission", "discard"},
    "vecferry.operations.migrations": {
        "STRATEGIES", "approve", "asks_in", "entry_of", "logical_name", "run", "start",
    },
    "vecferry.operations.rebuilding": {"Proposal", "Rebuilt", "propose", "rebuild"},
    "vecferry.operations.report": {"report", "sheet_markdown", "write_report"},
    "vecferry.operations.restores": {"Restored", "find_backup", "restore", "restore_whole", "start_restore", "tidy"},
    "vecferry.operations.routes": {"Figures", "foresee", "merge", "rollback", "route", "route_only", "settlement"},
    "vecferry.operations.standing": {"Standing", "standing"},
    "vecferry.operations.pausing": {"Unpaused", "observe", "unpause"},
    "vecferry.operations.serving": {"ask", "route"},
    "vecferry.operations.surveys": {"Fit", "Inspection", "Sizes", "inspect"},
}  # fmt: skip


@pytest.mark.parametrize("module", sorted(PINNED))
def test_public_names_are_the_pinned_ones(module: str) -> None:
    """`__all__` of what applications, flows and stores of others import, name by name; each name exists."""
    found = importlib.import_module(module)
    assert set(found.__all__) == PINNED[module]
    assert all(hasattr(found, name) for name in found.__all__)


def test_the_package_itself_offers_no_names() -> None:
    """`import vecferry` loads nothing, so everything is imported from its own module."""
    assert getattr(vecferry, "__all__", []) == []
