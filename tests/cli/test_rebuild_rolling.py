"""The lost ledger of a rolling migration on the command line, on stores of this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Vecferry
from tests.support.migrating import schema
from vecferry import address, batch
from vecferry.model import IdKind
from vecferry.stores import registry

pytestmark = pytest.mark.slow

OLD, NEW = "memory:///cli_rebuild_old", "memory:///cli_rebuild_new"


@pytest.fixture
def migrated(vecferry: Vecferry, tmp_path: Path) -> str:
    """The id of a rolling migration: the workspace a was skipped, all others have switched."""
    records = batch.make(
        ["a0", "a1", "x0"],
        IdKind.STRING,
        vectors={"": batch.dense_array(np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32))},
        documents=[None] * 3,
        payloads=[b'{"tenant":"a"}', b'{"tenant":"a"}', b"{}"],
    )
    with registry.open_target(address.parse(OLD)) as store:
        store.create(schema(), {})
        store.write(records)
    options = ("--strategy", "rolling", "--by", "tenant", "--approve", "ask", "--approve-by", "once")
    begun = vecferry("migrate", "--source", OLD, "--target", NEW, *options, "--archive", tmp_path / "archive", "--json")
    name = str(begun.document["migration"]["id"])
    vecferry("workspaces", name, "--skip", "a")
    vecferry("approve", name)
    assert vecferry("resume", name).code == 0
    return name


def test_a_lost_ledger_of_workspaces_is_shown_then_written(vecferry: Vecferry, migrated: str, tmp_path: Path) -> None:
    """Each workspace with its state; with a yes status, routes and the way back are what they were."""
    ledger, archive = ("--ledger", tmp_path / "again.db"), tmp_path / "archive"
    shown = vecferry("ledger", "rebuild", archive, *ledger)
    assert (shown.code, "serves 2 of 3 workspaces" in shown.err, 'workspace "a"' in shown.out) == (2, True, True)
    assert vecferry("list", *ledger, "--json").document == {"migrations": []}
    assert vecferry("ledger", "rebuild", archive, *ledger, "--rolled-back", "a").code == 2, "it was not about to switch"
    pointed = vecferry("ledger", "rebuild", archive / "workspaces" / "0001", *ledger)
    assert (pointed.code, str(archive) in pointed.err) == (2, True)
    done = vecferry("ledger", "rebuild", archive, *ledger, "--yes", "--json")
    assert (done.code, done.document["state"], done.document["written"]) == (0, "SWITCHED", True)
    assert [(one["workspace"], one["state"], one["hold"]) for one in done.document["workspaces"]] == [
        ("missing", "SWITCHED", None),
        ('"a"', "PLANNED", "skipped"),
        ("default", "SWITCHED", None),
    ]
    assert f"vecferry rollback {migrated}" in done.document["next_commands"]
    assert vecferry("status", migrated, *ledger).code == 0
    assert vecferry("route", "cli_rebuild_old", "--workspace", "a", *ledger).out.strip() == OLD
    assert vecferry("route", "cli_rebuild_old", *ledger).out.strip() == NEW
    assert vecferry("rollback", migrated, *ledger, "--workspace", "missing").code == 0
    assert vecferry("route", "cli_rebuild_old", "--workspace", "missing", *ledger).out.strip() == OLD
