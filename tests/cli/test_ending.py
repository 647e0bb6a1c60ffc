"""The end of a migration from the command line: complete, decommission, status of what follows, a ledger made anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Vecferry
from tests.support.raw_collections import Place, generate, make_source
from vecferry import address
from vecferry.stores import registry

pytestmark = pytest.mark.slow


@pytest.fixture
def old(tmp_path: Path) -> str:
    """A collection of a database, written by its own engine."""
    return make_source("qdrant+edge", Place(tmp_path), "docs", generate(60, 8))


@pytest.fixture
def new(tmp_path: Path) -> str:
    return f"qdrant+edge://{tmp_path}/new/docs"


def migrated(vecferry: Vecferry, old: str, new: str, *options: Any) -> str:
    """The id of a migration that has switched."""
    done = vecferry("migrate", "--source", old, "--target", new, "--approve", "auto", "--json", *options)
    assert done.code == 0, done.err
    return str(done.document["migration"]["id"])


def test_a_migration_is_completed_and_its_old_store_dropped(vecferry: Vecferry, old: str, new: str) -> None:
    """Each command says what comes next; the old collection goes only with its name typed; twice is told."""
    name = migrated(vecferry, old, new)
    done = vecferry("complete", name)
    assert done.code == 0
    assert "there is no way back" in done.out
    assert f"next: vecferry decommission {name} --collection NAME" in done.out
    assert "nothing was done" in vecferry("complete", name).out
    assert vecferry("rollback", name).code == 5
    refused = vecferry("decommission", name)
    assert (refused.code, "is named 'docs'" in refused.err) == (2, True)
    dropped = vecferry("decommission", name, "--collection", "docs", "--json")
    assert (dropped.code, dropped.document["dropped"]) == (0, old)
    assert vecferry("decommission", name, "--collection", "docs", "--json").document["already"]
    assert "decommission" not in vecferry("status", name).out
    with registry.open_target(address.parse(old)) as store:
        assert not store.exists()


def test_late_records_stop_the_end_and_are_listed(vecferry: Vecferry, old: str, new: str) -> None:
    """Exit 1 names the records, the file that lists them, and what to type in order to let them go."""
    name = migrated(vecferry, old, new)
    with registry.open_source(address.parse(old)) as store:
        [batch] = store.read(store.slices(1)[0], batch_rows=1000)
    with registry.open_target(address.parse(old)) as store:
        store.delete(batch.select(["id", "id_kind"]).slice(0, 1))
    refused = vecferry("complete", name)
    assert refused.code == 1
    assert "1 gone" in refused.err
    assert ".csv" in refused.err
    digest = refused.err.split("--accept-late ")[1].split()[0]
    assert vecferry("status", name, "--json").document["migration"]["state"] == "SWITCHED"
    done = vecferry("complete", name, "--accept-late", digest, "--json")
    assert (done.code, done.document["late"]["counts"]) == (0, {"new": 0, "changed": 0, "gone": 1})


def test_s24_status_shows_who_is_paused_and_what_is_observed(
    vecferry: Vecferry, old: str, new: str, tmp_path: Path
) -> None:
    """A route file that says otherwise is a verdict of its own: exit 5, with both sides and their times."""
    file = tmp_path / "route.json"
    config = tmp_path / "migration.yaml"
    hooks = {"route_file": str(file), "write_timeout_s": 0}
    config.write_text(json.dumps({"source": old, "target": new, "approve": "auto", "hooks": hooks}))
    done = vecferry("migrate", "--config", config, "--json")
    assert done.code == 0, done.err
    name = done.document["migration"]["id"]
    vecferry("unpause", name)
    shown = vecferry("status", name, "--json")
    assert (shown.code, shown.document["differences"], shown.document["pauses"]) == (0, [], [])
    [observed] = shown.document["observed"]
    assert [one["where"] for one in observed["observed"]] == ["file"]
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"url": old}))
    differs = vecferry("status", name, "--json")
    assert differs.code == 5
    assert differs.document["differences"][0].startswith("file serves")
    assert "differs" in vecferry("status", name).out
    assert vecferry("complete", name).code == 5


def test_a_lost_ledger_is_made_anew(vecferry: Vecferry, old: str, new: str, tmp_path: Path) -> None:
    """Shown first, written with a yes; then the way back works from it."""
    name = migrated(vecferry, old, new, "--archive", tmp_path / "archive")
    again = ("--ledger", tmp_path / "again.db")
    shown = vecferry("ledger", "rebuild", tmp_path / "archive", *again)
    assert (shown.code, "--yes" in shown.err, name in shown.out) == (2, True, True)
    assert vecferry("list", *again, "--json").document == {"migrations": []}
    done = vecferry("ledger", "rebuild", tmp_path / "archive", *again, "--yes", "--json")
    assert (done.code, done.document["state"], done.document["written"]) == (0, "SWITCHED", True)
    assert f"vecferry rollback {name}" in done.document["next_commands"]
    assert vecferry("rollback", name, *again).code == 0
    assert vecferry("route", "docs", *again).out.strip() == old
