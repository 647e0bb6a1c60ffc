"""Settings through whole runs: a migration, and an export that is loaded elsewhere."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models

from tests.stores.qdrant.test_carrying import INDEXES, at, make_rich
from tests.support.migrating import Harness
from tests.support.qdrant_server import QdrantServer
from vecferry.model import VerdictState


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """A ledger and home folder of this test's own."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    return Harness(tmp_path)


@pytest.fixture
def filled(raw: QdrantClient, unique: str) -> str:
    """The rich collection with a few records, and an alias."""
    make_rich(raw, unique)
    points = [
        models.PointStruct(
            id=number,
            vector={"dense": [1.0, 2.0, 3.0, number], "words": models.SparseVector(indices=[1, 7], values=[0.5, 2.0])},
            payload={"tenant": f"t{number % 3}", "price": number / 4},
        )
        for number in range(25)
    ]
    raw.upsert(unique, points, wait=True)
    alias = models.CreateAlias(collection_name=unique, alias_name=f"{unique}-a")
    raw.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    return unique


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[QdrantServer, QdrantClient]]:
    """Another server, and its client."""
    with (
        QdrantServer(tmp_path / "other") as running,
        contextlib.closing(QdrantClient(url=running.url, check_compatibility=False)) as client,
    ):
        yield running, client


@pytest.mark.slow
def test_a_migration_carries_settings(
    server: QdrantServer, other: tuple[QdrantServer, QdrantClient], harness: Harness, filled: str
) -> None:
    """After the verdict the new server has the same indexes, strict mode and alias, although strict mode is strict."""
    running, client = other
    ref = harness.start(str(at(server, "grpc", filled)), str(at(running, "rest", "docs")))
    verdict = harness.run(ref)
    assert verdict is not None
    assert verdict.state is VerdictState.SAME
    info = client.get_collection("docs")
    assert set(info.payload_schema) == set(INDEXES)
    assert info.config.strict_mode_config.max_query_limit == 40
    assert info.config.hnsw_config.m == 8
    assert [item.alias_name for item in client.get_collection_aliases("docs").aliases] == [f"{filled}-a"]


def test_an_archive_carries_settings(
    server: QdrantServer, other: tuple[QdrantServer, QdrantClient], harness: Harness, filled: str, tmp_path: Path
) -> None:
    """Export and load, with nothing between them but the archive's files, give the same settings."""
    running, client = other
    folder = tmp_path / "archive"
    source = str(at(server, "rest", filled))
    harness.migrate(source, f"archive://{folder}/{filled}", "export", archive=folder)
    harness.migrate(f"archive://{folder}/{filled}", str(at(running, "grpc", "docs")), "load")
    info = client.get_collection("docs")
    assert set(info.payload_schema) == set(INDEXES)
    assert info.payload_schema["tenant"].params.is_tenant is True
    assert info.config.params.shard_number == 3
    assert info.config.metadata["owner"] == "search team"


@pytest.mark.slow
def test_a_killed_run_carries_all_the_same(
    server: QdrantServer, other: tuple[QdrantServer, QdrantClient], harness: Harness, filled: str
) -> None:
    """A run that dies after it made the collection is finished by the next one, settings included."""
    running, client = other
    ref = harness.start(str(at(server, "grpc", filled)), str(at(running, "grpc", "docs")))
    assert harness.run_until_killed(ref, "prepare.created=kill") < 0
    client.delete_payload_index("docs", "price")
    harness.run(ref)
    info = client.get_collection("docs")
    assert set(info.payload_schema) == set(INDEXES)
    assert info.config.optimizer_config.indexing_threshold == 777
    assert info.config.optimizer_config.prevent_unoptimized is True
    assert info.config.strict_mode_config.upsert_max_batchsize == 30
