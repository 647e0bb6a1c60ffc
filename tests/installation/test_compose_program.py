"""The compose file, read by Docker's own program. It needs no engine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.installation.compose import EXAMPLE, FILE, compose_program, filled

pytestmark = pytest.mark.slow

TIMEOUT_S = 120.0


def config(env_file: Path) -> subprocess.CompletedProcess[str]:
    """Let the program check and resolve the file."""
    command = [*(compose_program() or []), "-f", str(FILE), "--env-file", str(env_file), "config", "--quiet"]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def test_docker_takes_the_file(tmp_path: Path) -> None:
    """With every variable set the file is valid."""
    done = config(filled(tmp_path / ".env"))
    assert done.returncode == 0, done.stderr


def test_docker_refuses_empty_passwords() -> None:
    """The example as it comes starts nothing, and the message says what to write where."""
    done = config(EXAMPLE)
    assert done.returncode != 0
    assert "into .env" in done.stderr
