"""The compose file as text and as data, and Docker's own reader of it where there is one."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

__all__ = ["EXAMPLE", "FILE", "PROJECT", "compose_program", "content", "filled", "variables"]

PROJECT = Path(__file__).parent.parent.parent
FILE = PROJECT / "deployments" / "compose.yaml"
EXAMPLE = PROJECT / "deployments" / ".env.example"
TIMEOUT_S = 60.0


def content() -> dict[str, Any]:
    """The file as YAML reads it, anchors resolved."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def variables() -> dict[str, str]:
    """Names and values of `.env.example`."""
    lines = (line for line in EXAMPLE.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def filled(file: Path) -> Path:
    """A copy of the example with something in every empty place."""
    file.write_text("".join(f"{name}={value or 'a:b'}\n" for name, value in variables().items()))
    return file


def references(text: str) -> Iterator[tuple[str, str]]:
    """Each `${NAME...}`: the name, and what follows it."""
    for found in re.finditer(r"\$\{(\w+)([^}]*)\}", text):
        yield found[1], found[2]


def compose_program() -> list[str] | None:
    """The words that start Docker's reader of compose files, None where it is not installed."""
    for words in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(words[0]) is None:
            continue
        done = subprocess.run([*words, "version"], capture_output=True, timeout=TIMEOUT_S, check=False)
        if done.returncode == 0:
            return words
    return None
