"""The deployments on a real server, run by a real worker, as the command line starts them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from deployments.folders import file_digest
from deployments.local_server import ServerError, prefect, prefect_server, worker
from vecferry.cli.actions.demonstrating import ROUTE, generate
from vecferry.ledger import Ledger, State

ROLLBACK = "rollback-blue-green/rollback-blue-green"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_deployments_run_green_there_and_back(tmp_path: Path) -> None:
    """Pool, deploy --all, worker, blue-green and rollback runs: the route goes to the new store and back."""
    source, target = generate(tmp_path / "old"), f"qdrant+edge://{tmp_path}/new/{ROUTE}"
    before = file_digest(tmp_path / "old")
    home = {"VECFERRY_HOME": str(tmp_path / "vecferry"), "VECFERRY_LEDGER": str(tmp_path / "ledger.db")}
    ledger = Ledger.open(tmp_path / "ledger.db")

    with prefect_server(tmp_path / "prefect", home) as server, worker(server):
        run = ["deployment", "run", "--watch"]
        parameters = {"source": source, "target": target, "metric": "cosine"}
        shown = prefect(server, [*run, "blue-green/demo", "--params", json.dumps(parameters)])
        assert "Completed" in shown
        (migration,) = ledger.migrations()
        assert migration.state is State.SWITCHED
        assert ledger.route(ROUTE).url == target

        shown = prefect(
            server,
            [*run, ROLLBACK, "--params", json.dumps({"migration_id": migration.id})],
        )
        assert "Completed" in shown
        assert ledger.route(ROUTE).url == source

        with pytest.raises(ServerError, match=re.escape("Failed")):
            prefect(
                server,
                [*run, ROLLBACK, "--params", json.dumps({"migration_id": "nobody"})],
            )
    assert file_digest(tmp_path / "old") == before
