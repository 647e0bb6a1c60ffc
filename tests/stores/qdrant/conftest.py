"""A loopback Qdrant for the whole session; every test has collections of its own in it.

The conformance suite runs against a real server instead where `VECFERRY_TEST_QDRANT_URL` names one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from qdrant_client import QdrantClient

from tests.support.qdrant_server import QdrantServer, QdrantTarget, qdrant_target
from tests.support.qdrant_server.target import URL_VARIABLE


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantServer]:
    """The loopback server, for tests that order faults or read the log of requests."""
    with QdrantServer(tmp_path_factory.mktemp("qdrant")) as running:
        yield running


@pytest.fixture(scope="session")
def raw(server: QdrantServer) -> Iterator[QdrantClient]:
    """The official client over REST: what any other program sees of the loopback server."""
    client = QdrantClient(url=server.url, check_compatibility=False)
    yield client
    client.close()


@pytest.fixture(scope="session")
def qdrant(request: pytest.FixtureRequest) -> Iterator[QdrantTarget]:
    """The server that the conformance suite runs against."""
    if URL_VARIABLE in os.environ:
        with qdrant_target(Path()) as real:
            yield real
    else:
        loopback: QdrantServer = request.getfixturevalue("server")
        yield QdrantTarget(loopback.url, loopback.grpc_port, None, is_real=False)


@pytest.fixture(scope="session")
def qdrant_raw(qdrant: QdrantTarget) -> Iterator[QdrantClient]:
    """The official client of that server, over REST."""
    client = QdrantClient(url=qdrant.url, api_key=qdrant.api_key, check_compatibility=False)
    yield client
    client.close()


@pytest.fixture
def unique() -> str:
    """A collection name that no other test has."""
    return f"vecferry_test_{uuid4().hex}"


@pytest.fixture
def prefix(qdrant_raw: QdrantClient, unique: str) -> Iterator[str]:
    """The beginning of collection names; what bears it is deleted after the test."""
    yield unique
    for collection in qdrant_raw.get_collections().collections:
        if collection.name.startswith(unique):
            qdrant_raw.delete_collection(collection.name)
