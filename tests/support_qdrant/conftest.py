"""Clients of the Qdrant under test, on both wires, with collection names of their own."""

import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient

from tests.support.qdrant_server import QdrantServer, QdrantTarget, qdrant_target

Connect = Callable[..., QdrantClient]


def open_client(url: str, grpc_port: int, wire: str, api_key: str | None = None) -> QdrantClient:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        return QdrantClient(
            url=url,
            grpc_port=grpc_port,
            prefer_grpc=wire == "grpc",
            api_key=api_key,
            timeout=20,
            check_compatibility=False,
        )


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantTarget]:
    """One server for all tests that only look at answers; a real one if the environment names it."""
    with qdrant_target(tmp_path_factory.mktemp("qdrant")) as found:
        yield found


@pytest.fixture(params=["grpc", "rest"])
def wire(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def clients(target: QdrantTarget) -> Iterator[dict[str, QdrantClient]]:
    """One client for each wire; opening one costs more than most tests."""
    opened = {wire: open_client(target.url, target.grpc_port, wire, target.api_key) for wire in ("grpc", "rest")}
    yield opened
    for each in opened.values():
        each.close()


@pytest.fixture
def client(clients: dict[str, QdrantClient], wire: str) -> QdrantClient:
    """A client over one wire; the test runs once for each."""
    return clients[wire]


@pytest.fixture
def name(clients: dict[str, QdrantClient]) -> Iterator[str]:
    """A collection name that nobody else has; whatever bears it as a prefix is deleted afterwards."""
    unique = f"vecferry_test_{uuid.uuid4().hex}"
    yield unique
    for collection in clients["rest"].get_collections().collections:
        if collection.name.startswith(unique):
            clients["rest"].delete_collection(collection.name)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[QdrantServer]:
    """A loopback server of the test's own, for the log, the faults and restarts."""
    with QdrantServer(tmp_path / "server") as started:
        yield started


@pytest.fixture
def connect(server: QdrantServer) -> Iterator[Connect]:
    """Opens clients of the own server and closes them."""
    opened: list[QdrantClient] = []

    def open_one(wire: str = "grpc") -> QdrantClient:
        opened.append(open_client(server.url, server.grpc_port, wire))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()
