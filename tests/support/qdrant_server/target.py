"""Which Qdrant the tests talk to: the loopback server, or a real one named by the environment."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .server import QdrantServer

URL_VARIABLE = "VECFERRY_TEST_QDRANT_URL"
GRPC_PORT_VARIABLE = "VECFERRY_TEST_QDRANT_GRPC_PORT"
API_KEY_VARIABLE = "VECFERRY_TEST_QDRANT_API_KEY"
DEFAULT_GRPC_PORT = 6334


@dataclass(frozen=True)
class QdrantTarget:
    """Where a Qdrant answers, and whether it is a real one."""

    url: str
    grpc_port: int
    api_key: str | None
    is_real: bool


@contextmanager
def qdrant_target(folder: Path) -> Iterator[QdrantTarget]:
    """The server in `VECFERRY_TEST_QDRANT_URL`, else a loopback server on `folder` for as long as the block lasts.

    On a real server the tests share one name space: name collections uniquely and delete them.
    """
    if url := os.environ.get(URL_VARIABLE):
        port = int(os.environ.get(GRPC_PORT_VARIABLE, DEFAULT_GRPC_PORT))
        yield QdrantTarget(url, port, os.environ.get(API_KEY_VARIABLE), is_real=True)
        return
    with QdrantServer(folder) as server:
        yield QdrantTarget(server.url, server.grpc_port, None, is_real=False)
