"""The inventory as a flow: every table that the command line prints is an artifact of the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flows.inventory import inventory
from tests.flows.helpers import ROWS, Stores, artifacts_of, flow_run_of

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("ledger")
def test_all_tables_are_artifacts_and_nothing_is_made_in_the_target(stores: Stores, tmp_path: Path) -> None:
    """Vectors, payload keys, room, and what does not fit a target that is not there."""
    target = f"chroma+path://{tmp_path}/absent/docs"
    state = inventory(stores.source, target, return_state=True)

    assert state.is_completed(), state.message
    shown = artifacts_of(flow_run_of(state))
    assert {"inventory", "vectors", "payload-keys", "room", "fit"} <= shown.keys()
    room = json.loads(shown["room"].data)
    assert [row["what"] for row in room][:3] == ["now", "archive", "rule of thumb"]
    assert room[3]["what"].startswith("chroma: HNSW")
    assert json.loads(shown["fit"].data)[0]["feature"] == "missing vectors"
    vectors = json.loads(shown["vectors"].data)
    assert {int(row["records"]) + int(row["missing"]) for row in vectors} == {ROWS}
    assert not (tmp_path / "absent").exists()


@pytest.mark.usefixtures("ledger")
def test_a_target_that_takes_everything_is_told_as_such(stores: Stores) -> None:
    """The table is there, empty; without vectors nothing is told of them."""
    state = inventory(stores.source, stores.target, vectors=False, limit=10, return_state=True)

    assert state.result() == {"records": 10}
    shown = artifacts_of(flow_run_of(state))
    assert json.loads(shown["fit"].data) == []
    assert "Everything fits" in (shown["fit"].description or "")
    assert "vectors" not in shown
