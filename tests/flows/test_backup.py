"""Inventory, backup and restore as flows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from flows.backup import backup, nightly_backup, restore, verify_backup
from flows.inventory import inventory
from tests.backups.support import aged, flip
from tests.flows.helpers import ROWS, Stores, artifacts_of, flow_run_of
from vecferry.ledger import Ledger, State
from vecferry.model import VerdictState


@pytest.mark.slow
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


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A 2-D file as a source."""
    (tmp_path / "old").mkdir()
    np.save(tmp_path / "old" / "docs.npy", np.arange(40, dtype=np.float32).reshape(10, 4))
    return tmp_path / "old" / "docs.npy"


def test_files_are_backed_up_and_restored_byte_for_byte(ledger: Ledger, file: Path, tmp_path: Path) -> None:
    """A source made of files comes back from its backup with the same bytes, and the run lists the files."""
    made = backup(str(tmp_path / "root"), f"numpy://{file}", return_state=True)
    assert made.is_completed(), made.message
    assert "docs.npy" in artifacts_of(flow_run_of(made))["files"].data

    back = restore(made.result()["folder"], f"numpy://{tmp_path}/back/docs.npy", return_state=True)
    assert back.is_completed(), back.message
    assert (tmp_path / "back" / "docs.npy").read_bytes() == file.read_bytes()


@pytest.mark.slow
def test_a_database_is_backed_up_as_an_archive_and_restored_with_a_verdict(
    ledger: Ledger, stores: Stores, tmp_path: Path
) -> None:
    """The export is read back, and what is restored from it was compared record by record; no route moves."""
    made = backup(str(tmp_path / "root"), stores.source, return_state=True)
    assert made.is_completed(), made.message
    assert (made.result()["method"], made.result()["rows"]) == ("archive", ROWS)
    back = restore(made.result()["folder"], stores.target, return_state=True)
    assert back.is_completed(), back.message

    assert stores.open_target().count() == ROWS
    verdict = ledger.fact(back.result()["migration"], "verdict")
    assert verdict is not None
    assert verdict["state"] == VerdictState.SAME
    assert [one.state for one in ledger.migrations()] == [State.READY, State.READY]
    assert ledger.routes() == []


def test_two_nights_with_retention_and_the_older_one_restored(ledger: Ledger, file: Path, tmp_path: Path) -> None:
    """Each run keeps two nights and removes what is older, with a table of the reasons; the first night comes back."""
    source, root, before = f"numpy://{file}", tmp_path / "root", file.read_bytes()
    ancient = aged(Path(nightly_backup(str(root), source, keep_daily=2, keep_weekly=0)["folder"]), 9)
    first = nightly_backup(str(root), source, keep_daily=2, keep_weekly=0)
    assert first["removed"] == []
    older = aged(Path(first["folder"]), 1)
    np.save(file, np.ones((10, 4), dtype=np.float32))
    second = nightly_backup(str(root), source, keep_daily=2, keep_weekly=0, return_state=True)
    assert second.is_completed(), second.message
    assert second.result()["removed"] == [str(ancient)]
    table = json.loads(artifacts_of(flow_run_of(second))["retention"].data)
    assert [(row["what"], row["why"]) for row in table] == [("kept", "daily"), ("kept", "daily"), ("removed", "")]

    back = restore(str(older), f"numpy://{tmp_path}/back/docs.npy", return_state=True)
    assert back.is_completed(), back.message
    assert (tmp_path / "back" / "docs.npy").read_bytes() == before


def test_a_damaged_newest_backup_fails_the_run_that_verifies_it(ledger: Ledger, file: Path, tmp_path: Path) -> None:
    """The weekly run names the file; while all is whole it lists what it read."""
    made = nightly_backup(str(tmp_path / "root"), f"numpy://{file}")
    whole = verify_backup(str(tmp_path / "root"), return_state=True)
    assert whole.is_completed(), whole.message
    assert whole.result() == {"verified": [made["folder"]]}
    flip(Path(made["folder"]) / "files" / "docs.npy")
    state = verify_backup(str(tmp_path / "root"), return_state=True)
    assert state.is_failed()
    assert "files/docs.npy has changed since the backup was made" in state.message
    assert "damaged" in artifacts_of(flow_run_of(state))["backups"].data


def test_a_policy_that_keeps_nothing_fails_before_anything_is_made(ledger: Ledger, file: Path, tmp_path: Path) -> None:
    """A wrong parameter costs no backup and removes none."""
    state = nightly_backup(str(tmp_path / "root"), f"numpy://{file}", keep_daily=0, keep_weekly=0, return_state=True)
    assert state.is_failed()
    assert "keeps none" in state.message
    assert not (tmp_path / "root").exists()
