"""Runs the code of a page as its reader would, from the top to the bottom, and compares what is printed.

A `console` block holds commands behind `$ ` and lines of their output, shortened: a line `...` stands for any lines,
and `...` within a line for any text. `vecferry` runs in this process, with two exceptions that set a failpoint (they
die, and so get a process of their own). `python` blocks run too. The folder `/data` of the pages is a temporary one,
servers are those of `places`, migrations get the ids that they really have, and rates, times and checksums may differ.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from tests.docs.pages import Block
from tests.docs.places import NOWHERE, Places
from vecferry.cli.main import main

__all__ = ["Session"]

PLACE = "/data"
_MIGRATION = re.compile(r"\b[\w.-]+-to-[a-z]+-\d{8}-[a-z0-9]{4}\b")
_UNDER_WAY = re.compile(r"^\w+: (?P<done>[\d,]+)( of (?P<of>[\d,]+))? records")
_VOLATILE = (
    (re.compile(r"(, [\d,]+/s)?(, [\d,]+ s left)?$"), ""),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(\+00:00)?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "SHA256"),
    (re.compile(r"pid \d+"), "pid N"),
    (re.compile(r"\S+@\S+ pid"), "USER pid"),
    (re.compile(r" {2,}"), "  "),
)


@dataclass
class Session:
    """One reader of one page, in a folder of their own; `places` are the servers that they have."""

    folder: Path
    places: Places = NOWHERE
    status: int = 0
    ids: dict[str, str] = field(default_factory=dict)
    names: dict[str, object] = field(default_factory=dict)

    def run(self, block: Block) -> None:
        """Run a block; AssertionError where the page promises something else than what happens."""
        if block.info == "python":
            exec(compile(self._here(block.body), f"{block.page}:{block.line}", "exec"), self.names)
            return
        for command, expected in _commands(block):
            found = [line for line in self._execute(self._with_ids(command)).splitlines() if not _is_under_way(line)]
            self._learn(expected, found)
            shown = [_plain(self._with_ids(line)) for line in expected]
            printed = [_plain(self._there(line)) for line in found]
            _compare(shown, printed, f"{block.page.name}, block at line {block.line}: $ {command}")

    def _here(self, text: str) -> str:
        return self.places.here(re.sub(rf"{PLACE}\b(?=[/\s\"'?]|$)", str(self.folder), text))

    def _there(self, text: str) -> str:
        return self.places.there(text.replace(str(self.folder), PLACE))

    def _with_ids(self, text: str) -> str:
        return _MIGRATION.sub(lambda found: self.ids.get(found[0], found[0]), text)

    def _learn(self, expected: list[str], found: list[str]) -> None:
        """Ids that the page names for the first time are those that appear for the first time."""
        new = [name for name in _names(expected) if name not in self.ids]
        real = [name for name in _names(found) if name not in self.ids.values()]
        self.ids.update(zip(new, real, strict=False))

    def _execute(self, command: str) -> str:
        if command == "echo $?":
            return str(self.status)
        words = shlex.split(self._here(command))
        settings = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
        words = words[len(settings) :]
        if words[0] != "vecferry":
            self.status, output = _child(words, settings)
        elif "VECFERRY_FAILPOINTS" in settings:
            self.status, output = _child([str(Path(sys.executable).with_name("vecferry")), *words[1:]], settings)
        else:
            self.status, output = _in_process(words[1:], settings)
        return output


def _child(words: list[str], settings: Mapping[str, str]) -> tuple[int, str]:
    done = subprocess.run(
        words, env=os.environ | settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    return done.returncode if done.returncode >= 0 else 128 - done.returncode, done.stdout


def _in_process(words: list[str], settings: Mapping[str, str]) -> tuple[int, str]:
    output = io.StringIO()
    with (
        mock.patch.dict(os.environ, settings),
        mock.patch.object(sys, "stdin", io.StringIO()),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        status = main(words)
    return status, output.getvalue()


def _commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block (a backslash goes on in the next line), and what it prints."""
    command, output = "", list[str]()
    for line in block.body.splitlines():
        if command.endswith("\\"):
            command = f"{command[:-1].rstrip()} {line.strip()}"
        elif line.startswith("$ "):
            if command:
                yield command, output
            command, output = line[2:], []
        else:
            assert command, f"{block.page}:{block.line} starts with output"
            output.append(line)
    yield command, output


def _names(lines: list[str]) -> list[str]:
    return list(dict.fromkeys(name for line in lines for name in _MIGRATION.findall(line)))


def _is_under_way(line: str) -> bool:
    """Progress before the end of a phase: how often it is told depends on the machine."""
    found = _UNDER_WAY.match(line)
    return found is not None and found["done"] != found["of"]


def _plain(line: str) -> str:
    for pattern, text in _VOLATILE:
        line = pattern.sub(text, line)
    return line.strip()


def _compare(expected: list[str], found: list[str], where: str) -> None:
    """Every line that the page shows is printed, in this order; lines between are shown as `...`."""
    wanted, lines = [line for line in expected if line], [line for line in found if line]
    at, gap = 0, False
    for line in wanted:
        if line == "...":
            gap = True
            continue
        pattern = re.compile(".*".join(map(re.escape, line.split("..."))))
        stop = len(lines) if gap else at + 1
        here = next((place for place in range(at, min(stop, len(lines))) if pattern.fullmatch(lines[place])), None)
        assert here is not None, f"{where}\nnot printed: {line}\nprinted was:\n" + "\n".join(found)
        at, gap = here + 1, False
    complete = gap or not wanted or at == len(lines)
    assert complete, f"{where}\nprinted as well: {lines[at]}"
