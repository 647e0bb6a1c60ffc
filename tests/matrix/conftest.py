"""Running servers for the whole matrix, and each source written once by its engine's own client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from tests.support.chroma_server import ChromaServer
from tests.support.qdrant_server import QdrantServer
from tests.support.raw_collections import Place, RawData, generate, make_source


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A folder, a Qdrant loopback server and a real Chroma server."""
    folder = tmp_path_factory.mktemp("matrix")
    with QdrantServer(folder / "qdrant-server") as qdrant, ChromaServer(folder / "chroma-server") as chroma:
        yield Place(folder, qdrant.grpc_port, qdrant.rest_port, chroma.port)


@pytest.fixture(scope="session")
def data() -> RawData:
    """300 records."""
    return generate(300, 16)


@pytest.fixture(scope="session")
def source_of(place: Place, data: RawData) -> Callable[[str], str]:
    """The URL of the source of a kind, made on first use."""

    @cache
    def make(kind: str) -> str:
        return make_source(kind, place, f"source-{kind.replace('+', '-')}", data)

    return make
