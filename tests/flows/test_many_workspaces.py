"""Hundreds of workspaces really moved by the flow `rolling`, between two engines, held against a model.

The old store is a Milvus folder, whose dynamic field keeps any JSON, the new one a Qdrant server. Both are filled and
read by their own clients.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import TaskRunSort
from pymilvus import DataType, MilvusClient
from qdrant_client import QdrantClient

from flows import approval
from flows.rolling import rollback_workspaces, rolling
from tests.flows.helpers import eventually, flow_run_of
from tests.flows.test_approval import decide, form_of, meanwhile, paused_run
from tests.stores.milvus.raw import folder_client
from tests.support.qdrant_server import QdrantServer
from vecferry.ledger import DEFAULT_WORKSPACE, MISSING_WORKSPACE, Ledger, State, workspace_key

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

WORKSPACES = int(os.environ.get("VECFERRY_TEST_WORKSPACES", "500"))
WAVE = 10
DIMENSION = 8
ABSENT = object()
HOSTILE = [
    1, -7, 2**53, 1.5, "1", "1.5", True, False, "true", None, "null", ABSENT, "", " ", "a/b", "../a", "%2F", "a'b",
    'a"b', "a\\b", "日本 🚢", "é", "e\u0301", "A", "a", "x" * 300, ["a"], ["a", "b"], [1, None], {"a": 1}, "(default)",
]  # fmt: skip
"""Values that one or the other engine, a file name, a filter or a Prefect page might take for another."""

BACK = ("a/b", 1, None)
"""The workspaces that are taken back."""

Model = dict[str, tuple[Any, int]]
"""Of each id: the value of its field, and a number that tells its vector and its payload."""


def numbered(workspaces: int) -> Model:
    """Up to three records for each workspace: the hostile ones, and tenants of plain names up to their number."""
    values = [*HOSTILE, *(f"tenant-{number}" for number in range(workspaces - len(HOSTILE)))]
    found = [(value, at) for at, value in enumerate(values) for _ in range(1 + at % 3)]
    return {f"r{number}": (value, number) for number, (value, _) in enumerate(found)}


def vector(number: int) -> list[float]:
    return [float(value) for value in np.random.default_rng(number).normal(size=DIMENSION).astype(np.float32)]


def payload(value: Any, number: int) -> dict[str, Any]:
    return {"n": number} | ({} if value is ABSENT else {"tenant": value})


def plain(content: dict[str, Any]) -> str:
    """A payload so that 1, 1.0, "1" and true differ."""
    return json.dumps(content, sort_keys=True)


def expected(model: Model) -> dict[str, tuple[str, list[float]]]:
    return {name: (plain(payload(*said)), vector(said[1])) for name, said in model.items()}


@dataclass(frozen=True, slots=True)
class Stores:
    """Both stores by their own clients. A Milvus folder is one process's at a time: it is opened for each look."""

    folder: Path
    server: QdrantServer

    @property
    def old(self) -> str:
        return f"milvus+path://{self.folder / 'milvus'}/docs"

    @property
    def new(self) -> str:
        return f"qdrant://127.0.0.1:{self.server.grpc_port}/docs?rest_port={self.server.rest_port}"

    def fill(self, model: Model) -> None:
        with folder_client(self.folder / "milvus") as client:
            fields = client.create_schema(auto_id=False, enable_dynamic_field=True)
            fields.add_field("id", DataType.VARCHAR, is_primary=True, max_length=100)
            fields.add_field("vector", DataType.FLOAT_VECTOR, dim=DIMENSION)
            index = MilvusClient.prepare_index_params()
            index.add_index("vector", index_type="FLAT", metric_type="IP")
            client.create_collection("docs", schema=fields, index_params=index)
            rows = [{"id": name, "vector": vector(said[1]), **payload(*said)} for name, said in model.items()]
            client.insert("docs", rows)

    def in_old(self) -> dict[str, tuple[str, list[float]]]:
        with folder_client(self.folder / "milvus") as client:
            client.load_collection("docs")
            rows = client.query("docs", filter="", output_fields=["*"], limit=16_384, consistency_level="Strong")
            return {row.pop("id"): ([*map(float, row.pop("vector"))], plain(row))[::-1] for row in map(dict, rows)}

    def in_new(self) -> dict[str, tuple[str, list[float]]]:
        with self.raw_new() as client:
            points, _ = client.scroll("docs", limit=100_000, with_payload=True, with_vectors=True)
        found = {}
        for point in points:
            content = dict(point.payload or {})
            name = content.pop("vecferry_id")
            found[name] = (plain(content), point.vector)
        return found

    def change(self, name: str, number: int) -> None:
        """The application's own write into the new store."""
        place = str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, "urn:vecferry:id"), name))
        with self.raw_new() as client:
            client.set_payload("docs", {"n": number}, points=[place], wait=True)

    @contextmanager
    def raw_new(self) -> Iterator[QdrantClient]:
        client = QdrantClient(url=self.server.url, grpc_port=self.server.grpc_port, prefer_grpc=True)
        try:
            yield client
        finally:
            client.close()


def key_of(value: Any) -> str:
    return MISSING_WORKSPACE if value is ABSENT else workspace_key(value)


def task_names(run: FlowRun) -> Counter[str]:
    """How many task runs of each name there were; the server learns of the last ones a moment later."""
    mine = FlowRunFilter(id=FlowRunFilterId(any_=[run.id]))

    def look() -> Counter[str] | None:
        found, page = Counter[str](), 200
        while not found.total() % page:
            runs = client.read_task_runs(
                flow_run_filter=mine, sort=TaskRunSort.ID_DESC, limit=page, offset=found.total()
            )
            if not runs:
                break
            found.update(one.name for one in runs)
        return found if found["switch workspaces"] == found["fill workspaces"] > 0 else None

    with get_client(sync_client=True) as client:
        return eventually(look, "as many switches as fills")


def pauses(run: FlowRun) -> int:
    """How often a flow run waited for a person."""
    with get_client(sync_client=True) as client:
        return sum(state.name == "Paused" for state in client.read_flow_run_states(run.id))


@contextmanager
def set_at_the_end(event: threading.Event) -> Iterator[None]:
    try:
        yield
    finally:
        event.set()


def test_hundreds_of_workspaces_move_under_one_question_and_three_go_back(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is switched and holds what it held; one form, two tasks a wave; three return with their writes."""
    monkeypatch.setattr(approval, "POLL_S", 0.3)
    model = numbered(WORKSPACES)
    keys = {key_of(value) for value, _ in model.values()}
    assert len(keys) == WORKSPACES
    with QdrantServer(tmp_path / "qdrant") as server:
        stores = Stores(tmp_path, server)
        stores.fill(model)
        assert stores.in_old() == expected(model)
        forms, ended = list[str](), threading.Event()

        def person(client: SyncPrefectClient) -> None:
            while not ended.wait(0.5):
                if any(ledger.approvals(one.id) for one in ledger.migrations() if one.parent is None):
                    run = paused_run(client)
                    forms.append(form_of(client, run, "description"))
                    decide(client, run, "approve")
                    return

        with meanwhile(person), set_at_the_end(ended):
            state = rolling(
                stores.old, stores.new, by="tenant", wave=WAVE, approve_by="once", route="docs", return_state=True
            )
        assert state.is_completed(), state.message
        moved = state.result()["migration"]
        assert {one.key: one.state for one in ledger.workspaces(moved)} == dict.fromkeys(
            keys | {DEFAULT_WORKSPACE}, State.SWITCHED
        )
        assert stores.in_new() == expected(model)
        assert stores.in_old() == expected(model)

        waves = -(-WORKSPACES // WAVE) + 1  # the group of all others is filled alone
        names = task_names(flow_run_of(state))
        assert (names["fill workspaces"], names["switch workspaces"]) == (waves, waves)
        assert names.total() < 2 * waves + 20
        assert pauses(flow_run_of(state)) == len(ledger.approvals(moved)) == len(forms) == 1
        assert f"{WORKSPACES + 1:,} workspaces" in forms[0]

        changed = {}
        for value in BACK:
            name = next(name for name, (mine, _) in model.items() if key_of(mine) == key_of(value))
            changed[name] = (value, 10_000_000 + len(changed))
            stores.change(name, changed[name][1])
        back = rollback_workspaces(moved, names=tuple(json.dumps(value) for value in BACK), return_state=True)
        assert back.is_completed(), back.message
        assert set(back.result()["rolled_back"]) == {key_of(value) for value in BACK}
        served = {key: asked.url for key in keys if (asked := ledger.ask_route("docs", key)) is not None}
        assert served == {key: stores.old if key in map(key_of, BACK) else stores.new for key in keys}
        kept = {name: (plain(payload(*changed.get(name, said))), vector(said[1])) for name, said in model.items()}
        assert stores.in_new() == kept
        assert stores.in_old() == kept
