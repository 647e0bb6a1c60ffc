"""Two steps and the old store after the switch, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Vecferry
from tests.support.raw_collections import Place, generate, make_source
from vecferry import address, batch
from vecferry.model import IdKind, RecordId
from vecferry.stores import registry

pytestmark = pytest.mark.slow


@pytest.fixture
def old(tmp_path: Path) -> str:
    """A collection of a database, written by its own engine."""
    return make_source("qdrant+edge", Place(tmp_path), "docs", generate(40, 8))


@pytest.fixture
def new(tmp_path: Path) -> str:
    return f"qdrant+edge://{tmp_path}/new/docs"


def rows_of(document: Any) -> dict[str, Any]:
    """What a route says of reads and writes."""
    return {name: document[name] for name in ("reads", "url", "writes")}


def lose(url: str, number: int) -> None:
    """An application deletes a record."""
    with registry.open_target(address.parse(url)) as store:
        store.delete(batch.ids_batch([RecordId(IdKind.UINT64, str(number))]))


def test_two_questions_and_what_is_shown_between_them(vecferry: Vecferry, old: str, new: str) -> None:
    """Exit 3 asks for each yes; status and route tell reads from writes; rollback sends them back; then forward."""
    started = vecferry(
        "migrate", "--source", old, "--target", new, "--cutover", "two-step", "--no-read-modify-write", "--json"
    )
    assert (started.code, started.document["migration"]["state"]) == (3, "READY")
    name = started.document["migration"]["id"]
    assert any("reads lag behind writes" in line for line in vecferry("approve", name, "--json").document["form"])
    watch = vecferry("resume", name, "--json")
    assert (watch.code, watch.document["migration"]["state"]) == (3, "READS_NEW")
    assert f"vecferry rollback {name}" in watch.document["next_commands"]
    assert rows_of(vecferry("route", "docs", "--json").document) == {"reads": new, "url": old, "writes": "open"}
    status = vecferry("status", name)
    assert status.code == 0
    assert f"docs -> {new}" in status.out
    assert "lag" in status.out
    assert vecferry("rollback", name, "--dry-run").code == 5
    assert vecferry("rollback", name, "--json").document["migration"]["state"] == "READY"
    for state, code in (("READY", 3), ("READS_NEW", 3), ("SWITCHED", 0)):
        done = vecferry("resume", name, "--json")
        assert (done.code, done.document["migration"]["state"]) == (code, state)
        assert code == 0 or vecferry("approve", name).code == 0
    assert rows_of(vecferry("route", "docs", "--json").document) == {"reads": new, "url": new, "writes": "open"}


def test_a_plan_says_why_two_steps_cannot_be(vecferry: Vecferry, old: str, new: str, tmp_path: Path) -> None:
    """`plan` refuses as `migrate` does, with exit 4 and the option that is missing."""
    file = tmp_path / "migration.yaml"
    file.write_text(f"source: {old}\ntarget: {new}\ncutover: two-step\n")
    refused = vecferry("plan", "--config", file)
    assert (refused.code, "--no-read-modify-write" in refused.err) == (4, True)


def test_a_sync_after_the_switch_and_the_figures_in_status(vecferry: Vecferry, old: str, new: str) -> None:
    """The old store loses what the new one lost; status shows the figures with their age."""
    started = vecferry("migrate", "--source", old, "--target", new, "--approve", "auto", "--json")
    name = started.document["migration"]["id"]
    assert vecferry("status", name, "--json").document["rollback_figures"] is None
    lose(new, 3)
    done = vecferry("sync", name, "--json")
    assert (done.code, done.document["back"]["carried"]["deleted"]) == (0, 1)
    with registry.open_source(address.parse(old)) as store:
        assert store.count() == 39
    figures = vecferry("status", name, "--json").document["rollback_figures"]
    assert figures["reverse"] == "follow"
    assert 0 <= figures["age_s"] < 600
    assert "reverse: follow, seen" in vecferry("status", name).out
    assert "A rollback of" in vecferry("sync", name).out
