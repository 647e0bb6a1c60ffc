"""The end of a migration between servers: late writes by their own clients, aliases, what those clients see then."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from tests.support.application import SECRET, Application
from tests.support.chroma_server import ChromaServer
from tests.support.migrating import Harness
from tests.support.qdrant_server.server import QdrantServer
from tests.support.raw_collections import Place, generate, make_source
from vecferry.errors import DataDiffer, UnsafeRoute
from vecferry.ledger import State
from vecferry.operations import ending
from vecferry.operations.standing import standing

AT_ONCE = {"absence_wait_s": 0}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[QdrantServer]:
    """An empty server."""
    with QdrantServer(tmp_path / "server") as found:
        yield found


@pytest.fixture
def client(server: QdrantServer) -> Iterator[QdrantClient]:
    """The official client, which looks behind the store's back."""
    with contextlib.closing(QdrantClient(url=server.url, grpc_port=server.grpc_port, prefer_grpc=True)) as found:
        yield found


def place(server: QdrantServer, collection: str) -> str:
    """The URL of a collection of this server."""
    return f"qdrant://127.0.0.1:{server.grpc_port}/{collection}?rest_port={server.url.rpartition(':')[2]}"


def fill(client: QdrantClient, name: str) -> None:
    """Write a collection as an application would."""
    vectors = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)
    client.create_collection(name, models.VectorParams(size=8, distance=models.Distance.DOT))
    points = [
        models.PointStruct(id=row, vector=vector.tolist(), payload={"n": row}) for row, vector in enumerate(vectors)
    ]
    client.upsert(name, points, wait=True)


def names(client: QdrantClient) -> set[str]:
    return {item.name for item in client.get_collections().collections}


@pytest.mark.slow
def test_s23_an_alias_keeps_the_collection_that_it_leads_to(
    harness: Harness, server: QdrantServer, client: QdrantClient
) -> None:
    """Somebody's own alias on the old collection stops the drop; without it only the old one goes."""
    fill(client, "docs_v1")
    ref = harness.migrate(place(server, "docs_v1"), place(server, "docs_v2"), route="docs", sync=AT_ONCE)
    assert not ending.complete(harness.runner, ref).late
    alias = models.CreateAlias(collection_name="docs_v1", alias_name="reports")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    with pytest.raises(UnsafeRoute, match="alias 'reports'"):
        ending.decommission(harness.runner, ref, "docs_v1")
    assert names(client) == {"docs_v1", "docs_v2"}
    gone = models.DeleteAlias(alias_name="reports")
    client.update_collection_aliases([models.DeleteAliasOperation(delete_alias=gone)])
    ending.decommission(harness.runner, ref, "docs_v1")
    assert names(client) == {"docs_v2"}
    assert client.count("docs_v2", exact=True).count == 50


@pytest.mark.slow
def test_s24_an_alias_that_was_moved_by_hand_is_seen(
    harness: Harness, server: QdrantServer, client: QdrantClient
) -> None:
    """The observed alias is another one than the recorded: status says so, and complete is refused."""
    fill(client, "docs_v1")
    ref = harness.migrate(place(server, "docs_v1"), place(server, "docs_v2"), route="docs", sync=AT_ONCE)
    assert standing(harness.ledger, harness.migration(ref)).verdict(harness.migration(ref)) is None
    back = models.CreateAlias(collection_name="docs_v1", alias_name="docs")
    client.update_collection_aliases(
        [
            models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name="docs")),
            models.CreateAliasOperation(create_alias=back),
        ]
    )
    found = standing(harness.ledger, harness.migration(ref))
    assert found.verdict(harness.migration(ref)) is not None
    assert "alias serves" in found.differences[0]
    with pytest.raises(UnsafeRoute, match="alias serves"):
        ending.complete(harness.runner, ref)
    assert harness.migration(ref).state is State.SWITCHED


@pytest.mark.slow
def test_s22_an_application_that_serves_another_store_blocks_complete(
    harness: Harness, server: QdrantServer, client: QdrantClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application is asked: while it says another URL than the ledger, the way back stays."""
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    fill(client, "docs_v1")
    with Application() as application:
        application.memory.url = place(server, "docs_v1")
        hook = {"webhook": application.hook, "secret": {"env": "HOOK_SECRET"}}
        every = dict.fromkeys(("pause", "release", "switch", "read_back"), hook)
        hooks = {**every, "write_timeout_s": 0}
        target = f"{place(server, 'docs_v2')}"
        ref = harness.migrate(place(server, "docs_v1"), target, route="docs", sync=AT_ONCE, hooks=hooks)
        assert application.memory.url == target
        application.memory.url = "qdrant://elsewhere:6334/docs"
        with pytest.raises(UnsafeRoute, match="hook serves qdrant://elsewhere"):
            ending.complete(harness.runner, ref)
        application.memory.url = target
        ending.complete(harness.runner, ref)
    assert harness.migration(ref).state is State.COMPLETED


@pytest.mark.slow
def test_s14_late_writes_to_a_chroma_server_are_listed_and_its_collection_goes_last(
    harness: Harness, server: QdrantServer, client: QdrantClient, tmp_path: Path
) -> None:
    """What Chroma's client wrote behind the switch blocks the end; with its digest the old collection is dropped."""
    with ChromaServer(tmp_path / "chroma") as chroma:
        source = make_source("chroma", Place(tmp_path, chroma_port=chroma.port), "docs", generate(120, 8))
        ref = harness.migrate(source, place(server, "docs"), metric="cosine", sync=AT_ONCE)
        with contextlib.closing(chroma.client()) as raw:
            collection = raw.get_collection("docs", embedding_function=None)
            first = collection.get(limit=2, include=["embeddings"])
            collection.delete([first["ids"][0]])
            collection.update([first["ids"][1]], metadatas=[{"late": True}])
            collection.add(["late-1"], embeddings=[[0.5] * 8], documents=["late"])
            with pytest.raises(DataDiffer, match=r"1 new.*'late-1'.*1 changed.*1 gone") as found:
                ending.complete(harness.runner, ref)
            digest = found.value.advice.rpartition("--accept-late ")[2]
            assert ending.complete(harness.runner, ref, digest).late
            with pytest.raises(DataDiffer):
                ending.decommission(harness.runner, ref, "docs")
            ended = ending.decommission(harness.runner, ref, "docs", digest)
            assert ended.dropped == source
            assert [item.name for item in raw.list_collections()] == []
    assert client.count("docs", exact=True).count == 120
