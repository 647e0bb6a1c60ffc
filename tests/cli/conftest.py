"""The command line in this process, with a home folder of its own, and small stores to move."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecferry.cli.main import main


@dataclass(frozen=True)
class Run:
    """How a command ended: exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout; anything beside it is an error."""
        return json.loads(self.out)


Vecferry = Callable[..., Run]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ledger and archives of one test."""
    folder = tmp_path / "home"
    monkeypatch.setenv("VECFERRY_HOME", str(folder))
    monkeypatch.delenv("VECFERRY_LEDGER", raising=False)
    return folder


@pytest.fixture
def vecferry(capsys: pytest.CaptureFixture[str]) -> Vecferry:
    """Runs `vecferry WORDS...`, without a terminal."""

    def run(*words: object) -> Run:
        capsys.readouterr()
        code = main([str(word) for word in words])
        found = capsys.readouterr()
        return Run(code, found.out, found.err)

    return run


def write_files(folder: Path, rows: int = 60, dimension: int = 8, name: str = "docs") -> str:
    """A 2-D file with a line of payload for each row; its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    numbers = np.random.default_rng(rows)
    np.save(folder / f"{name}.npy", numbers.normal(size=(rows, dimension)).astype(np.float32))
    lines = [{"id": f"doc-{row}", "text": f"text {row}", "year": 2000 + row % 9} for row in range(rows)]
    (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return f"numpy://{folder}/{name}.npy"


@pytest.fixture
def source(tmp_path: Path) -> str:
    """60 records in a 2-D file."""
    return write_files(tmp_path / "old")


@pytest.fixture
def edge(tmp_path: Path) -> str:
    """The URL of a collection of the embedded engine that does not exist yet."""
    return f"qdrant+edge://{tmp_path}/new/docs"


@pytest.fixture
def lines(tmp_path: Path) -> str:
    """The URL of a JSONL file that does not exist yet."""
    return f"jsonl://{tmp_path}/new/docs.jsonl"
