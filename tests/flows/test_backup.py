"""Inventory, backup and restore as flows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from flows.backup import backup, restore
from flows.inventory import inventory
from tests.flows.helpers import ROWS, Stores, artifacts_of, flow_run_of
from vecferry.ledger import Ledger, State
from vecferry.model import VerdictState

pytestmark = pytest.mark.xdist_group("prefect")


def test_an_inventory_moves_nothing(ledger: Ledger, stores: Stores) -> None:
    """The flow shows what a collection is, and enters nothing into the ledger."""
    state = inventory(stores.source, return_state=True)

    assert state.is_completed(), state.message
    assert state.result() == {"records": ROWS}
    run = flow_run_of(state)
    assert run.name == f"inventory of {stores.source.replace('///', '/')}"
    table = json.loads(artifacts_of(run)["inventory"].data)
    assert {"what": "records", "found": f"{ROWS:,}"} in table
    assert ledger.migrations() == []


def test_files_are_backed_up_and_restored_byte_for_byte(ledger: Ledger, tmp_path: Path) -> None:
    """A source made of files comes back from its backup with the same bytes, and the run lists the files."""
    (tmp_path / "old").mkdir()
    file = tmp_path / "old" / "docs.npy"
    np.save(file, np.arange(40, dtype=np.float32).reshape(10, 4))

    made = backup(f"numpy://{file}", str(tmp_path / "backup"), return_state=True)
    assert made.is_completed(), made.message
    assert "docs.npy" in artifacts_of(flow_run_of(made))["files"].data

    back = restore(made.result()["folder"], f"numpy://{tmp_path}/back/docs.npy", return_state=True)
    assert back.is_completed(), back.message
    assert (tmp_path / "back" / "docs.npy").read_bytes() == file.read_bytes()


def test_a_database_is_backed_up_as_an_archive_and_restored_with_a_verdict(
    ledger: Ledger, stores: Stores, tmp_path: Path
) -> None:
    """The export is read back, and what is restored from it was compared record by record; no route moves."""
    made = backup(stores.source, str(tmp_path / "backup"), return_state=True)
    assert made.is_completed(), made.message
    back = restore(str(tmp_path / "backup"), stores.target, return_state=True)
    assert back.is_completed(), back.message

    assert stores.open_target().count() == ROWS
    verdict = ledger.fact(back.result()["migration"], "verdict")
    assert verdict is not None
    assert verdict["state"] == VerdictState.SAME
    assert [one.state for one in ledger.migrations()] == [State.READY, State.READY]
    assert ledger.routes() == []
