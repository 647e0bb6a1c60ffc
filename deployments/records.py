"""What a Prefect server recorded of a flow run, as sheets: steps, and the tables that the run left."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from uuid import UUID

from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
)
from prefect.client.schemas.objects import TaskRun
from prefect.client.schemas.sorting import TaskRunSort

from vecferry.strategies.sheets import Sheet

__all__ = ["steps_sheet", "table_sheet"]

EVENTS_TIMEOUT_S = 20.0
"""The server learns of task runs by events, which may come after the flow's end."""


def steps_sheet(flow_run_id: UUID, title: str) -> Sheet:
    """Every step of a flow run in order: how it ended, and how long it took."""
    with get_client(sync_client=True) as client:
        runs = _settled(client, flow_run_id)
    rows = tuple((run.name, run.state_name or "", f"{run.total_run_time.total_seconds():.2f}") for run in runs)
    return Sheet("steps", title, ("step", "state", "seconds"), rows)


def table_sheet(flow_run_id: UUID, key: str) -> Sheet:
    """A table among the artifacts of a flow run."""
    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]), key=ArtifactFilterKey(any_=[key]))
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=mine)[0]
    table: list[dict[str, str]] = json.loads(str(found.data))
    title, _, note = (found.description or "").removeprefix("### ").partition("\n\n")
    rows = tuple(tuple(row.values()) for row in table)
    return Sheet(key, title, tuple(table[0]) if table else (), rows, note)


def _settled(client: SyncPrefectClient, flow_run_id: UUID) -> list[TaskRun]:
    """The task runs once all of them have ended and no more appear, or as far as the server knows them."""
    before: list[TaskRun] = []
    for runs in _looks(client, flow_run_id):
        ended = runs and all(run.state is not None and run.state.is_final() for run in runs)
        if ended and len(runs) == len(before):
            return runs
        before = runs
    return before


def _looks(client: SyncPrefectClient, flow_run_id: UUID) -> Iterator[list[TaskRun]]:
    end = time.monotonic() + EVENTS_TIMEOUT_S
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    while time.monotonic() < end:
        yield client.read_task_runs(flow_run_filter=mine, sort=TaskRunSort.EXPECTED_START_TIME_ASC)
        time.sleep(0.3)
