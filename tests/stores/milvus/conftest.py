"""One milvus-lite server for all tests of this folder that do not harm it."""

from collections.abc import Iterator

import pytest

from tests.support.milvus_server import MilvusServer


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """A running server with an empty folder."""
    with MilvusServer(tmp_path_factory.mktemp("milvus") / "server") as server:
        yield server
