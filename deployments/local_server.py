"""A Prefect server (and worker) on loopback, with all it keeps in one folder, started and stopped from Python."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from deployments.processes import running, tail

__all__ = ["POOL", "Server", "ServerError", "prefect", "prefect_server", "run_module", "worker"]

PROJECT = Path(__file__).resolve().parent.parent
POOL = "vecferry"
HOST = "127.0.0.1"
PORTS = range(14200, 18200)
"""Below 32768, where outgoing connections get theirs."""
START_TIMEOUT_S = 120.0
"""A new database takes 9 s on an idle machine, far longer on a busy one."""
ATTEMPTS = 3
HOME = "PREFECT_HOME"


class ServerError(RuntimeError):
    """The server, the worker or a command for them failed; the message ends with their last lines."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `env` lets any Prefect program use it: pass it to children, or put it into `os.environ`."""

    url: str
    env: Mapping[str, str]
    logs: Path

    @property
    def api_url(self) -> str:
        """Where the API answers."""
        return f"{self.url}/api"


@contextmanager
def prefect_server(folder: Path, extra_env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Start a server that keeps everything in `folder`, wait until it is healthy; end it at the end.

    Raises ServerError when it does not come up, for example because another one uses the folder.
    """
    folder = folder.absolute()
    logs = folder / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        server = _server(folder, _free_port(), extra_env or {})
        port = server.url.rpartition(":")[2]
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", port]
        with running(command, server.env, logs / "server.log", PROJECT) as child:
            if _healthy(server, child):
                yield server
                return
        why = tail(logs / "server.log")
        if "in use" not in why or attempt == ATTEMPTS:
            raise ServerError(f"Prefect's server did not start:\n{why}")


@contextmanager
def worker(server: Server) -> Iterator[subprocess.Popen[bytes]]:
    """Install all that the server must know (deployments/install.py), start a worker; end it at the end."""
    run_module(server, ["deployments.install"])
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process"]
    with running(command, server.env, server.logs / "worker.log", PROJECT) as child:
        yield child


def prefect(server: Server, arguments: Sequence[str]) -> str:
    """Run a `prefect` command against the server, in the project's folder; its output. Raises ServerError."""
    return run_module(server, ["prefect", *arguments])


def run_module(server: Server, words: Sequence[str]) -> str:
    """Run `python -m` against the server, in the project's folder; its output. Raises ServerError."""
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, env=dict(server.env), cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServerError(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def _server(folder: Path, port: int, extra_env: Mapping[str, str]) -> Server:
    url = f"http://{HOST}:{port}"
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    env = inherited | {
        HOME: str(folder),
        "PREFECT_PROFILES_PATH": str(folder / "profiles.toml"),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_SERVER_API_HOST": HOST,
        # The UI asks for the API at this port, whatever --port says.
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_EXTRA_LOGGERS": "vecferry",
        "PYTHONPATH": str(PROJECT),
        # prefect.yaml names the project's folder by it, and Python does not set it for a child's folder.
        "PWD": str(PROJECT),
    }
    return Server(url, env | dict(extra_env), folder / "logs")


def _free_port() -> int:
    """A port that could be bound a moment ago. Another program may take it: the caller tries again."""
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe:
            # A server restarts on a port whose old connections linger.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise ServerError(f"no port is free between {PORTS.start} and {PORTS.stop}")


def _healthy(server: Server, child: subprocess.Popen[bytes]) -> bool:
    """Wait for the health check; False when the process has ended or time is over."""
    end = time.monotonic() + START_TIMEOUT_S
    while child.poll() is None and time.monotonic() < end:
        try:
            if _answer(server, "health") is True and _answer(server, "admin/settings")["home"] == server.env[HOME]:
                return True
        except (OSError, HTTPException, ValueError):
            pass
        time.sleep(0.2)
    return False


def _answer(server: Server, path: str) -> Any:
    # Another server may have taken the port, and answer in place of ours until ours has noticed: hence the settings.
    with urlopen(f"{server.api_url}/{path}", timeout=5) as answer:
        return json.load(answer)
