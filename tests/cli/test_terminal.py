"""On a terminal: bars and rich tables on stderr, and a person who is asked. A pseudo-terminal plays the person."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

COMMAND = (sys.executable, "-m", "vecferry.cli")
TIMEOUT_S = 60.0
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


@dataclass
class Terminal:
    """A `vecferry` whose stdin and stderr are a terminal, and whose stdout is a pipe."""

    process: subprocess.Popen[bytes]
    end: int
    seen: str = ""
    said: list[str] = field(default_factory=list)

    def wait_for(self, text: str) -> None:
        """Read until the terminal shows this."""
        deadline = time.monotonic() + TIMEOUT_S
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} was never shown, but:\n{self.seen}"
            if self._says_more(1.0):
                self._read()

    def _says_more(self, within_s: float) -> bool:
        # `select.select` takes no handle above 1,023, and a process of many tests has more.
        asked = select.poll()
        asked.register(self.end, select.POLLIN | select.POLLHUP)
        return bool(asked.poll(within_s * 1000))

    def _read(self) -> None:
        try:
            self.seen += _ESCAPES.sub("", os.read(self.end, 65536).decode(errors="replace"))
        except OSError:  # how Linux says that the other end was closed
            self.process.wait(TIMEOUT_S)

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self.end, f"{text}\n".encode())

    def ended(self) -> tuple[int, str]:
        """Exit code and stdout."""
        assert self.process.stdout is not None
        while self.process.poll() is None:
            if self._says_more(0.2):
                self._read()
        return self.process.returncode, self.process.stdout.read().decode()


@contextmanager
def terminal(*words: object) -> Iterator[Terminal]:
    """Start `vecferry WORDS...` on a terminal of its own; it is ended at the end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_a_person_is_asked_and_answers_yes_or_no(source: str, lines: str) -> None:
    """The form shows the verdict and what happens; anything but yes or no is asked again; yes switches."""
    with terminal("migrate", "--source", source, "--target", lines, "--json") as shown:
        shown.wait_for("yes or no?")
        assert "every vector, bit for bit" in shown.seen
        assert "way back: vecferry rollback" in shown.seen
        assert "inventory" in shown.seen
        assert "of 60 records" in shown.seen
        shown.seen = ""
        shown.type("")
        shown.wait_for("yes or no?")
        shown.type("yes")
        code, out = shown.ended()
    assert code == 0
    assert json.loads(out)["migration"]["state"] == "SWITCHED"


@pytest.mark.slow
def test_a_person_says_no(source: str, lines: str) -> None:
    """No is exit 3: READY, and what asks again."""
    with terminal("migrate", "--source", source, "--target", lines) as shown:
        shown.wait_for("yes or no?")
        shown.type("no")
        code, out = shown.ended()
        assert code == 3
        assert "READY" in out
        assert "was declined" in shown.seen


@pytest.mark.slow
def test_a_person_who_does_not_answer_in_time_is_told_how_to_do_it_later(source: str, lines: str) -> None:
    """After --approve-timeout-s the run stops at READY with exit 3."""
    with terminal("migrate", "--source", source, "--target", lines, "--approve-timeout-s", "0.5") as shown:
        code, _ = shown.ended()
        assert code == 3
        assert "nobody answered within" in shown.seen
        assert "vecferry approve docs-to-jsonl" in shown.seen


@pytest.mark.slow
def test_an_interrupted_run_stops_at_its_next_batch_and_is_resumed(source: str, lines: str, tmp_path: Path) -> None:
    """Ctrl-C while rows move: exit 3 with the command that goes on, and that finishes the same migration."""
    words = ("--max-rows-per-s", "40", "--batch-rows", "5", "--approve", "auto")
    with terminal("migrate", "--source", source, "--target", lines, *words, "--json") as shown:
        shown.wait_for("export")
        shown.process.send_signal(2)
        code, out = shown.ended()
        assert code == 3
        assert "stopping at the next batch" in shown.seen
        assert "vecferry resume docs-to-jsonl" in shown.seen
    name = json.loads(out)["error"]["migration"]
    done = subprocess.run([*COMMAND, "resume", name, "--json"], capture_output=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["migration"]["state"] == "SWITCHED"


@pytest.mark.slow
def test_a_reader_that_goes_away_is_no_bug() -> None:
    """`vecferry list | true` ends without a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*COMMAND, "list"], stdout=writing, stderr=subprocess.PIPE, timeout=TIMEOUT_S, check=False)
    os.close(writing)
    assert done.stderr == b""
