"""A rolling migration between real engines, written by their own clients between its phases, held against a model."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import chromadb
import numpy as np
import pytest
from chromadb.config import Settings
from qdrant_client import QdrantClient, models

from tests.support.chroma_server import ChromaServer
from tests.support.migrating import Harness, schema
from tests.support.qdrant_server import QdrantServer
from tests.support.tenants import before
from vecferry import address, batch
from vecferry.errors import DataDiffer
from vecferry.ledger import State, workspace_key
from vecferry.model import IdKind, Metric, RecordId
from vecferry.operations import routes, workspaces
from vecferry.stores import registry
from vecferry.strategies import waves
from vecferry.strategies.runner import Ref

SIZES = {"a": 6, "b": 8, "c": 10, "d": 12, "e": 14}
Model = dict[str, tuple[str, int]]
"""What the application holds true: of each id the workspace and a number."""


class Application:
    """One that writes each workspace where its route leads, by the engines' own clients, and keeps what it did."""

    def __init__(self, harness: Harness, chroma: ChromaServer, server: QdrantServer) -> None:
        self.harness, self.model = harness, Model()
        settings = Settings(anonymized_telemetry=False)
        raw = chromadb.HttpClient(host="127.0.0.1", port=chroma.port, settings=settings)
        self.old = raw.create_collection("docs", embedding_function=None, metadata={"hnsw:space": "cosine"})
        self.qdrant = QdrantClient(url=server.url, grpc_port=server.grpc_port, prefer_grpc=True)

    def serves_old(self, workspace: str) -> bool:
        """Where a workspace is written now."""
        found = self.harness.ledger.ask_route("docs", workspace_key(workspace))
        return found is None or found.url.startswith("chroma")

    def put(self, name: str, workspace: str, number: int) -> None:
        """Write a record of a workspace, new or not, where that is served."""
        self.model[name] = (workspace, number)
        vector = np.random.default_rng(number).normal(size=8).astype(np.float32).tolist()
        payload = {"workspace_id": workspace, "n": number}
        if self.serves_old(workspace):
            self.old.upsert(ids=[name], embeddings=[vector], metadatas=[payload])
        else:
            point = models.PointStruct(id=place_of(name), vector=vector, payload={**payload, "vecferry_id": name})
            self.qdrant.upsert("docs", [point], wait=True)

    def remove(self, name: str) -> None:
        """Delete a record where its workspace is served."""
        workspace, _ = self.model.pop(name)
        if self.serves_old(workspace):
            self.old.delete(ids=[name])
        else:
            self.qdrant.delete("docs", models.PointIdsList(points=[place_of(name)]), wait=True)

    def move(self, name: str, workspace: str) -> None:
        """Give a record to another workspace: in place where one store serves both, else from store to store."""
        before, number = self.model[name]
        if self.serves_old(before) is not self.serves_old(workspace):
            self.remove(name)
        self.put(name, workspace, number)

    def served(self) -> Model:
        """What readers find: of each workspace what the store that serves it holds of it."""
        seen = [(name, value) for name, value in self._in_old() if self.serves_old(value[0])]
        seen += [(name, value) for name, value in self._in_new() if not self.serves_old(value[0])]
        assert len(dict(seen)) == len(seen), "a record is served twice"
        return dict(seen)

    def _in_old(self) -> Iterator[tuple[str, tuple[str, int]]]:
        got = self.old.get(include=["metadatas"])
        for name, payload in zip(got["ids"], got["metadatas"] or [], strict=True):
            yield name, (str(payload["workspace_id"]), int(str(payload["n"])))

    def _in_new(self) -> Iterator[tuple[str, tuple[str, int]]]:
        points, _ = self.qdrant.scroll("docs", limit=1000, with_payload=True)
        for point in points:
            payload = point.payload or {}
            yield payload["vecferry_id"], (payload["workspace_id"], payload["n"])


def place_of(name: str) -> str:
    """The id under which a text id stands in Qdrant."""
    return str(uuid.uuid5(uuid.uuid5(uuid.NAMESPACE_URL, "urn:vecferry:id"), name))


def states(harness: Harness, ref: Ref) -> dict[str, State]:
    return {one.key: one.state for one in harness.ledger.workspaces(ref.migration)}


@pytest.mark.slow
def test_s19_s20_s21_five_workspaces_move_while_records_change_theirs_and_one_goes_back(
    harness: Harness, tmp_path: Path
) -> None:
    """Chroma server to Qdrant over gRPC: every reader finds, at each stop, exactly what the application wrote."""
    with ChromaServer(tmp_path / "chroma") as chroma, QdrantServer(tmp_path / "qdrant") as server:
        app = Application(harness, chroma, server)
        for workspace, size in SIZES.items():
            for number in range(size):
                app.put(f"{workspace}-{number}", workspace, number)

        def while_two_are_served_by_the_new_store() -> None:
            assert [app.serves_old(workspace) for workspace in SIZES] == [False, False, True, True, True]
            app.put("a-0", "a", 100)
            app.move("b-1", "a")
            app.move("c-1", "d")
            app.move("d-1", "e")
            app.move("e-1", "a")
            app.move("a-1", "e")
            app.remove("d-2")
            app.put("z-0", "z", 7)
            assert app.served() == app.model

        def before_the_switch_of_d() -> None:
            app.move("d-3", "e")
            app.move("e-2", "d")
            app.move("d-4", "c")

        acts = {
            (waves.fill_wave, 3): while_two_are_served_by_the_new_store,
            (waves.switch_wave, 4): before_the_switch_of_d,
        }
        before(harness, acts)
        new = f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}"
        rolling = {"wave": 1}
        ref = harness.migrate(
            f"{chroma.url}/docs", new, "rolling", rolling=rolling, sync={"absence_wait_s": 0, "driver_timeout_s": 0}
        )
        assert set(states(harness, ref).values()) == {State.SWITCHED}
        assert harness.migration(ref).state is State.SWITCHED
        assert app.served() == app.model
        assert not app.serves_old("z")
        assert not acts, "each of these was done"

        app.put("b-3", "b", 300)
        app.put("b-new", "b", 8)
        app.remove("b-4")
        app.move("b-5", "c")
        workspaces.roll_back(harness.runner, ref, ["b"], routes.settlement())
        assert states(harness, ref)['"b"'] is State.ROLLED_BACK
        assert [app.serves_old(workspace) for workspace in SIZES] == [False, True, False, False, False]
        assert app.served() == app.model
        app.put("b-6", "b", 600)
        app.put("c-2", "c", 200)
        assert app.served() == app.model


@pytest.mark.slow
def test_a_load_that_broke_off_leaves_no_index_off_in_a_store_that_serves(harness: Harness, tmp_path: Path) -> None:
    """Qdrant builds indexes again before the first workspace switches, and while the broken one is loaded later."""

    def record(name: str, workspace: str, value: float) -> None:
        vectors = {"": batch.dense_array(np.full((1, 8), value, dtype=np.float32))}
        payload = b'{"workspace_id":"%s"}' % workspace.encode()
        with registry.open_target(address.parse("memory:///broken")) as store:
            store.write(batch.make([name], IdKind.STRING, vectors=vectors, documents=[None], payloads=[payload]))

    with registry.open_target(address.parse("memory:///broken")) as store:
        store.create(schema(metric=Metric.DOT), {})
    for name, workspace in (("a0", "a"), ("b0", "b"), ("b1", "b")):
        record(name, workspace, 0.5)
    with QdrantServer(tmp_path / "qdrant") as server:
        client = QdrantClient(url=server.url, grpc_port=server.grpc_port, prefer_grpc=True)

        def threshold() -> int | None:
            return client.get_collection("docs").config.optimizer_config.indexing_threshold

        before(harness, {(waves.fill_wave, 1): lambda: record("b2", "b", float("nan"))})
        new = f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}"
        ref = harness.start("memory:///broken", new, "rolling", sync={"absence_wait_s": 0, "driver_timeout_s": 0})
        with pytest.raises(DataDiffer, match="NaN"):
            harness.run(ref)
        found = states(harness, ref)
        assert (found['"a"'], found['"b"']) == (State.SWITCHED, State.COPYING)
        assert threshold() != 0
        with registry.open_target(address.parse("memory:///broken")) as store:
            store.delete(batch.ids_batch([RecordId(IdKind.STRING, "b2")]))
        record("b2", "b", 0.25)
        with pytest.raises(DataDiffer, match="NaN"):
            harness.run(ref)
        workspaces.retry(harness.runner, ref, ["b"])
        harness.run(ref)
        assert set(states(harness, ref).values()) == {State.SWITCHED}
        assert (threshold() != 0, client.count("docs", exact=True).count) == (True, 4)
