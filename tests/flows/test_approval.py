"""The question before the switch, answered as a person would: through the server's API or in the ledger."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from prefect import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateName
from prefect.client.schemas.objects import FlowRun

from flows.blue_green import blue_green
from tests.flows.helpers import Stores, eventually
from vecferry.ledger import Ledger, State
from vecferry.operations import migrations

pytestmark = pytest.mark.xdist_group("prefect")


def aside(work: Callable[[], None]) -> Future[None]:
    """Run something beside the flow, which has this thread; it knows the same server."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(contextvars.copy_context().run, work)


def paused_run() -> FlowRun:
    """The one flow run that waits for an answer, once it does."""
    waiting = FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Paused"])))
    with get_client(sync_client=True) as client:

        def look() -> FlowRun | None:
            found = client.read_flow_runs(flow_run_filter=waiting)
            return found[0] if found and has_form(found[0]) else None

        return eventually(look, "no flow run is paused")


def has_form(run: FlowRun) -> bool:
    """Whether the form of a paused run is there already."""
    assert run.state is not None
    keys = run.state.state_details.run_input_keyset
    with get_client(sync_client=True) as client:
        return bool(keys) and client._client.get(f"/flow_runs/{run.id}/input/{keys['schema']}").status_code == 200


def answer(run: FlowRun, run_input: dict[str, Any]) -> int:
    """Resume with an answer, as the UI does; the HTTP status."""
    with get_client(sync_client=True) as client:
        done = client._client.post(f"/flow_runs/{run.id}/resume", json={"run_input": run_input})
        return int(done.status_code)
