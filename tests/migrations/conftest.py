"""A ledger and a home folder for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.migrating import Harness


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Migrations on a ledger of their own."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    return Harness(tmp_path)
