"""A snapshot-restore that is killed at any point, with its pause held or over, is finished by the next run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.migrations.test_snapshot_restore import STRATEGY, end_pauses, serving_writes
from tests.support.migrating import Harness, fill, mixed_batch, schema
from vecferry.ledger import State
from vecferry.operations import look

KILLED = -9


@pytest.fixture
def file(tmp_path: Path) -> str:
    """60 records in a file, for runs in other processes."""
    url = f"jsonl://{tmp_path}/docs.jsonl"
    fill(url, [mixed_batch(60)], schema())
    (tmp_path / "docs.jsonl.vecferry.json").unlink(missing_ok=True)
    return url


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    [
        "snapshot.frozen",
        "snapshot.digest_ended",
        "snapshot.begun",
        "snapshot.copied",
        "copy.part_recorded",
        "snapshot.digest_ended=kill@2",
        "snapshot.pinned",
        "copy.slice_recorded",
        "load.finished",
        "validate.slice_recorded",
        "validate.concluded",
        "snapshot.proven",
        "cutover.file_listed",
        "cutover.before_switch",
        "cutover.switched",
        "cutover.ended",
    ],
)
@pytest.mark.parametrize(
    ("over", "copies"), [(False, True), (True, True), (True, False)], ids=["held", "over", "over-archive"]
)
def test_s13_a_run_killed_anywhere_is_finished_by_the_next(
    harness: Harness, file: str, tmp_path: Path, point: str, over: bool, copies: bool
) -> None:
    """While the pause holds the next run goes on; once it is over, what was written since then moves as well."""
    new = f"jsonl://{tmp_path}/new.jsonl"
    sync = {"absence_wait_s": 0, "driver_timeout_s": 0}
    ref = harness.start(file, new, STRATEGY, metric="cosine", backup=copies, sync=sync)
    assert harness.run_until_killed(ref, point if "=" in point else f"{point}=kill") == KILLED
    assert serving_writes(harness, ref) == "paused"
    assert f"vecferry unpause {ref.migration}" in look.status(harness.ledger, ref.migration).next_commands or (
        harness.migration(ref).state is State.SWITCHED
    )
    if over:
        end_pauses(harness)
        if harness.route(ref).url == file:
            with (tmp_path / "docs.jsonl").open("ab") as lines:
                lines.write(b'{"id":"late","vector":[1,0,0,0,0,0,0,0],"payload":{}}\n')
    harness.run(ref)
    assert (harness.migration(ref).state, serving_writes(harness, ref)) == (State.SWITCHED, "open")
    assert harness.records(new) == harness.records(file)
