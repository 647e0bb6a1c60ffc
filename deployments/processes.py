"""Child processes that never outlive this one's work: each with a group of its own, ended as a group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

__all__ = ["running", "stopped_by_signals", "tail"]

STOP_TIMEOUT_S = 15.0
"""How long a child may take to end after SIGTERM before its group is killed."""


@contextmanager
def running(
    command: Sequence[str], env: Mapping[str, str], log: Path, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a child in `folder`, its output in the file `log`; at the end it and all that it started are ended."""
    with log.open("ab") as output:
        child = subprocess.Popen(
            command, env=dict(env), cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,
        )  # fmt: skip
        try:
            yield child
        finally:
            _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    _signal_group(child, signal.SIGTERM)
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # What the child started may outlive it: the group keeps its number until its last member is gone.
        _signal_group(child, signal.SIGKILL)
        child.wait()


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does, so that children are ended on the way."""
    names = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(name, _leave) for name in names]
    try:
        yield
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
