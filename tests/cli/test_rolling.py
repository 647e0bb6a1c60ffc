"""Workspaces on the command line, on stores of this process."""

from __future__ import annotations

import numpy as np
import pytest

from tests.cli.conftest import Vecferry
from tests.support.migrating import schema
from vecferry import address, batch
from vecferry.model import IdKind
from vecferry.stores import registry

OLD, NEW = "memory:///cli_rolling_old", "memory:///cli_rolling_new"


@pytest.fixture
def old() -> str:
    """One workspace, and records without one."""
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
    return OLD


@pytest.fixture
def migrated(vecferry: Vecferry, old: str) -> str:
    """The id of a rolling migration of which one workspace was skipped."""
    options = ("--strategy", "rolling", "--by", "tenant", "--approve", "ask", "--approve-by", "once")
    begun = vecferry("migrate", "--source", old, "--target", NEW, *options, "--json")
    assert begun.code == 3, begun.err
    return str(begun.document["migration"]["id"])


@pytest.mark.slow
def test_workspaces_are_shown_held_approved_resumed_and_rolled_back(vecferry: Vecferry, migrated: str) -> None:
    """Each command names what it did as text and as JSON; the parent's id and a part's both work."""
    held = vecferry("workspaces", migrated, "--skip", "a", "--json").document
    assert held["done"] == ['skipped: "a"']
    assert [(one["workspace"], one["records"], one["hold"]) for one in held["workspaces"]] == [
        ("missing", 1, None),
        ('"a"', 2, "skipped"),
        ("default", 0, None),
    ]
    assert vecferry("approve", migrated).code == 0
    done = vecferry("resume", migrated, "--json")
    assert done.code == 0, done.err
    assert [one["state"] for one in done.document["workspaces"]] == ["SWITCHED", "READY", "SWITCHED"]
    assert vecferry("route", "cli_rolling_old", "--workspace", "a").out.strip() == OLD
    assert vecferry("route", "cli_rolling_old", "--workspace", "missing").out.strip() == NEW

    again = vecferry("workspaces", migrated, "--take-up", "a", "--retry", "a")
    assert (again.code, "waits for an approval" in again.err) == (3, True), "the route of the whole has moved since"
    assert vecferry("approve", migrated).code == 0
    retried = vecferry("workspaces", migrated, "--retry", "a", "--json")
    assert retried.code == 0, retried.err
    assert vecferry("route", "cli_rolling_old", "--workspace", "a").out.strip() == NEW
    assert vecferry("sync", migrated, "--json").document["workspaces"] == 3
    foreseen = vecferry("rollback", migrated, "--workspace", "a", "--dry-run", "--json").document
    assert [one["workspace"] for one in foreseen["workspaces"]] == ['"a"']
    back = vecferry("rollback", migrated, "--workspace", "a", "--json")
    assert back.code == 0, back.err
    assert vecferry("complete", migrated).code == 5
    part = f"{migrated}.0002"
    assert vecferry("status", part, "--json").document["migration"]["state"] == "ROLLED_BACK"
    assert vecferry("complete", part).code == 5
    ids = [one["id"] for one in vecferry("list", "--workspaces", "--json").document["migrations"]]
    assert (ids[0], part in ids) == (migrated, True)
    assert [one["id"] for one in vecferry("list", "--json").document["migrations"]] == [migrated]


def test_a_workspace_of_a_migration_without_any_is_refused(vecferry: Vecferry, source: str, lines: str) -> None:
    """Each command says that there is none, and one that is given wrong borders what they look like."""
    begun = vecferry("migrate", "--source", source, "--target", lines, "--metric", "cosine", "--json")
    name = begun.document["migration"]["id"]
    assert vecferry("workspaces", name).code == 2
    assert "has no workspaces" in vecferry("rollback", name, "--workspace", "a").err
    wrong = vecferry("migrate", "--source", source, "--target", lines, "--strategy", "rolling", "--ranges", "2024-01")
    assert "FIELD=BORDER" in wrong.err
