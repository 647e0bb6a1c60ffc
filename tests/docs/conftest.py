"""A home of its own for whatever the documentation runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.console import Session


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    """A reader in an empty folder, with a ledger of their own."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VECFERRY_LEDGER", raising=False)
    monkeypatch.setenv("ANONYMIZED_TELEMETRY", "False")
    return Session(folder)
