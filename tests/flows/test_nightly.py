"""The nightly backup on a real server, run by a real worker: two nights, retention, a restore of the older one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from deployments.local_server import Server, ServerError, prefect, prefect_server, worker
from tests.backups.support import aged, flip
from tests.support.qdrant_server import QdrantServer
from tests.support.raw_collections import Place, generate, make_source
from vecferry import address
from vecferry.operations import backup_sets
from vecferry.stores import registry
from vecferry.transfer.backup_listing import Method

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def deploy(server: Server, name: str, **parameters: object) -> None:
    """Give a deployment its parameters, as docs/prefect.md says."""
    given = [word for key, value in parameters.items() for word in ("--param", f"{key}={value}")]
    prefect(server, ["--no-prompt", "deploy", "--name", name, *given])


def run(server: Server, deployment: str, **parameters: object) -> str:
    """Start a deployment and follow it to its end."""
    return prefect(server, ["deployment", "run", "--watch", deployment, "--params", json.dumps(parameters)])


def schedules(server: Server, deployment: str) -> Any:
    """The schedules of a deployment."""
    return json.loads(prefect(server, ["deployment", "schedule", "ls", deployment, "-o", "json"]))


def folders(root: Path) -> list[Path]:
    return [item.folder for item in backup_sets.list_backups(root)]


def test_two_nights_of_a_database_and_a_restore_of_the_older_one(tmp_path: Path) -> None:
    """Deployed with parameters, run twice: the oldest went, the older night comes back with a verdict."""
    home = {"VECFERRY_HOME": str(tmp_path / "vecferry"), "VECFERRY_LEDGER": str(tmp_path / "ledger.db")}
    root = tmp_path / "root"
    with (
        QdrantServer(tmp_path / "qdrant") as qdrant,
        prefect_server(tmp_path / "prefect", home) as server,
        worker(server),
    ):
        source = make_source("qdrant", Place(tmp_path, qdrant.grpc_port, qdrant.rest_port), "docs", generate(500, 16))
        deploy(server, "nightly-backup", source=source, root=root, keep_daily=2, keep_weekly=0)
        deploy(server, "verify-backup", root=root)
        nightly = "nightly-backup/nightly-backup"
        (schedule,) = schedules(server, nightly)
        assert not schedule["active"]
        prefect(server, ["deployment", "schedule", "resume", nightly, schedule["id"]])
        assert schedules(server, nightly)[0]["active"]

        assert "Completed" in run(server, nightly)
        (ancient,) = folders(root)
        ancient = aged(ancient, 9)
        assert "Completed" in run(server, nightly)
        older = aged(folders(root)[1], 1)
        with registry.open_target(address.parse(source)) as store:
            store.delete(next(store.read(store.slices(1)[0], frozenset(), 100)))
        assert "Completed" in run(server, nightly)
        assert ancient not in folders(root)
        kept = backup_sets.list_backups(root)
        assert [item.listing and item.listing.rows for item in kept] == [500, 400]
        assert {item.listing and item.listing.method for item in kept} == {Method.ARCHIVE}
        assert kept[0].folder == older

        assert "Completed" in run(server, "verify-backup/verify-backup")
        target = f"qdrant+edge://{tmp_path}/restored/docs"
        assert "Completed" in run(server, "restore/restore", folder=str(older), target=target)
        with registry.open_source(address.parse(target)) as restored:
            assert restored.count() == 500

        (part,) = [path for path in kept[1].folder.rglob("*.parquet") if path.parent.name == "parts"]
        flip(part)
        with pytest.raises(ServerError, match=re.escape("Failed")):
            run(server, "verify-backup/verify-backup")
