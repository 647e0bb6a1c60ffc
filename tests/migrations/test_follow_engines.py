"""The old store after the switch between real engines, looked at and written by their own clients (S6, S8, S16)."""

from __future__ import annotations

import uuid
from pathlib import Path

import chromadb
import pytest
from chromadb.config import Settings
from qdrant_client import QdrantClient, models

from tests.migrations.test_follow import QUICK, figures
from tests.support.chroma_server import ChromaServer
from tests.support.migrating import Harness
from tests.support.qdrant_server import QdrantServer
from tests.support.raw_collections import Place, generate, make_source
from vecferry.errors import UnsafeRoute
from vecferry.ledger import State
from vecferry.mapping.ids import NAMESPACE
from vecferry.strategies.blue_green import copy_and_validate

DATA = generate(60, 8)


def point_of(record: str) -> str:
    """Where a record with a text for an id is in Qdrant."""
    return str(uuid.uuid5(NAMESPACE, record))


@pytest.mark.slow
def test_s6_a_chroma_server_follows_what_qdrants_client_writes(harness: Harness, tmp_path: Path) -> None:
    """Each sync brings it in; late writes of Chroma's client stay; the record that both changed is as Chroma has it."""
    with ChromaServer(tmp_path / "chroma") as chroma, QdrantServer(tmp_path / "qdrant") as server:
        old = make_source("chroma", Place(tmp_path, server.grpc_port, server.rest_port, chroma.port), "docs", DATA)
        ref = harness.migrate(old, f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}", **QUICK)
        client = QdrantClient(port=server.rest_port, check_compatibility=False)
        raw = chromadb.HttpClient(host="127.0.0.1", port=chroma.port, settings=Settings(anonymized_telemetry=False))
        docs = raw.get_collection("docs", embedding_function=None)

        client.set_payload("docs", {"title": "of Qdrant"}, points=[point_of("doc-1"), point_of("doc-5")])
        client.delete("docs", models.PointIdsList(points=[point_of("doc-2")]))
        docs.update(ids=["doc-3"], metadatas=[{"title": "late"}])
        docs.update(ids=["doc-5"], metadatas=[{"title": "of Chroma"}])
        done = harness.sync(ref)
        assert done.carried == 2
        assert done.back is not None
        assert "'doc-5'" in str(done.back.problem)
        born = models.PointStruct(id=point_of("born"), vector=[1.0] * 8, payload={"vecferry_id": "born", "year": 1})
        client.upsert("docs", [born])
        assert harness.sync(ref).carried == 1

        found = docs.get(include=["metadatas"])
        rows = dict(zip(found["ids"], found["metadatas"], strict=True))
        titles = [rows[name]["title"] for name in ("doc-1", "doc-3", "doc-5")]
        assert titles == ["of Qdrant", "late", "of Chroma"]
        assert "doc-2" not in rows
        assert rows["born"] == {"year": 1}
        counts = figures(harness, ref)["would_be"]
        assert [counts[word] for word in ("new", "changed", "deleted", "kept", "conflicts")] == [0, 0, 0, 1, 1]
        docs.update(ids=["doc-5"], metadatas=[{"title": "of Qdrant"}])
        client.close()
        assert harness.rollback(ref, prefer="old")["new"] == 0
        assert harness.migration(ref).state is State.ROLLED_BACK


@pytest.mark.slow
def test_s8_an_old_server_is_touched_first_when_the_approval_said_so(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that only reads is enough until then; it is refused before anything pauses, and does where it holds."""
    monkeypatch.setenv("OLD_KEY", "reader")
    with QdrantServer(tmp_path / "qdrant", "right", read_only_key="reader") as server:
        client = QdrantClient(port=server.rest_port, api_key="right", https=False, check_compatibility=False)
        client.create_collection("docs", vectors_config=models.VectorParams(size=4, distance=models.Distance.COSINE))
        rows = [models.PointStruct(id=number, vector=[1.0, number, 0, 0], payload={}) for number in range(20)]
        client.upsert("docs", rows)
        url = f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}"
        source = {"url": url, "api_key": {"env": "OLD_KEY"}}
        server.requests.clear()
        ref = harness.start(source, f"memory:///{tmp_path.name}", **QUICK)
        copy_and_validate(harness.runner, ref)
        harness.sync(ref)
        assert not server.requests.writes("docs")
        with pytest.raises(UnsafeRoute, match="the old store takes no writes"):
            harness.run(ref)
        assert harness.migration(ref).state is State.READY
        assert harness.ledger.pauses(ref.migration) == []
        held = harness.migrate(source, f"memory:///{tmp_path.name}-held", route="held", reverse="hold", **QUICK)
        assert harness.migration(held).state is State.SWITCHED
        monkeypatch.setenv("OLD_KEY", "right")
        server.requests.clear()
        harness.run(ref)
        assert harness.migration(ref).state is State.SWITCHED
        assert [one.method for one in server.requests.writes("docs")] == ["delete_points"]
        assert client.count("docs").count == 20
        client.close()
