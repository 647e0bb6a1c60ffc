"""A loopback Qdrant for the whole session; every test has collections of its own in it."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from qdrant_client import QdrantClient

from tests.support.qdrant_server import QdrantServer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantServer]:
    """The server."""
    with QdrantServer(tmp_path_factory.mktemp("qdrant")) as running:
        yield running


@pytest.fixture(scope="session")
def raw(server: QdrantServer) -> Iterator[QdrantClient]:
    """The official client over REST: what any other program would see."""
    client = QdrantClient(url=server.url, check_compatibility=False)
    yield client
    client.close()


@pytest.fixture
def unique() -> str:
    """A collection name that no other test has."""
    return f"c{uuid4().hex}"
