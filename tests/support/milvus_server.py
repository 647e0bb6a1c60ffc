"""Servers for tests: `milvus-lite server` on a free loopback port, and the real Milvus that the environment names."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote

import grpc
from pymilvus import MilvusClient

from tests.support.ports import free_port
from vecferry.address import Address, parse

__all__ = ["MilvusServer", "RealServer", "client_of", "named_server"]

_READY_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.05


class MilvusServer:
    """`with MilvusServer(folder) as server`: the server of the milvus-lite package, on `server.port`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The base URL of collections."""
        return f"milvus://127.0.0.1:{self.port}"

    @property
    def _log(self) -> Path:
        return self.folder.with_name(self.folder.name + ".log")

    def start(self) -> None:
        """Start it, on the port that it had before if it had one, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        command = [Path(sys.executable).with_name("milvus-lite"), "server", "--data-dir", self.folder]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*map(str, command), "--host", "127.0.0.1", "--port", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self._wait()

    def _wait(self) -> None:
        end_s = time.monotonic() + _READY_TIMEOUT_S
        while not self._answers():
            if time.monotonic() > end_s or self._process is None or self._process.poll() is not None:
                self.stop()
                raise RuntimeError(f"`milvus-lite server` did not start: {self._log.read_text()[-2000:]}")
            time.sleep(_POLL_S)

    def _answers(self) -> bool:
        with grpc.insecure_channel(f"127.0.0.1:{self.port}") as channel:
            try:
                grpc.channel_ready_future(channel).result(timeout=0.5)
            except grpc.FutureTimeoutError:
                return False
        return True

    def stop(self) -> None:
        """End it. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def client(self, database: str = "") -> MilvusClient:
        """Milvus's own client of it, in a connection of its own; close it after use."""
        return client_of(self.port, database)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def client_of(port: int, database: str = "", host: str = "127.0.0.1", token: str = "") -> MilvusClient:
    """Milvus's own client of a server."""
    return MilvusClient(uri=f"http://{host}:{port}", db_name=database, token=token, dedicated=True)


@dataclass(frozen=True)
class RealServer:
    """A server that runs already. `is_lite`: milvus-lite, which has ways of its own."""

    host: str
    port: int
    token: str = ""
    is_lite: bool = False

    def address(self, name: str, options: str = "") -> Address:
        """A collection of it."""
        secrets = {"token": self.token} if self.token else None
        return parse(f"milvus://{self.host}:{self.port}/{quote(name, safe='')}{options}", secrets)

    def client(self, database: str = "") -> MilvusClient:
        """Milvus's own client of it, in a connection of its own; close it after use."""
        return client_of(self.port, database, self.host, self.token)


def named_server() -> RealServer | None:
    """The server of `VECFERRY_TEST_MILVUS_URL`, with the token of `VECFERRY_TEST_MILVUS_TOKEN`."""
    url = os.environ.get("VECFERRY_TEST_MILVUS_URL")
    if not url:
        return None
    found = parse(url)
    return RealServer(found.host, found.port or 19530, os.environ.get("VECFERRY_TEST_MILVUS_TOKEN", ""))
