"""The cutover between real engines, written by their own clients between the phases."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import chromadb
import faiss
import numpy as np
import pytest
from chromadb.config import Settings
from qdrant_client import QdrantClient, models

from tests.support.chroma_server import ChromaServer
from tests.support.migrating import Harness
from tests.support.qdrant_server import QdrantServer
from tests.support.raw_collections import Place, generate, make_source
from vecferry.ledger import Direction, State
from vecferry.strategies import steps
from vecferry.strategies.runner import Ref

DATA = generate(50, 8)


def before(harness: Harness, acts: dict[Any, Any]) -> None:
    """Do something once, right before each of these steps."""
    run = harness.runner.run

    def watched(step: Any, ref: Ref, *args: Any, **kwargs: Any) -> Any:
        acts.pop(step, lambda: None)()
        return run(step, ref, *args, **kwargs)

    harness.runner.run = watched  # type: ignore[method-assign]


def payloads(client: QdrantClient, name: str) -> dict[str, dict[str, Any]]:
    """Every payload, by the original id."""
    points, _ = client.scroll(name, limit=1000, with_payload=True)
    return {(point.payload or {}).get("vecferry_id", str(point.id)): dict(point.payload or {}) for point in points}


@pytest.mark.slow
def test_s10_chroma_server_to_qdrant_over_grpc_with_writes_before_and_under_the_pause(
    harness: Harness, tmp_path: Path
) -> None:
    """What Chroma's own client adds, changes and deletes until the last look is in Qdrant when the route moves."""
    with ChromaServer(tmp_path / "chroma") as chroma, QdrantServer(tmp_path / "qdrant") as server:
        old = make_source("chroma", Place(tmp_path, server.grpc_port, server.rest_port, chroma.port), "docs", DATA)
        new = f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}"
        settings = Settings(anonymized_telemetry=False)
        raw = chromadb.HttpClient(host="127.0.0.1", port=chroma.port, settings=settings)
        docs = raw.get_collection("docs", embedding_function=None)
        first, second, third = docs.get(limit=3)["ids"]

        def while_the_question_waits() -> None:
            docs.add(ids=["born"], embeddings=[[0.5] * 8], metadatas=[{"title": "born while it waited"}])
            docs.delete(ids=[first])

        def under_the_pause() -> None:
            docs.update(ids=[second], metadatas=[{"title": "changed under the pause"}])
            docs.delete(ids=[third])

        before(harness, {steps.preflight_switch: while_the_question_waits, steps.is_settled: under_the_pause})
        ref = harness.start(old, new, sync={"absence_wait_s": 0})
        harness.run(ref)
        assert harness.migration(ref).state is State.SWITCHED
        held = payloads(QdrantClient(port=server.rest_port, check_compatibility=False), "docs")
        assert held.keys() == set(docs.get()["ids"])
        assert held["born"]["title"] == "born while it waited"
        assert held[second]["title"] == "changed under the pause"


@pytest.mark.slow
@pytest.mark.parametrize("is_over", [False, True])
def test_s13_an_alias_that_did_not_move_before_the_kill_follows_after_it(
    harness: Harness, tmp_path: Path, is_over: bool
) -> None:
    """Killed after the commit: the alias follows. Was the pause over, what was written by the old alias comes first."""
    with QdrantServer(tmp_path / "qdrant") as server:
        client = QdrantClient(port=server.rest_port, check_compatibility=False)
        client.create_collection("one", vectors_config=models.VectorParams(size=4, distance=models.Distance.COSINE))
        points = [models.PointStruct(id=number, vector=[1.0, number, 0, 0], payload={}) for number in range(20)]
        client.upsert("one", points)
        moved = models.CreateAlias(collection_name="one", alias_name="live")
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=moved)])
        url = f"qdrant://127.0.0.1:{server.grpc_port}/%s?rest_port={server.rest_port}"
        ref = harness.start(url % "one", url % "two", route="live", sync={"absence_wait_s": 0, "driver_timeout_s": 0})
        assert harness.run_until_killed(ref, "cutover.switched=kill") == -9
        assert harness.migration(ref).state is State.SWITCHING
        if is_over:
            connection = sqlite3.connect(harness.folder / "ledger.db", isolation_level=None)
            connection.execute("UPDATE vecferry_pauses SET paused_until = paused_at")
            connection.close()
            client.upsert("live", [models.PointStruct(id=99, vector=[0, 1, 0, 0], payload={"late": True})])
        harness.run(ref)
        assert harness.migration(ref).state is State.SWITCHED
        [alias] = client.get_collection_aliases("two").aliases
        assert alias.alias_name == "live"
        assert client.count("live").count == (21 if is_over else 20)


def test_s4_faiss_to_qdrant_edge_carries_over_a_file_that_was_replaced(harness: Harness, tmp_path: Path) -> None:
    """The index was replaced while the question waited: read under the pause once, and its new rows are there."""
    place = tmp_path / "docs.index"
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)

    def store(rows: int) -> None:
        index = faiss.IndexFlatL2(8)
        index.add(vectors[:rows])
        faiss.write_index(index, str(tmp_path / "aside"))
        (tmp_path / "aside").replace(place)

    store(25)
    before(harness, {steps.preflight_switch: lambda: store(30)})
    target = f"qdrant+edge://{tmp_path}/edge/docs"
    ref = harness.start(f"faiss://{place}", target)
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert len(harness.records(target)) == 30
    notes = [one.note for one in harness.ledger.passes(ref.migration, Direction.FORWARD)]
    assert [(note["new"], note.get("unread", False)) for note in notes] == [(5, False), (0, False), (0, True)]
