"""A real Chroma server for tests: `chroma run` on a free loopback port, ended with the context."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import chromadb
import httpx
from chromadb.api import ClientAPI
from chromadb.config import Settings

from tests.support.ports import free_port

__all__ = ["ChromaServer", "client_of"]

_READY_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_POLL_S = 0.05


class ChromaServer:
    """`with ChromaServer(folder) as server`: the server of the chromadb package, on `server.port`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The base URL of collections."""
        return f"chroma://127.0.0.1:{self.port}"

    @property
    def _log(self) -> Path:
        return self.folder.with_name(self.folder.name + ".log")

    def start(self) -> None:
        """Start it, on the port that it had before if it had one, and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        command = [Path(sys.executable).with_name("chroma"), "run", "--path", self.folder]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*map(str, command), "--host", "127.0.0.1", "--port", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "ANONYMIZED_TELEMETRY": "False"},
            )
        self._wait()

    def _wait(self) -> None:
        end_s = time.monotonic() + _READY_TIMEOUT_S
        while not self._answers():
            if time.monotonic() > end_s or self._process is None or self._process.poll() is not None:
                self.stop()
                raise RuntimeError(f"`chroma run` did not start: {self._log.read_text()[-2000:]}")
            time.sleep(_POLL_S)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/api/v2/heartbeat", timeout=2.0).is_success
        except httpx.TransportError:
            return False

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

    def client(self, **where: str) -> ClientAPI:
        """Chroma's own client of it; close it after use."""
        return client_of(self.port, **where)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def client_of(port: int, **where: str) -> ClientAPI:
    """Chroma's own client of a server on loopback."""
    return chromadb.HttpClient(host="127.0.0.1", port=port, settings=Settings(anonymized_telemetry=False), **where)
