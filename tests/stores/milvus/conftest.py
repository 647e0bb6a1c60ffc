"""One milvus-lite server for all tests of this folder that do not harm it, or the Milvus that the environment names.

`VECFERRY_TEST_MILVUS_URL` names a real server and `VECFERRY_TEST_MILVUS_TOKEN` its token; tests that need either are
collected with it alone. Without them, `test_referee.py` runs all of these beside a Milvus 2.3.5 of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from pymilvus import MilvusClient

from tests.support import milvus_referee
from tests.support.milvus_server import MilvusServer, RealServer, named_server
from tests.support.own_environment import OLD_MILVUS_LITE

collect_ignore = []
_NAMED = named_server()
if _NAMED is None:
    collect_ignore.append("test_real_server.py")
if _NAMED is None or not _NAMED.token:
    collect_ignore.append("test_tokens.py")
if _NAMED is not None or milvus_referee.why_not() is not None:
    collect_ignore.append("test_referee.py")
if OLD_MILVUS_LITE.why_not() is not None:
    collect_ignore.append("test_old_lite.py")


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    """A running milvus-lite server with an empty folder."""
    with MilvusServer(tmp_path_factory.mktemp("milvus") / "server") as server:
        yield server


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> RealServer:
    """The server that tests of any server are held against: a real Milvus where one is named."""
    if _NAMED is not None:
        return _NAMED
    lite: MilvusServer = request.getfixturevalue("milvus")
    return RealServer("127.0.0.1", lite.port, is_lite=True)


@pytest.fixture
def client(server: RealServer) -> Iterator[MilvusClient]:
    """Milvus's own client of that server."""
    with contextlib.closing(server.client()) as opened:
        yield opened
