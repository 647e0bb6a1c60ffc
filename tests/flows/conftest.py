"""One Prefect server for all flow tests of a process, and a ledger of each test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import (
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    PREFECT_HOME,
    PREFECT_LOGGING_TO_API_ENABLED,
    temporary_settings,
)
from prefect.testing.utilities import prefect_test_harness

from tests.flows.helpers import Stores, make_stores
from vecferry.ledger import Ledger


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A server of the tests' own. Without the heartbeat, which costs every flow a second at its end."""
    home = tmp_path_factory.mktemp("prefect")
    quiet = {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_HOME: home, PREFECT_LOGGING_TO_API_ENABLED: False}
    with temporary_settings(quiet), prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.fixture
def ledger(prefect_api: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    """The ledger that flows of this test find."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "vecferry"))
    monkeypatch.setenv("VECFERRY_LEDGER", str(tmp_path / "ledger.db"))
    return Ledger.open()


@pytest.fixture
def stores() -> Stores:
    """A filled collection of this process, and the URL of one that does not exist."""
    return make_stores()
