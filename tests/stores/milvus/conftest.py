"""One milvus-lite server for all tests of this folder that do not harm it."""

import os
from collections.abc import Iterator

import pytest

from tests.support.milvus_server import MilvusServer


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """A running server with an empty folder."""
    with MilvusServer(tmp_path_factory.mktemp("milvus") / "server") as server:
        yield server


@pytest.fixture(scope="session")
def server_url(request: pytest.FixtureRequest) -> str:
    """The base URL of collections on the server that the suite is held against: a real Milvus where one is named."""
    named = os.environ.get("VECFERRY_TEST_MILVUS_URL")
    return named or request.getfixturevalue("milvus").url
