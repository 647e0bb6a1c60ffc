"""The question before the switch, answered as a person would: through the server's API or in the ledger."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateName
from prefect.client.schemas.objects import FlowRun

from flows import approval
from flows.blue_green import blue_green
from tests.flows.helpers import Stores, eventually
from vecferry.ledger import Ledger, State
from vecferry.operations import migrations

LIMIT_S = 40.0
"""So that a person who made a mistake does not keep the flow waiting for a day."""


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for answers more often than a person would need."""
    monkeypatch.setattr(approval, "POLL_S", 0.3)


@contextmanager
def meanwhile(person: Callable[[SyncPrefectClient], None]) -> Iterator[None]:
    """Let a person act beside the flow, which has this thread; what goes wrong there fails the test."""
    wrong: list[BaseException] = []

    def act() -> None:
        try:
            with get_client(sync_client=True) as client:
                person(client)
        except BaseException as error:  # noqa: BLE001 - carried over to the test's own thread
            wrong.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(act,))
    thread.start()
    yield
    thread.join()
    if wrong:
        raise wrong[0]


def paused_run(client: SyncPrefectClient) -> FlowRun:
    """The one flow run that waits for an answer, once its form is there."""
    waiting = FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Paused"])))

    def look() -> FlowRun | None:
        runs = client.read_flow_runs(flow_run_filter=waiting)
        return runs[0] if runs and form_of(client, runs[0], "description") else None

    return eventually(look, "no flow run is paused")


def form_of(client: SyncPrefectClient, run: FlowRun, part: str) -> Any:
    """A part of the form that a paused run shows: its schema or description."""
    assert run.state is not None
    keys = run.state.state_details.run_input_keyset
    found = {
        item["key"]: item["value"]
        for item in client.request(
            "POST", "/flow_runs/{id}/input/filter", path_params={"id": run.id}, json={"prefix": "", "limit": 10}
        ).json()
    }
    return found.get(keys[part]) if keys else None


def answer(client: SyncPrefectClient, run: FlowRun, run_input: dict[str, Any]) -> int:
    """Resume with an answer, as the UI does; the HTTP status."""
    return client.request(
        "POST", "/flow_runs/{id}/resume", path_params={"id": run.id}, json={"run_input": run_input}
    ).status_code


def decide(client: SyncPrefectClient, run: FlowRun, decision: str) -> None:
    """Answer, and once more where the server's own database was busy, as a person at the form would."""

    def taken() -> bool | None:
        return answer(client, run, {"decision": decision}) == 201 or None

    eventually(taken, f"the server did not take {decision!r}")


def test_the_switch_waits_for_a_decision(ledger: Ledger, stores: Stores) -> None:
    """The form says what switches; an empty or a wrong answer leaves the run paused; "approve" switches."""

    def person(client: SyncPrefectClient) -> None:
        run = paused_run(client)
        assert stores.target in form_of(client, run, "description")
        assert answer(client, run, {}) == 200
        assert answer(client, run, {"decision": "perhaps"}) == 200
        assert client.read_flow_run(run.id).state_name == "Paused"
        decide(client, run, "approve")

    with meanwhile(person):
        state = blue_green(stores.source, stores.target, approve_timeout_s=LIMIT_S, return_state=True)
    assert state.is_completed(), state.message
    assert state.result()["serves"] == stores.target


@pytest.mark.slow
def test_a_declined_switch_leaves_the_route(ledger: Ledger, stores: Stores) -> None:
    """After "reject" the flow ends Failed, the migration stays READY and the old store serves."""

    def person(client: SyncPrefectClient) -> None:
        decide(client, paused_run(client), "reject")

    with meanwhile(person):
        state = blue_green(stores.source, stores.target, approve_timeout_s=LIMIT_S, route="docs", return_state=True)
    assert state.is_failed()
    assert "was declined" in state.message
    assert [one.state for one in ledger.migrations()] == [State.READY]
    assert ledger.routes()[0].url == stores.source


@pytest.mark.slow
def test_the_command_line_can_answer_a_paused_flow(ledger: Ledger, stores: Stores) -> None:
    """What `vecferry approve` writes into the ledger resumes the flow run."""

    def person(client: SyncPrefectClient) -> None:
        paused_run(client)
        migrations.approve(ledger, ledger.migrations()[0].id, yes=True, by="the person on call")

    with meanwhile(person):
        state = blue_green(stores.source, stores.target, approve_timeout_s=LIMIT_S, return_state=True)
    assert state.is_completed(), state.message
    approval = ledger.approval(state.result()["migration"])
    assert approval is not None
    assert approval.answered_by == "the person on call"


@pytest.mark.slow
def test_an_answer_after_the_time_limit_counts_when_resumed(ledger: Ledger, stores: Stores) -> None:
    """Without an answer the flow ends Failed and says how to go on; with the migration's id it then switches."""
    late = blue_green(stores.source, stores.target, approve_timeout_s=1, return_state=True)
    migration = ledger.migrations()[0].id
    assert late.is_failed()
    assert f"migration_id={migration}" in late.message

    migrations.approve(ledger, migration, yes=True, by="a person")
    state = blue_green(migration_id=migration, return_state=True)
    assert state.is_completed(), state.message
    assert [one.state for one in ledger.migrations()] == [State.SWITCHED]
