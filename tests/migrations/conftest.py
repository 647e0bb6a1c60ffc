"""A ledger and a home folder for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.application import Application
from tests.support.migrating import Harness, schema
from tests.support.tenants import put
from vecferry import address
from vecferry.stores import registry


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """Migrations on a ledger of their own."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    return Harness(tmp_path)


@pytest.fixture
def application() -> Iterator[Application]:
    """One that listens to hooks."""
    with Application() as running:
        yield running


@pytest.fixture
def old(request: pytest.FixtureRequest) -> str:
    """An old store of this process with the workspaces a (2 records) and b (3)."""
    url = f"memory:///old_{request.node.name}"
    with registry.open_target(address.parse(url)) as store:
        store.create(schema(), {})
    for number in range(5):
        workspace = "a" if number < 2 else "b"
        put(url, f"{workspace}{number}", workspace, number)
    return url


@pytest.fixture
def new(request: pytest.FixtureRequest) -> str:
    """The place of a new store of this process."""
    return f"memory:///new_{request.node.name}"
