"""Approval, switch and rollback, clicked through in Prefect's UI over a real server, worker and browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.automations import FAILED_CHECK, NO_HEARTBEAT
from deployments.folders import file_digest
from tests.stores.chroma.folders import by_chroma
from tests.ui.screenshots import TENANTS, at_the_desk, roll
from tests.ui.walk import Person
from vecferry.ledger import DEFAULT_WORKSPACE, Ledger, State, workspace_key
from vecferry.operations import routes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

PICTURE_BYTES = 300_000


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    """Somebody in front of a running installation; their pictures go to a folder of the test."""
    with at_the_desk(tmp_path / "desk", tmp_path / "images") as person:
        yield person


def test_a_person_approves_a_switch_and_takes_it_back(person: Person, tmp_path: Path) -> None:
    """From the filled-in form to the rollback run, each effect read from the ledger and not from the page."""
    ledger = Ledger.open(person.folder / "ledger.db")
    before = file_digest(person.folder / "old")

    person.starts_a_migration()
    (migration,) = ledger.migrations()
    assert migration.state is State.READY
    asked = ledger.route(migration.route)

    question = person.opens_the_question()
    assert migration.id in question
    assert migration.target_url in question
    person.resumes_without_a_choice()
    assert ledger.migration(migration.id).state is State.READY
    assert ledger.route(migration.route) == asked

    person.approves()
    assert ledger.migration(migration.id).state is State.SWITCHED
    assert routes.route(ledger, migration.route).url == migration.target_url

    shown = person.reads_the_artifacts()
    assert "2,000" in shown["verdict"]
    assert "every payload and document, byte for byte" in shown["verdict"]
    assert migration.target_url in shown["plan"]

    assert NO_HEARTBEAT in person.opens("automations", until=FAILED_CHECK)
    assert "vecferry.migration.switched" in person.opens("events", until="vecferry.migration.switched")

    person.rolls_back(migration.id)
    assert ledger.migration(migration.id).state is State.ROLLED_BACK
    assert routes.route(ledger, migration.route).url == migration.source_url
    assert file_digest(person.folder / "old") == before

    pictures = sorted((tmp_path / "images").glob("*.png"))
    assert [one.stem for one in pictures] == sorted(Person.PICTURES)
    assert all(one.stat().st_size < PICTURE_BYTES for one in pictures)


def test_a_person_approves_each_wave_and_takes_one_workspace_back(person: Person, tmp_path: Path) -> None:
    """Each form names the workspaces of its wave alone; `rollback-workspaces` from its form takes back the one."""
    ledger = Ledger.open(person.folder / "ledger.db")

    rolled = roll(person)

    waves = [("acme", "globex"), ("initech",), ()]
    for said, wave in zip(rolled.asked, waves, strict=True):
        assert f"Switch {max(1, len(wave))} workspaces" in said
        assert [name for name in TENANTS if f'workspace "{name}"' in said] == list(wave)
    assert rolled.table.count("SWITCHED") > len(TENANTS)
    answered = ledger.approvals(rolled.migration)
    assert [one.answer for one in answered] == ["approved"] * 3
    states = {one.key: one.state for one in ledger.workspaces(rolled.migration)}
    kept = {workspace_key(name): State.SWITCHED for name in ("globex", "initech")}
    assert states == {workspace_key("acme"): State.ROLLED_BACK, DEFAULT_WORKSPACE: State.SWITCHED, **kept}
    served = {name: ledger.ask_route("docs", workspace_key(name)) for name in TENANTS}
    assert {name: one.url.partition(":")[0] for name, one in served.items() if one is not None} == {
        "acme": "chroma+path",
        "globex": "qdrant+edge",
        "initech": "qdrant+edge",
    }
    (tmp_path / "copies").mkdir()
    assert len(by_chroma(person.folder / "tenants", "docs", tmp_path / "copies").ids) == sum(TENANTS.values())
    pictures = sorted((tmp_path / "images").glob("*.png"))
    assert [one.stem for one in pictures] == sorted(Person.PICTURES_OF_WAVES)
    assert all(one.stat().st_size < PICTURE_BYTES for one in pictures)
