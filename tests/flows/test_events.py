"""What Prefect is told of a migration's steps: the ledger's outbox, emptied at least once under ids of its own."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from httpx import ConnectError, Response
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient

from flows import outbox
from flows.blue_green import blue_green
from flows.events import send_events
from tests.flows.helpers import Stores, eventually
from tests.flows.test_approval import LIMIT_S, decide, meanwhile, paused_run
from vecferry.ledger import Event, Ledger
from vecferry.ledger.schema import outbox as outbox_table

pytestmark = pytest.mark.slow


def events_of(migration: str, count: int) -> list[dict[str, Any]]:
    """What the server has of a migration, the oldest first, once it has so much."""
    wanted = {"resource": {"id": [f"{outbox.RESOURCE}.{migration}"]}, "order": "ASC"}

    def look() -> list[dict[str, Any]] | None:
        with get_client(sync_client=True) as client:
            answer = client.request("POST", "/events/filter", json={"filter": wanted, "limit": 50}).json()
        return answer["events"] if len(answer["events"]) >= count else None

    return eventually(look, f"no {count} events of {migration}")


def test_each_step_of_a_run_is_an_event(ledger: Ledger, stores: Stores) -> None:
    """After the flow's end nothing waits, and the server has every step in order, with labels to ask for."""
    done = blue_green(stores.source, stores.target, approve="auto", route="docs")
    assert ledger.unsent_events() == []

    entries = [one for one in ledger.audit(done["migration"]) if "to" in one.detail]
    events = events_of(done["migration"], len(entries))
    assert [one["payload"]["to"] for one in events] == [one.detail["to"] for one in entries]
    assert events[-1]["event"] == "vecferry.migration.switched"
    labels = events[-1]["resource"]
    assert (labels["vecferry.strategy"], labels["vecferry.route"], labels["vecferry.to"]) == (
        "blue-green", "docs", "SWITCHED",
    )  # fmt: skip


def test_steps_before_the_question_are_told_before_it(ledger: Ledger, stores: Stores) -> None:
    """Whoever waits for READY hears of it while the run waits for an answer, not after it."""
    waiting: list[list[Event]] = []

    def person(client: SyncPrefectClient) -> None:
        run = paused_run(client)
        waiting.append(ledger.unsent_events())
        decide(client, run, "reject")

    with meanwhile(person):
        blue_green(stores.source, stores.target, approve_timeout_s=LIMIT_S, return_state=True)
    assert waiting == [[]]
    assert events_of(ledger.migrations()[0].id, 1)[-1]["event"] == "vecferry.migration.ready"


def test_an_event_that_is_sent_twice_is_kept_once(ledger: Ledger, stores: Stores, tmp_path: Path) -> None:
    """Who dies between sending and marking leads to a second sending, under the same id."""
    done = blue_green(stores.source, stores.target, approve="auto")
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as raw, raw:
        raw.execute(f"UPDATE {outbox_table.name} SET sent_at = NULL")
    waiting = ledger.unsent_events()
    before = [one["id"] for one in events_of(done["migration"], len(waiting))]
    assert [one.id for one in waiting] == before
    assert outbox.send(ledger, limit=1) == 1
    assert outbox.send(ledger) == len(waiting) - 1
    assert [one["id"] for one in events_of(done["migration"], len(before))] == before


def test_a_server_that_is_away_stops_nobody_and_loses_nothing(
    ledger: Ledger, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends as it would have; the scheduled flow sends what is left."""
    request = SyncPrefectClient.request

    def away(self: SyncPrefectClient, method: str, path: str, **named: Any) -> Response:
        if path == "/events":
            raise ConnectError("the server is away")
        return request(self, method, path, **named)

    with monkeypatch.context() as patch:
        patch.setattr(SyncPrefectClient, "request", away)
        done = blue_green(stores.source, stores.target, approve="auto")
    waiting = ledger.unsent_events()
    assert waiting
    assert send_events() == {"sent": len(waiting)}
    assert send_events() == {"sent": 0}
    assert len(events_of(done["migration"], len(waiting))) == len(waiting)
