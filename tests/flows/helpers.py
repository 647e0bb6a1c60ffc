"""Collections for flow tests, and what the server recorded of a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import uuid4

from prefect import get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterName,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import Artifact, FlowRun, State, StateType, TaskRun

from vecferry.address import parse
from vecferry.batch import drop_hashes
from vecferry.contract import Target
from vecferry.stores import registry
from vecferry.testing.generators import collection_schema, records, single_vector

__all__ = ["Stores", "artifacts_of", "eventually", "flow_run_of", "make_stores", "task_run_of"]

T = TypeVar("T")
ROWS = 300
DEADLINE_S = 30.0
TERMINAL = TaskRunFilterStateType(any_=[StateType.COMPLETED, StateType.FAILED, StateType.CRASHED])


@dataclass(frozen=True, slots=True)
class Stores:
    """URLs of a filled source and of a target that does not exist yet."""

    source: str
    target: str

    def open_source(self) -> Target:
        """The source, for a test that changes it."""
        return registry.open_target(parse(self.source))

    def open_target(self) -> Target:
        """The target, to look behind the flow's back."""
        return registry.open_target(parse(self.target))


def make_stores() -> Stores:
    """Two names in memory; the source holds ROWS records."""
    name = uuid4().hex[:8]
    stores = Stores(f"memory:///docs-{name}", f"memory:///new-{name}")
    store = stores.open_source()
    vectors = single_vector(store.capabilities())
    store.create(collection_schema("docs", vectors, store.capabilities()), {})
    store.write(drop_hashes(records(vectors, store.capabilities(), ROWS)))
    return stores


def flow_run_of(state: State[Any]) -> FlowRun:
    """The flow run that ended in this state."""
    flow_run_id = state.state_details.flow_run_id
    assert flow_run_id is not None
    with get_client(sync_client=True) as client:
        return client.read_flow_run(flow_run_id)


def task_run_of(run: FlowRun, name: str) -> TaskRun:
    """A task run of a flow run that has ended. The server learns of task runs by events, a moment later."""
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))
    called = TaskRunFilter(name=TaskRunFilterName(any_=[name]), state=TaskRunFilterState(type=TERMINAL))
    with get_client(sync_client=True) as client:
        return eventually(
            lambda: next(iter(client.read_task_runs(flow_run_filter=mine, task_run_filter=called)), None),
            f"no task run {name!r}",
        )


def artifacts_of(run: FlowRun) -> dict[str, Artifact]:
    """The artifacts of a flow run by their keys."""
    with get_client(sync_client=True) as client:
        mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        return {artifact.key or "": artifact for artifact in client.read_artifacts(artifact_filter=mine)}


def eventually(look: Callable[[], T | None], otherwise: str, deadline_s: float = DEADLINE_S) -> T:
    """What `look` finds, as soon as it finds something. Fails at the deadline."""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        found = look()
        if found is not None:
            return found
        time.sleep(0.05)
    raise AssertionError(otherwise)
