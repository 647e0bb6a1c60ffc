"""The flow for many collections."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from flows.many import many
from tests.flows.helpers import artifacts_of, flow_run_of
from vecferry.ledger import Ledger, State
from vecferry.operations import migrations

pytestmark = pytest.mark.slow


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A folder with two arrays."""
    folder = tmp_path / "old"
    folder.mkdir()
    for name in ("a", "b"):
        np.save(folder / f"{name}.npy", np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32))
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"id": f"{name}{row}"}) + "\n" for row in range(20)))
    return f"numpy://{folder}"


def test_each_collection_has_a_flow_run_and_one_that_fails_stops_no_other(
    ledger: Ledger, source: str, tmp_path: Path
) -> None:
    """The table shows both ends, the flow fails for the one; mended, a second run moves only that."""
    broken = tmp_path / "old" / "a.npy"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-4])
    target = f"jsonl://{tmp_path}/new"
    first = many(source, target, metric="cosine", approve="auto", return_state=True)
    assert first.is_failed()
    assert "1 of 2 collections are verified (failed: 1, done: 1)" in str(first.message)
    table = artifacts_of(flow_run_of(first))["many"]
    assert [row["state"] for row in json.loads(str(table.data))] == ["PLANNED", "SWITCHED"]
    moved = [(one.id, one.changed_at) for one in ledger.migrations() if one.state is State.SWITCHED]

    broken.write_bytes(whole)
    second = many(source, target, metric="cosine", approve="auto", return_state=True)
    assert second.is_completed(), second.message
    [group] = ledger.groups()
    assert second.result() == {"group": group.id, "found": 2, "verified": 2, "failed": 0}
    assert moved == [(one.id, one.changed_at) for one in ledger.migrations() if one.id == moved[0][0]]


@pytest.mark.slow
def test_all_are_moved_before_the_first_question(ledger: Ledger, source: str, tmp_path: Path) -> None:
    """Nobody answers: both are READY all the same. Approved, the group goes on from its id."""
    target = f"jsonl://{tmp_path}/new"
    first = many(source, target, metric="cosine", approve_timeout_s=1, return_state=True)
    assert first.is_failed()
    assert "waits for approval: 2" in str(first.message)
    [group] = ledger.groups()
    members = ledger.members(group.id)
    assert [one.state for one in members] == [State.READY, State.READY]
    for member in members:
        migrations.approve(ledger, member.id, yes=True, by="the test")
    second = many(group_id=group.id, return_state=True)
    assert second.is_completed(), second.message
    assert [one.state for one in ledger.members(group.id)] == [State.SWITCHED, State.SWITCHED]
