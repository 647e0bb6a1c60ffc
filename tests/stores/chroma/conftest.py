"""One Chroma server for all tests of this folder that do not harm it."""

from collections.abc import Iterator

import pytest

from tests.support.chroma_server import ChromaServer


@pytest.fixture(scope="session")
def chroma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChromaServer]:
    """A running server with an empty folder."""
    with ChromaServer(tmp_path_factory.mktemp("chroma") / "server") as server:
        yield server
