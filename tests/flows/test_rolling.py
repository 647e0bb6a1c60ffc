"""Workspace by workspace as a flow, and some of them back."""

from __future__ import annotations

import numpy as np
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

from flows.rolling import rollback_workspaces, rolling
from flows.sync import sync
from tests.flows.helpers import flow_run_of
from tests.support.migrating import schema
from vecferry import address, batch
from vecferry.ledger import Ledger, State, workspace_key
from vecferry.model import IdKind
from vecferry.stores import registry

OLD, NEW = "memory:///flows_rolling_old", "memory:///flows_rolling_new"


@pytest.fixture
def old() -> str:
    """Two workspaces of five records each."""
    records = batch.make(
        [f"r{number}" for number in range(10)],
        IdKind.STRING,
        vectors={"": batch.dense_array(np.random.default_rng(1).normal(size=(10, 8)).astype(np.float32))},
        documents=[None] * 10,
        payloads=[b'{"tenant":"%s"}' % (b"a" if number < 5 else b"b") for number in range(10)],
    )
    with registry.open_target(address.parse(OLD)) as store:
        store.create(schema(), {})
        store.write(records)
    return OLD


@pytest.mark.slow
def test_waves_are_tasks_and_some_workspaces_go_back_by_a_flow_of_their_own(ledger: Ledger, old: str) -> None:
    """A fill and a switch for each wave; `rollback-workspaces` takes the one that is named."""
    state = rolling(old, NEW, by="tenant", wave=5, approve="auto", route="tenants", return_state=True)
    assert state.is_completed(), state.message
    done = state.result()
    assert done["state"] == State.SWITCHED
    with get_client(sync_client=True) as client:
        mine = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_of(state).id]))
        names = [run.name for run in client.read_task_runs(flow_run_filter=mine, limit=200)]
    assert sorted(name for name in names if "workspaces" in name) == [
        "fill workspaces",
        "fill workspaces",
        "find workspaces",
        "switch workspaces",
        "switch workspaces",
    ]
    assert sync(done["migration"], return_state=True).is_completed()

    back = rollback_workspaces(done["migration"], names=("a",), return_state=True)

    assert back.is_completed(), back.message
    assert back.result()["rolled_back"] == ['"a"']
    served = [ledger.ask_route("tenants", workspace_key(name)) for name in ("a", "b")]
    assert [one.url for one in served if one is not None] == [OLD, NEW]
    assert rolling(migration_id=done["migration"], return_state=True).is_completed()
