"""milvus-lite 2.5.1, whose files (`NAME.db`) the engine of today cannot read: its server, in its own environment."""

from __future__ import annotations

import subprocess
from pathlib import Path

import grpc

from tests.support.milvus_server import RealServer
from tests.support.own_environment import OLD_MILVUS_LITE
from tests.support.ports import free_port

__all__ = ["OldLiteServer"]

_READY_TIMEOUT_S = 30.0
_SCRIPT = """
import sys
from milvus_lite.server import Server
server = Server(sys.argv[1], address=sys.argv[2])
assert server.init() and server.start()
sys.stdin.read()
server.stop()
"""


class OldLiteServer:
    """`with OldLiteServer(file) as server`: a file of that version behind its own server, on loopback."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._place = RealServer("127.0.0.1", free_port())

    def __enter__(self) -> RealServer:
        address = f"{self._place.host}:{self._place.port}"
        command = [OLD_MILVUS_LITE.programs / "python", "-c", _SCRIPT, self._file, address]
        with self._file.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(list(map(str, command)), stdin=subprocess.PIPE, stdout=log, stderr=log)
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(timeout=_READY_TIMEOUT_S)
        return self._place

    def __exit__(self, *exc: object) -> None:
        self._process.communicate(timeout=_READY_TIMEOUT_S)
