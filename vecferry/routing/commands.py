"""Hooks that are commands: words without a shell, in a process group of their own that a time limit ends.

The request goes in by a file as stdin, and both outputs go to files: a command that never reads, or leaves a child
behind that keeps its output open, cannot hold anybody up.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from typing import IO

import orjson

from vecferry.model import JsonObject
from vecferry.routing.calls import MAX_ANSWER_BYTES, Call, Outcome, Reply

__all__ = ["EXPIRED_EXIT_CODE", "run"]

EXPIRED_EXIT_CODE = 9
"""A command's way to say what a webhook says by 409."""

_SHOWN_LINES = 5
_SHOWN_BYTES = 2000


def run(words: Sequence[str], call: Call, timeout_s: float) -> Reply:
    """Run a command to its end, at most `timeout_s` seconds.

    Exit code 0 is an acknowledgement, 9 an expired token, any other a refusal; a signal or the time limit leave its
    fate unknown.
    """
    with tempfile.TemporaryFile() as stdin, tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        stdin.write(call.body)
        stdin.seek(0)
        environment = os.environ | call.request.variables() | {"VECFERRY_IDEMPOTENCY_KEY": call.key}
        try:
            process = subprocess.Popen(
                list(words), stdin=stdin, stdout=stdout, stderr=stderr, env=environment, start_new_session=True
            )
        except (OSError, ValueError) as error:
            return Reply(Outcome.REFUSED, f"{words[0]} cannot be started: {error}", {}, sent=False)
        code = _wait(process, timeout_s)
        return _reply(words[0], code, timeout_s, _end(stdout, MAX_ANSWER_BYTES), _end(stderr, _SHOWN_BYTES))


def _wait(process: subprocess.Popen[bytes], timeout_s: float) -> int | None:
    """Its exit code; None where the time limit ended it and all that it had started."""
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _reply(name: str, code: int | None, timeout_s: float, stdout: bytes, stderr: bytes) -> Reply:
    told = "\n".join(stderr.decode(errors="replace").splitlines()[-_SHOWN_LINES:])
    said = f": {told}" if told else ""
    if code is None:
        return Reply(Outcome.UNKNOWN, f"{name} was ended after {timeout_s:g} s{said}", {})
    if code < 0:
        return Reply(Outcome.UNKNOWN, f"{name} was ended by {_signal_name(-code)}{said}", {})
    if code == EXPIRED_EXIT_CODE:
        return Reply(Outcome.EXPIRED, f"{name} says that the token has expired{said}", _answer(stdout))
    if code:
        return Reply(Outcome.REFUSED, f"{name} ended with exit code {code}{said}", _answer(stdout))
    return Reply(Outcome.ACKNOWLEDGED, f"{name} ended well", _answer(stdout))


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _end(file: IO[bytes], size_bytes: int) -> bytes:
    """The last bytes of a file."""
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - size_bytes))
    return file.read(size_bytes)


def _answer(stdout: bytes) -> JsonObject:
    """The last line that is a JSON object; else the whole output, if it is one."""
    for text in (*reversed(stdout.splitlines()), stdout):
        with contextlib.suppress(orjson.JSONDecodeError):
            found = orjson.loads(text)
            if isinstance(found, dict):
                return found
    return {}
