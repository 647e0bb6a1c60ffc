"""The alias of `docs/stores/qdrant.md`: it follows the route there and back, on a server."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from tests.docs.pages import ROOT, blocks
from tests.support.qdrant_server.server import QdrantServer
from vecferry.cli.main import main
from vecferry.ledger import Ledger

HOST = "qdrant://localhost:6334/"


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


def command(server: QdrantServer) -> list[str]:
    """The page's command, to this server."""
    page = ROOT / "docs" / "stores" / "qdrant.md"
    line = next(block.body for block in blocks(page) if "test_alias.py" in block.not_run).removeprefix("$ vecferry ")
    return [place(server, word.removeprefix(HOST)) if word.startswith(HOST) else word for word in shlex.split(line)]


def place(server: QdrantServer, collection: str) -> str:
    """The URL of a collection of this server."""
    rest_port = server.url.rpartition(":")[2]
    return f"qdrant://127.0.0.1:{server.grpc_port}/{collection}?rest_port={rest_port}"


def fill(client: QdrantClient) -> None:
    """Write the old collection as an application would."""
    vectors = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)
    client.create_collection("docs_v1", models.VectorParams(size=8, distance=models.Distance.DOT))
    points = [
        models.PointStruct(id=row, vector=vector.tolist(), payload={"n": row}) for row, vector in enumerate(vectors)
    ]
    client.upsert("docs_v1", points, wait=True)


def serving(client: QdrantClient) -> str | None:
    """The collection that the alias names now."""
    return next((item.collection_name for item in client.get_aliases().aliases if item.alias_name == "docs"), None)


@pytest.mark.slow
def test_the_alias_follows_the_route_there_and_back(
    server: QdrantServer, client: QdrantClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the switch the alias names the new collection, after the rollback the old one; neither is dropped."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VECFERRY_LEDGER", raising=False)
    fill(client)
    assert main(command(server)) == 0
    assert serving(client) == "docs_v2"
    [migration] = Ledger.open().migrations()
    assert main(["rollback", migration.id]) == 0
    assert serving(client) == "docs_v1"
    assert {item.name for item in client.get_collections().collections} == {"docs_v1", "docs_v2"}
