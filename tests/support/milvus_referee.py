"""Milvus 2.3.5 standalone, the server that says what milvus-lite leaves open: limits, consistency, tokens, aliases.

The package `milvus` brings it, into an environment of its own. The server listens on every address and cannot be told
not to, so that it runs in a network of its own (`unshare`), and whatever asks it runs in there as well:

    python -m tests.support.milvus_referee [--tokens] COMMAND...

runs a command beside the server; `VECFERRY_TEST_MILVUS_URL` tells it where the server is, and with `--tokens`
`VECFERRY_TEST_MILVUS_TOKEN` what it asks for. Everything ends with the command.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.own_environment import MILVUS_REFEREE

__all__ = ["install", "namespace_command", "run_beside", "why_not"]

_ROOT = Path(__file__).parents[2]
# A process of its own that is the first of its tree: when it ends, the kernel ends every other one.
_UNSHARE = ("unshare", "--net", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child")
_MODULE = "tests.support.milvus_referee"
_TOKEN = "root:Milvus"
_PORT = 19530
_READY_TIMEOUT_S = 120.0
# How often it looks whether there is work: as it comes, it lets a test that loads a collection wait for seconds.
_HASTE = {"proxy.timeTickInterval": 50, "queryCoord.checkInterval": 100, "queryCoord.distPullInterval": 50}
_POLL_S = 0.1
_INTERFACE_UP, _SET_FLAGS, _GET_FLAGS = 0x1, 0x8914, 0x8913  # <linux/if.h>, <linux/sockios.h>


@functools.cache
def _can_unshare() -> bool:
    if shutil.which(_UNSHARE[0]) is None:
        return False
    return subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode == 0


def why_not() -> str | None:
    """Why the server cannot run here now, or None. Nothing is installed for the answer."""
    return MILVUS_REFEREE.why_not() if _can_unshare() else "`unshare` may not make a network here"


def install() -> str | None:
    """Make its environment, once; what `why_not` says afterwards."""
    if _can_unshare():
        MILVUS_REFEREE.install()
    return why_not()


def namespace_command(command: Sequence[str], *, tokens: bool = False) -> list[str]:
    """The command that runs another one beside the server, in a network of their own."""
    return [*_UNSHARE, sys.executable, "-m", _MODULE, *(["--tokens"] if tokens else []), *command]


def run_beside(command: Sequence[str], *, tokens: bool = False, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run a command beside the server, to its end; stdout and stderr together. Ended by force after the time."""
    return subprocess.run(
        namespace_command(command, tokens=tokens),
        cwd=_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )


# Inside


def _main(arguments: list[str]) -> int:
    tokens = arguments[:1] == ["--tokens"]
    command = arguments[1:] if tokens else arguments
    if os.getpid() != 1:
        _refuse_unless_possible()
        os.execvp(_UNSHARE[0], namespace_command(command, tokens=tokens))
    _bring_loopback_up()
    with tempfile.TemporaryDirectory(prefix="milvus-referee-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT")) as folder:
        server = _start(Path(folder), tokens=tokens)
        try:
            _wait(server, Path(folder))
            return subprocess.run(command, env=os.environ | _told(tokens=tokens), check=False).returncode
        finally:
            server.send_signal(signal.SIGINT)  # SIGTERM would leave its child behind
            server.wait()


def _refuse_unless_possible() -> None:
    reason = install()
    if reason is not None:
        sys.exit(f"Milvus 2.3.5 cannot run here: {reason}")


def _told(*, tokens: bool) -> dict[str, str]:
    """What the command learns of the server; an empty token is none."""
    return {
        "VECFERRY_TEST_MILVUS_URL": f"milvus://127.0.0.1:{_PORT}",
        "VECFERRY_TEST_MILVUS_TOKEN": _TOKEN if tokens else "",
    }


def _bring_loopback_up() -> None:
    """What `ip link set lo up` does, where there is no `ip`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        asked = struct.pack("16sH14x", b"lo", 0)
        [flags] = struct.unpack("16xH14x", fcntl.ioctl(probe, _GET_FLAGS, asked))
        fcntl.ioctl(probe, _SET_FLAGS, struct.pack("16sH14x", b"lo", flags | _INTERFACE_UP))


def _start(folder: Path, *, tokens: bool) -> subprocess.Popen[bytes]:
    command = [MILVUS_REFEREE.programs / "milvus-server", "--data", folder / "data"]
    more = [word for name, value in _HASTE.items() for word in ("--extra-config", f"{name}={value}")]
    if tokens:
        more += ["--authorization-enabled", "true"]
    with (folder / "server.log").open("wb") as log:
        return subprocess.Popen([*map(str, command), *more], stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _wait(server: subprocess.Popen[bytes], folder: Path) -> None:
    end_s = time.monotonic() + _READY_TIMEOUT_S
    while not _answers():
        if time.monotonic() > end_s or server.poll() is not None:
            said = [path.read_text(errors="replace")[-3000:] for path in folder.glob("**/*.log")]
            raise RuntimeError("Milvus 2.3.5 did not start:\n" + "\n".join(said))
        time.sleep(_POLL_S)


def _answers() -> bool:
    """Whether a call gets through: a refused token is an answer as well."""
    # Every run of the tests imports this module; that should not load a driver.
    import grpc
    from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

    with grpc.insecure_channel(f"127.0.0.1:{_PORT}") as channel:
        try:
            answer = milvus_pb2_grpc.MilvusServiceStub(channel).CheckHealth(milvus_pb2.CheckHealthRequest(), timeout=2)
        except grpc.RpcError as error:
            return error.code() is grpc.StatusCode.UNAUTHENTICATED
    return bool(answer.isHealthy)


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
