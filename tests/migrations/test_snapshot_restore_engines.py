"""Snapshot-restore between real engines; what was written late, and what arrived, is seen by their own clients."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from tests.support.chroma_server import ChromaServer
from tests.support.migrating import Harness, fill, mixed_batch
from tests.support.qdrant_server import QdrantServer
from tests.support.raw_collections import Place, generate, make_source, target_url
from vecferry.config import StoreConfig
from vecferry.errors import DataDiffer, Stopped, TargetNotEmpty
from vecferry.ledger import State
from vecferry.operations import restores
from vecferry.operations.forward import forward
from vecferry.strategies import steps
from vecferry.strategies.runner import Ref
from vecferry.strategies.snapshots import SnapshotKind, snapshot_of
from vecferry.strategies.work import open_work
from vecferry.transfer.backup_listing import read_listing

DATA = generate(50, 8)
STRATEGY = "snapshot-restore"


def before(harness: Harness, step: Callable[..., Any], act: Callable[[], object]) -> None:
    """Do something once, right before a step of the next run."""
    run, left = harness.runner.run, iter([act])

    def watched(found: Any, ref: Ref, *args: Any, **kwargs: Any) -> Any:
        if found is step:
            next(left, lambda: None)()
        return run(found, ref, *args, **kwargs)

    harness.runner.run = watched  # type: ignore[method-assign]


def payloads(client: QdrantClient, name: str) -> dict[str, dict[str, Any]]:
    """Every payload, by the original id."""
    points, _ = client.scroll(name, limit=1000, with_payload=True)
    return {(point.payload or {}).get("vecferry_id", str(point.id)): dict(point.payload or {}) for point in points}


def kind_of(ref: Ref) -> SnapshotKind:
    """What kind of snapshot was taken."""
    return snapshot_of(open_work(ref)).kind


@pytest.mark.slow
@pytest.mark.parametrize("by_folder", [False, True], ids=["archive", "folder"])
def test_s14_chroma_server_to_qdrant_over_grpc_lists_a_late_write(
    harness: Harness, tmp_path: Path, by_folder: bool
) -> None:
    """Read through the server, or from a copy of its folder: all of it arrives, and what came late is named."""
    with ChromaServer(tmp_path / "chroma") as chroma, QdrantServer(tmp_path / "qdrant") as server:
        old = make_source("chroma", Place(tmp_path, server.grpc_port, server.rest_port, chroma.port), "docs", DATA)
        new = f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}"
        docs = chroma.client().get_collection("docs", embedding_function=None)
        held = set(docs.get()["ids"])
        late = {"ids": ["late"], "embeddings": [[0.5] * 8], "metadatas": [{"title": "late"}]}
        folder = {"snapshot_folder": str(chroma.folder)} if by_folder else {}
        ref = harness.start(old, new, STRATEGY, sync={"absence_wait_s": 0}, **folder)
        before(harness, steps.end_switching, lambda: docs.add(**late))
        harness.run(ref)
        assert harness.migration(ref).state is State.SWITCHED
        assert kind_of(ref) is (SnapshotKind.FOLDER if by_folder else SnapshotKind.ARCHIVE)
        assert payloads(QdrantClient(port=server.rest_port, check_compatibility=False), "docs").keys() == held
        if by_folder:  # the copy is a backup, which goes back to a folder
            listing = read_listing(open_work(ref).backup_folder)
            assert listing.source == f"chroma+path://{chroma.folder}/docs"
            assert restores.restore_whole(
                str(open_work(ref).backup_folder), StoreConfig(url=f"chroma+path://{tmp_path}/again/docs")
            )
        assert "1 new (for example 'late')" in dict(harness.sheets[-1].rows)["late in the old store"]
        assert set(docs.get()["ids"]) == held | {"late"}


@pytest.mark.slow
def test_s10_a_chroma_server_that_is_written_after_its_folder_was_copied_is_found(
    harness: Harness, tmp_path: Path
) -> None:
    """The copy is whole, and yet the switch would lose a write: the second digest names the record."""
    with ChromaServer(tmp_path / "chroma") as chroma:
        old = make_source("chroma", Place(tmp_path, chroma_port=chroma.port), "docs", DATA)
        docs = chroma.client().get_collection("docs", embedding_function=None)
        first = docs.get(limit=1)["ids"][0]
        ref = harness.start(old, "memory:///from-chroma", STRATEGY, snapshot_folder=str(chroma.folder))
        each = harness.runner.map

        def changed(found: Any, held: Ref, numbers: Any, workers: int) -> Any:
            if found is steps.export_snapshot:
                docs.update(ids=[first], metadatas=[{"title": "changed under the pause"}])
            return each(found, held, numbers, workers)

        harness.runner.map = changed  # type: ignore[method-assign]
        with pytest.raises(DataDiffer, match=f"1 changed \\(for example '{first}'\\)"):
            harness.run(ref)
        assert harness.route(ref).url == old


@pytest.mark.slow
def test_the_folder_of_another_chroma_server_is_told_apart(harness: Harness, tmp_path: Path) -> None:
    """A folder that holds a collection of the same name and other records is no snapshot of this one."""
    with ChromaServer(tmp_path / "chroma") as chroma, ChromaServer(tmp_path / "other") as other:
        old = make_source("chroma", Place(tmp_path, chroma_port=chroma.port), "docs", DATA)
        make_source("chroma", Place(tmp_path, chroma_port=other.port), "docs", generate(50, 8, seed=1))
        ref = harness.start(old, "memory:///from-another", STRATEGY, snapshot_folder=str(other.folder))
        with pytest.raises(DataDiffer, match="the folder of this server"):
            harness.run(ref)
        assert harness.route(ref).url == old


@pytest.mark.slow
def test_milvus_lite_to_qdrant_from_a_copy_of_its_folder(harness: Harness, tmp_path: Path) -> None:
    """The folder is copied while no engine has it open, and read from a copy of the copy: the backup stays whole."""
    with QdrantServer(tmp_path / "qdrant") as server:
        old = make_source("milvus+path", Place(tmp_path), "docs", DATA)
        new = f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}"
        ref = harness.migrate(old, new, STRATEGY, sync={"absence_wait_s": 0})
        assert harness.migration(ref).state is State.SWITCHED
        assert kind_of(ref) is SnapshotKind.FILES
        with contextlib.closing(QdrantClient(port=server.rest_port, check_compatibility=False)) as client:
            assert client.count("docs").count == len(DATA)
        assert harness.records(new).keys() == harness.records(old).keys()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["chroma+path", "qdrant+edge", "numpy", "numpy-tree", "faiss"])
def test_every_store_of_files_is_copied_and_read_from_the_copy(harness: Harness, tmp_path: Path, kind: str) -> None:
    """What arrives is what its own client wrote, and the old folder is as it was."""
    old = make_source(kind, Place(tmp_path), "docs", DATA)
    before_it = harness.records(old)
    ref = harness.migrate(old, "memory:///from-a-copy-of-" + kind.replace("+", "-"), STRATEGY, metric="cosine")
    assert kind_of(ref) is SnapshotKind.FILES
    assert harness.records("memory:///from-a-copy-of-" + kind.replace("+", "-")).keys() == before_it.keys()
    assert harness.records(old) == before_it


@pytest.mark.slow
def test_rollback_of_faiss_to_qdrant_puts_rows_of_the_new_store_into_a_copy_of_the_index(
    harness: Harness, tmp_path: Path
) -> None:
    """Written by the official client after the switch: the way back merges it into a copy; the old index stays."""
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    index = faiss.IndexFlatL2(8)
    index.add(vectors)
    faiss.write_index(index, str(tmp_path / "docs.index"))
    before_it = (tmp_path / "docs.index").read_bytes()
    with QdrantServer(tmp_path / "qdrant") as server:
        new = f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}"
        ref = harness.migrate(f"faiss://{tmp_path}/docs.index", new, STRATEGY, sync={"absence_wait_s": 0})
        with contextlib.closing(QdrantClient(port=server.rest_port, check_compatibility=False)) as client:
            client.upsert("docs", [models.PointStruct(id=100, vector=[0.5] * 8, payload={"new": True})], wait=True)
        harness.rollback(ref)
    assert harness.migration(ref).state is State.ROLLED_BACK
    assert (tmp_path / "docs.index").read_bytes() == before_it
    copied = harness.route(ref).url
    assert len(harness.records(copied)) == 31
    assert faiss.read_index(copied.removeprefix("faiss://").partition("?")[0]).ntotal == 31


def place(server: QdrantServer, name: str) -> str:
    """The URL of a collection of a loopback server."""
    return f"qdrant://127.0.0.1:{server.grpc_port}/{name}?rest_port={server.rest_port}"


def make_docs(client: QdrantClient) -> None:
    """A collection with a payload index, as an application would make it."""
    vectors = np.random.default_rng(1).normal(size=(50, 8)).astype(np.float32)
    client.create_collection("docs", models.VectorParams(size=8, distance=models.Distance.DOT), metadata={"team": "a"})
    points = [models.PointStruct(id=row, vector=one.tolist(), payload={"year": row}) for row, one in enumerate(vectors)]
    client.upsert("docs", points, wait=True)
    client.create_payload_index("docs", "year", models.PayloadSchemaType.INTEGER, wait=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[QdrantServer]:
    """A loopback server with one collection."""
    with QdrantServer(tmp_path / "qdrant") as started:
        with contextlib.closing(QdrantClient(port=started.rest_port, check_compatibility=False)) as client:
            make_docs(client)
        yield started


@pytest.mark.slow
def test_qdrant_to_qdrant_by_a_snapshot_that_the_new_server_takes_back_whole(
    harness: Harness, server: QdrantServer, tmp_path: Path
) -> None:
    """Nothing is upserted: settings and index come along, the collection bears the mark, all records are compared."""
    with QdrantServer(tmp_path / "other") as other:
        ref = harness.migrate(place(server, "docs"), place(other, "docs"), STRATEGY, sync={"absence_wait_s": 0})
        assert harness.migration(ref).state is State.SWITCHED
        assert kind_of(ref) is SnapshotKind.SERVER
        assert [one.checksum for one in other.snapshots.recoveries] == [snapshot_of(open_work(ref)).files[0].sha256]
        with contextlib.closing(QdrantClient(port=other.rest_port, check_compatibility=False)) as client:
            found = client.get_collection("docs")
            assert "year" in found.payload_schema
            assert set(found.config.metadata or {}) == {"team", "vecferry"}
            client.upsert("docs", [models.PointStruct(id=900, vector=[1.0] * 8, payload={"year": 1})], wait=True)
        with contextlib.closing(QdrantClient(port=server.rest_port, check_compatibility=False)) as client:
            assert client.list_snapshots("docs") == []
        assert harness.records(place(other, "docs")).keys() > harness.records(place(server, "docs")).keys()
        harness.rollback(ref)
        assert harness.records(place(other, "docs")) == harness.records(place(server, "docs"))
        with contextlib.closing(QdrantClient(port=server.rest_port, check_compatibility=False)) as client:
            client.delete("docs", models.PointIdsList(points=[3]), wait=True)
        forward(harness.runner, ref)
        assert harness.route(ref).url == place(other, "docs")
        assert harness.records(place(other, "docs")) == harness.records(place(server, "docs"))
        assert len(other.snapshots.recoveries) == 1


@pytest.mark.slow
@pytest.mark.parametrize("over", [False, True], ids=["held", "over"])
@pytest.mark.parametrize("point", ["snapshot.copied", "snapshot.recovered", "snapshot.restored", "validate.concluded"])
def test_s13_a_restore_that_dies_is_finished_by_the_next_run(
    harness: Harness, server: QdrantServer, point: str, over: bool
) -> None:
    """What the server took back before the mark could be set is known by its digest; later rows move as well."""
    sync = {"absence_wait_s": 0, "driver_timeout_s": 0}
    ref = harness.start(place(server, "docs"), place(server, "new"), STRATEGY, sync=sync)
    assert harness.run_until_killed(ref, f"{point}=kill") == -9
    if over:
        connection = sqlite3.connect(harness.folder / "ledger.db", isolation_level=None)
        connection.execute("UPDATE vecferry_pauses SET paused_until = paused_at")
        connection.close()
        with contextlib.closing(QdrantClient(port=server.rest_port, check_compatibility=False)) as client:
            client.upsert("docs", [models.PointStruct(id=900, vector=[1.0] * 8, payload={"year": 1})], wait=True)
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.records(place(server, "new")) == harness.records(place(server, "docs"))


@pytest.mark.slow
def test_what_the_way_is_measured_with_is_gone_before_anybody_is_asked(harness: Harness, server: QdrantServer) -> None:
    """The scratch collection is dropped; one that a killed run left is found by its mark, and dropped too."""
    harness.answer = False
    ref = harness.start(place(server, "docs"), place(server, "new"), STRATEGY, approve="ask")
    with contextlib.closing(QdrantClient(port=server.rest_port, check_compatibility=False)) as client:
        assert harness.run_until_killed(ref, "snapshot.scratch_made=kill") == -9
        assert len(client.get_collections().collections) == 2
        with pytest.raises(Stopped, match="declined"):
            harness.run(ref)
        assert [one.name for one in client.get_collections().collections] == ["docs"]


@pytest.mark.slow
def test_a_store_that_takes_no_scratch_collection_is_not_measured(harness: Harness, server: QdrantServer) -> None:
    """Its name is taken by somebody else: left alone, and the form says that the new store's speed is not known."""
    harness.answer = False
    ref = harness.start(place(server, "docs"), place(server, "new"), STRATEGY, approve="ask")
    name = f"vecferry_scratch_{hashlib.sha256(ref.migration.encode()).hexdigest()[:12]}"
    with contextlib.closing(QdrantClient(port=server.rest_port, check_compatibility=False)) as client:
        client.create_collection(name, models.VectorParams(size=2, distance=models.Distance.DOT))
        with pytest.raises(Stopped, match="declined"):
            harness.run(ref)
        assert client.collection_exists(name)
    assert any("it was not measured" in line for line in harness.forms[0].lines)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["chroma+path", "milvus+path", "numpy-tree", "jsonl"])
def test_every_engine_takes_a_sample_and_then_all_of_it(harness: Harness, tmp_path: Path, kind: str) -> None:
    """The scratch collection stands beside the target in one engine's folder, and is gone afterwards."""
    old = "memory:///to-" + kind.replace("+", "-")
    fill(old, [mixed_batch(60)])
    new = target_url(kind, Place(tmp_path), "docs")
    consent = ["vector_lengths"] if kind == "milvus+path" else []
    ref = harness.migrate(old, new, STRATEGY, consent=consent, sync={"absence_wait_s": 0})
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.records(new).keys() == harness.records(old).keys()
    assert not list(tmp_path.rglob("*scratch*"))


@pytest.mark.slow
def test_a_collection_that_somebody_else_made_meanwhile_is_left_alone(harness: Harness, server: QdrantServer) -> None:
    """Under the name of the target something else came to be: refused, the old store serves, nothing was dropped."""
    ref = harness.start(place(server, "docs"), place(server, "new"), STRATEGY)
    with contextlib.closing(QdrantClient(port=server.rest_port, check_compatibility=False)) as client:
        other = models.VectorParams(size=8, distance=models.Distance.DOT)
        before(harness, steps.restore_snapshot, lambda: client.create_collection("new", other))
        with pytest.raises(TargetNotEmpty, match="is not the snapshot"):
            harness.run(ref)
        assert client.collection_exists("new")
    assert harness.route(ref).url == place(server, "docs")


@pytest.mark.slow
def test_a_qdrant_collection_that_changes_on_the_way_is_exported(harness: Harness, server: QdrantServer) -> None:
    """Another metric is no snapshot: the plan says that records go through the archive."""
    ref = harness.migrate(place(server, "docs"), place(server, "new"), STRATEGY, metric="euclid", consent=["metric"])
    assert kind_of(ref) is SnapshotKind.ARCHIVE
    assert harness.records(place(server, "new")).keys() == harness.records(place(server, "docs")).keys()


@pytest.mark.slow
def test_an_alias_of_the_old_store_never_leads_to_what_is_measured_with(
    harness: Harness, server: QdrantServer, tmp_path: Path
) -> None:
    """Aliases go along with the collection that is switched to, and so the records go through the archive."""
    with contextlib.closing(QdrantClient(port=server.rest_port, check_compatibility=False)) as client:
        alias = models.CreateAlias(collection_name="docs", alias_name="live")
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    with QdrantServer(tmp_path / "other") as other:
        ref = harness.migrate(place(server, "docs"), place(other, "docs"), STRATEGY)
        assert kind_of(ref) is SnapshotKind.ARCHIVE
        with contextlib.closing(QdrantClient(port=other.rest_port, check_compatibility=False)) as client:
            assert [(one.alias_name, one.collection_name) for one in client.get_aliases().aliases] == [("live", "docs")]
