"""The blue-green flow over stores in memory, against a real Prefect API."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from prefect import get_client
from prefect.flow_engine import run_flow
from prefect.states import AwaitingRetry

from flows.blue_green import blue_green
from tests.flows import flaky
from tests.flows.helpers import ROWS, Stores, artifacts_of, flow_run_of, task_run_of
from vecferry.errors import RetryLater, StoreRefused
from vecferry.ledger import Ledger, State
from vecferry.stores import registry


@pytest.fixture
def flaky_source(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The filled source behind a connection that raises what a test puts into `flaky.faults`."""
    monkeypatch.setitem(registry.STORES, "flaky", flaky.ENTRY)
    yield stores.source.replace("memory:", "flaky:")
    flaky.faults.clear()
    flaky.write_faults.clear()


def test_a_collection_moves_and_the_ui_shows_it(ledger: Ledger, stores: Stores) -> None:
    """The flow ends Completed with the route switched; the server has its name, tables, progress and summary."""
    state = blue_green(stores.source, stores.target, approve="auto", slice_rows=100, return_state=True)

    assert state.is_completed(), state.message
    done = state.result()
    assert (done["state"], done["serves"]) == (State.SWITCHED, stores.target)
    assert stores.open_target().count() == ROWS

    run = flow_run_of(state)
    assert run.name == f"move {stores.source.replace('///', '/')} -> {stores.target.replace('///', '/')}"
    assert task_run_of(run, "copy slice 2").state_name == "Completed"
    shown = artifacts_of(run)
    assert all(json.loads(shown[key].data) for key in ("inventory", "plan", "verdict"))
    phases = ("inventory", "export", "load", "sync", "validate")
    assert [shown[f"progress-{phase}"].data for phase in phases] == [100.0] * len(phases)
    assert f"Migration {done['migration']}" in shown["summary"].data


@pytest.mark.slow
def test_an_error_that_may_pass_is_tried_again(ledger: Ledger, stores: Stores, flaky_source: str) -> None:
    """A step that raises RetryLater once runs twice, and the flow ends Completed."""
    flaky.faults.append(RetryLater("the server is restarting"))
    state = blue_green(flaky_source, stores.target, approve="auto", return_state=True)

    assert state.is_completed(), state.message
    assert task_run_of(flow_run_of(state), "inventory").run_count == 2


@pytest.mark.slow
def test_an_error_that_will_not_pass_ends_the_run_with_advice(
    ledger: Ledger, stores: Stores, flaky_source: str
) -> None:
    """Any other error fails the flow at once, with one message of what happened and what to do."""
    flaky.faults.append(StoreRefused("the key is wrong", advice="set the right one"))
    state = blue_green(flaky_source, stores.target, approve="auto", return_state=True)

    assert (state.is_failed(), state.message) == (True, "the key is wrong. set the right one")
    assert task_run_of(flow_run_of(state), "inventory").run_count == 1
    assert not stores.open_target().exists()


@pytest.mark.slow
def test_after_a_slice_failed_no_other_starts(ledger: Ledger, stores: Stores, flaky_source: str) -> None:
    """The error of the slice that failed ends the flow; what is left of the slices is for a resume, which finishes."""
    target = stores.target.replace("memory:", "flaky:")
    flaky.write_faults.append(StoreRefused("the disk is full"))
    state = blue_green(stores.source, target, approve="auto", slice_rows=50, workers=1, return_state=True)
    assert (state.is_failed(), state.message) == (True, "the disk is full")
    migration = ledger.migrations()[0].id
    assert [part.slice.number for part in ledger.slices(migration) if part.copied] == [0]

    done = blue_green(migration_id=migration, return_state=True)
    assert done.is_completed(), done.message
    assert done.result()["state"] == State.SWITCHED


@pytest.mark.slow
def test_retry_in_the_ui_goes_on_with_the_same_migration(ledger: Ledger, stores: Stores, flaky_source: str) -> None:
    """A flow run that starts anew finds the migration that it had registered, and makes no second one."""
    given = {"source": flaky_source, "target": stores.target, "approve": "auto"}
    flaky.faults.append(StoreRefused("the key is wrong"))
    run = flow_run_of(blue_green(**given, return_state=True))
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run.id, AwaitingRetry())
        again = client.read_flow_run(run.id)
    state = run_flow(blue_green, flow_run=again, parameters=given, return_type="state")

    assert state.is_completed(), state.message
    assert [one.state for one in ledger.migrations()] == [State.SWITCHED]


@pytest.mark.slow
def test_a_wrong_parameter_is_named(ledger: Ledger, stores: Stores) -> None:
    """A parameter that the configuration refuses ends the flow with a message that names it."""
    state = blue_green(stores.source, stores.target, workers=0, return_state=True)

    assert state.is_failed()
    assert "workers" in state.message
    assert ledger.migrations() == []


@pytest.mark.slow
def test_a_trial_is_never_switched(ledger: Ledger, stores: Stores) -> None:
    """With a limit the flow ends READY after a verdict, and the route stays."""
    state = blue_green(stores.source, stores.target, limit=50, approve="auto", return_state=True)

    assert state.is_completed(), state.message
    assert state.result()["state"] == State.READY
    assert stores.open_target().count() == 50
