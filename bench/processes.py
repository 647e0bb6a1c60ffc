"""Run a command as a process of its own and say what it took: seconds, CPU seconds, and peak memory."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Run", "measured", "qdrant_process", "vecferry"]

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Run:
    """One finished process. `peak_bytes` is the largest resident set of that process alone."""

    exit_code: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    output: str


def measured(command: Sequence[str], home: Path) -> Run:
    """Run to the end; stderr goes to a log in `home`."""
    home.mkdir(parents=True, exist_ok=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "VECFERRY_HOME": str(home), "ANONYMIZED_TELEMETRY": "False"}
    start_s = time.monotonic()
    with (home / "stdout").open("w+") as out, (home / "stderr.log").open("a") as log:
        process = subprocess.Popen(command, stdout=out, stderr=log, env=environment, cwd=ROOT)
        peak_bytes = _peak_bytes(process)
        out.seek(0)
        text = out.read()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return Run(process.returncode, time.monotonic() - start_s, cpu_s, peak_bytes, text)


def _peak_bytes(process: subprocess.Popen[bytes]) -> int:
    """The largest resident set until the process ends, looked at every 20 ms.

    What the kernel adds up for a finished child (ru_maxrss) is no use: it begins at the size of its parent.
    """
    peak_kib = 0
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        except OSError:
            break
        peak_kib = max([peak_kib, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))])
        time.sleep(0.02)
    process.wait()
    return peak_kib * 1024


def vecferry(arguments: Sequence[str], home: Path) -> Run:
    """Run the command line."""
    return measured([str(Path(sys.executable).with_name("vecferry")), *arguments], home)


@contextmanager
def qdrant_process(folder: Path, grpc_port: int, rest_port: int) -> Iterator[None]:
    """The loopback Qdrant server in a process of its own, so that its memory is not counted as ours."""
    command = [sys.executable, "-m", "tests.support.qdrant_server", "--folder", str(folder)]
    ports = ["--grpc-port", str(grpc_port), "--rest-port", str(rest_port)]
    process = subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None
        if not process.stdout.readline().startswith(b"ready"):
            raise RuntimeError("the loopback Qdrant server did not start")
        yield
    finally:
        process.terminate()
        process.wait(20)
