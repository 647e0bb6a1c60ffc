"""`kill -9` at every named point: the same command finishes the same plan with the same result."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

import vecferry
from tests.support.migrating import Harness, fill, mixed_batch, schema
from vecferry.ledger import State

KILLED = -9

ON_THE_WAY = (
    "archive.file_aside",
    "archive.file_visible",
    "archive.committed",
    "prepare.created",
    "export.part_written",
    "copy.part_recorded",
    "load.batch_written",
    "load.part_written",
    "copy.slice_recorded",
    "load.finished",
    "validate.slice_recorded",
    "validate.concluded",
    "ledger.pausing",
    "ledger.paused",
    "cutover.checked",
    "cutover.file_written",
    "cutover.file_listed",
    "cutover.before_switch",
    "ledger.switching",
    "ledger.switched",
    "cutover.switched",
    "cutover.ended",
    "look.ended",
)
"""Points that every migration passes."""

SHORT = {
    "prepare.created",
    "copy.slice_recorded",
    "validate.concluded",
    "ledger.paused",
    "ledger.switched",
    "staging.merged",
}
"""Points of the short run."""


def swept(*points: str) -> list[ParameterSet]:
    """The points, those beyond the short run marked."""
    return [pytest.param(point, marks=() if point in SHORT else pytest.mark.slow) for point in points]


OF_FILE_TARGETS = ("staging.segment_written", "staging.ready", "staging.merged", "staging.moved")
ELSEWHERE = {
    "cutover.alias_set": "tests/stores/qdrant: needs a server with aliases",
    "return.begun": "tests/migrations/test_rollback_kill.py",
    "return.slice_spooled": "tests/migrations/test_rollback_kill.py",
    "return.written": "tests/migrations/test_rollback_kill.py",
    "return.weighed": "tests/migrations/test_rollback_kill.py",
    "return.copied": "tests/migrations/test_rollback_kill.py",
    "return.loaded": "tests/migrations/test_rollback_kill.py",
    "return.read_back": "tests/migrations/test_rollback_kill.py",
    "rollback.frozen": "tests/migrations/test_rollback_kill.py",
    "rollback.before_switch": "tests/migrations/test_rollback_kill.py",
    "rollback.switched": "tests/migrations/test_rollback_kill.py",
    "rollback.ended": "tests/migrations/test_rollback_kill.py",
    "rollback.undone": "tests/migrations/test_rollback_kill.py",
    "rollback.route_frozen": "tests/migrations/test_rollback_kill.py",
    "rollback.route_moved": "tests/migrations/test_rollback_kill.py",
    "merge.ended": "tests/migrations/test_rollback_kill.py",
    "forward.taken": "tests/migrations/kill_every_state.py",
    "rollback.alias_set": "tests/stores/qdrant: needs a server with aliases",
    "backup.listed": "tests/backups/test_set.py",
    "prune.renamed": "tests/backups/test_set.py",
    "cutover.unswitched": "tests/migrations/test_cutover.py",
    "cutover.undone": "tests/migrations/test_cutover.py",
    "hooks.file_written": "tests/migrations/test_cutover.py",
    "hooks.intended": "tests/migrations/test_cutover.py",
    "hooks.called": "tests/migrations/test_cutover.py",
    "hooks.recorded": "tests/migrations/test_cutover.py",
    "ledger.hook_intended": "tests/migrations/test_cutover.py",
    "look.begun": "tests/migrations/test_end_kill.py",
    "complete.before": "tests/migrations/test_end_kill.py",
    "complete.done": "tests/migrations/test_end_kill.py",
    "decommission.intended": "tests/migrations/test_end_kill.py",
    "decommission.dropped": "tests/migrations/test_end_kill.py",
    "discard.intended": "tests/migrations/test_end_kill.py",
    "discard.dropped": "tests/migrations/test_end_kill.py",
    "rolling.plan_stored": "tests/migrations/test_rolling_kill.py",
    "rolling.workspaces_stored": "tests/migrations/test_rolling_kill.py",
    "rolling.workspace_switched": "tests/migrations/test_rolling_kill.py",
    "rolling.workspace_completed": "tests/migrations/test_rolling_kill.py",
    "moved.recorded": "tests/migrations/test_rolling_kill.py",
    "moved.loaded": "tests/migrations/test_rolling_kill.py",
    "moved.brought_recorded": "tests/migrations/test_rolling_kill.py",
    "moved.written_back": "tests/migrations/test_rolling_kill.py",
    "many.opened": "tests/migrations/test_many.py",
    "many.recorded": "tests/migrations/test_many.py",
    "pass.begun": "tests/migrations/test_sync.py",
    "pass.slice_spooled": "tests/migrations/test_sync.py",
    "pass.ended": "tests/migrations/test_sync.py",
    "delta.written": "tests/migrations/test_sync.py",
    "delta.batch_written": "tests/migrations/test_sync.py",
    "delta.loaded": "tests/migrations/test_sync.py",
    "delta.read_back": "tests/migrations/test_sync.py",
    "delta.closed": "tests/migrations/test_sync.py",
    "ledger.delta_recorded": "tests/migrations/test_sync.py",
    "ledger.delta_loaded": "tests/migrations/test_sync.py",
    "ledger.delta_closed": "tests/migrations/test_sync.py",
    "figures.kept": "tests/migrations/test_follow.py",
    "reads.before": "tests/migrations/test_two_steps.py",
    "reads.moved": "tests/migrations/test_two_steps.py",
    "reads.returned": "tests/migrations/test_two_steps.py",
    "reads.back": "tests/migrations/test_two_steps.py",
    "snapshot.begun": "tests/migrations/test_snapshot_restore_kill.py",
    "snapshot.copied": "tests/migrations/test_snapshot_restore_kill.py",
    "snapshot.digest_ended": "tests/migrations/test_snapshot_restore_kill.py",
    "snapshot.frozen": "tests/migrations/test_snapshot_restore_kill.py",
    "snapshot.pinned": "tests/migrations/test_snapshot_restore_kill.py",
    "snapshot.proven": "tests/migrations/test_snapshot_restore_kill.py",
    "snapshot.recovered": "tests/migrations/test_snapshot_restore_engines.py",
    "snapshot.restored": "tests/migrations/test_snapshot_restore_engines.py",
    "snapshot.scratch_made": "tests/migrations/test_snapshot_restore_engines.py",
    "reads.alias_set": "tests/stores/qdrant: needs a server with aliases",
}


@pytest.fixture
def source(tmp_path: Path) -> str:
    """600 records in a file."""
    url = f"jsonl://{tmp_path}/source.jsonl"
    fill(url, [mixed_batch(600)], schema())
    for mark in tmp_path.glob("*.vecferry.json"):
        mark.unlink()
    return url


def kill_and_resume(harness: Harness, source: str, target: str, points: str) -> None:
    """Run until the kill, run again, and hold the result against an undisturbed one."""
    options = {"metric": "cosine", "slice_rows": 150, "batch_rows": 50}
    ref = harness.start(source, target, **options)
    assert harness.run_until_killed(ref, points) == KILLED
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.route(ref).url == target
    assert harness.route(ref).epoch == 2
    harness.ledger.verify_audit()
    assert harness.records(target) == harness.records(source)
    served = harness.ledger.ask_route(harness.route(ref).name)
    assert served is not None
    assert served.writes == "open"


@pytest.mark.parametrize("point", swept(*ON_THE_WAY))
def test_a_run_killed_at_any_point_is_finished_by_the_next(harness: Harness, source: str, point: str) -> None:
    """Whatever was done when the process died, the resumed run ends SWITCHED with every record."""
    kill_and_resume(harness, source, f"qdrant+edge://{harness.folder}/edge/docs", f"{point}=kill")


@pytest.mark.parametrize(
    "point", swept("load.batch_written=kill@7", "export.part_written=kill@3", "copy.slice_recorded=kill@2")
)
def test_a_run_killed_in_the_middle_ends_whole(harness: Harness, source: str, point: str) -> None:
    """A kill among several slices is finished like any other."""
    kill_and_resume(harness, source, f"qdrant+edge://{harness.folder}/edge/docs", point)


@pytest.mark.slow
def test_resume_does_no_finished_slice_again(harness: Harness, source: str) -> None:
    """Slices that were loaded before the kill keep their parts, receipts and times; the others are done once."""
    target = f"qdrant+edge://{harness.folder}/edge/docs"
    ref = harness.start(source, target, metric="cosine", slice_rows=100, workers=1)
    assert harness.run_until_killed(ref, "copy.slice_recorded=kill@3") == KILLED
    before = [row for row in harness.ledger.slices(ref.migration) if row.loaded_at is not None]
    parts = {part: part.stat().st_mtime_ns for part in (harness.folder / "home").rglob("parts/*.parquet")}
    assert len(before) == len(parts) == 3
    harness.run(ref)
    after = harness.ledger.slices(ref.migration)
    assert len(after) == 6
    assert [(row.copied, row.loaded_at) for row in after[:3]] == [(row.copied, row.loaded_at) for row in before]
    assert all(part.stat().st_mtime_ns == written for part, written in parts.items())


@pytest.mark.parametrize("point", swept(*OF_FILE_TARGETS))
def test_a_file_target_appears_whole_or_not_at_all(harness: Harness, source: str, point: str) -> None:
    """A run killed while it writes a file leaves staging only; the resumed one leaves the whole file."""
    target = harness.folder / "target.jsonl"
    kill_and_resume(harness, source, f"jsonl://{target}", f"{point}=kill")
    assert target.read_bytes().count(b"\n") == 600


def test_every_failpoint_of_the_code_is_swept() -> None:
    """A point that someone adds to the code must be added to the sweep."""
    package = Path(vecferry.__file__).parent
    found = {name for file in package.rglob("*.py") for name in re.findall(r'reached\("([\w.]+)"\)', file.read_text())}
    assert found == {*ON_THE_WAY, *OF_FILE_TARGETS, *ELSEWHERE}
