"""Snapshots that a Qdrant server makes: kept with their checksum, given back, and compared record by record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from qdrant_client import QdrantClient
from qdrant_client import models as m

from tests.backups.support import flip
from tests.support.migrating import Harness
from tests.support.qdrant_server import QdrantServer
from tests.support.raw_collections import Place, generate, make_source
from vecferry.config import StoreConfig
from vecferry.contract import Snapshot
from vecferry.errors import (
    ArchiveDamaged,
    BadOption,
    DataDiffer,
    RetryLater,
    StoreRefused,
    TargetNotEmpty,
)
from vecferry.model import Level, LevelState, VerdictState
from vecferry.operations import backup_sets, backups, restores
from vecferry.operations.backups import Backup, Method
from vecferry.stores import registry
from vecferry.transfer.backup_listing import read_listing, write_listing

ROWS = 40


@pytest.fixture
def server(tmp_path: Path) -> Iterator[QdrantServer]:
    """A loopback server of the test's own."""
    with QdrantServer(tmp_path / "server") as started:
        yield started


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """A ledger and a home of the test's own."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    return Harness(tmp_path)


@pytest.fixture
def source(server: QdrantServer, tmp_path: Path) -> str:
    """A collection with a payload index, on the server."""
    place = Place(tmp_path, server.grpc_port, server.rest_port)
    url = make_source("qdrant", place, "docs", generate(ROWS, 8))
    with_client(server).create_payload_index("docs", "year", m.PayloadSchemaType.INTEGER, wait=True)
    return url


def with_client(server: QdrantServer) -> QdrantClient:
    return QdrantClient(port=server.rest_port, check_compatibility=False)


def backed_up(harness: Harness, url: str, root: Path) -> Backup:
    config = harness.config(url, "memory:///x")
    return backups.backup(harness.runner, harness.ledger, config, root, Method.SNAPSHOT)


def restored(harness: Harness, made: Backup, url: str) -> restores.Restored:
    config = harness.config(url + "-unused", url)
    return restores.restore(harness.runner, harness.ledger, str(made.folder), StoreConfig(url=url), config)


def test_a_snapshot_is_a_backup(server: QdrantServer, source: str, harness: Harness, tmp_path: Path) -> None:
    """The file is kept with its checksum, the digest of all records and the server's version; the server keeps none."""
    made = backed_up(harness, source, tmp_path / "root")
    assert (made.listing.rows, made.listing.method, made.migration) == (ROWS, Method.SNAPSHOT, None)
    assert made.listing.engine.endswith(" 1.19.0")
    assert made.listing.digest is not None
    (file,) = made.listing.files
    assert (made.folder / "snapshot" / file.path).stat().st_size == file.size_bytes
    assert with_client(server).list_snapshots("docs") == []
    assert backup_sets.verify_backups(tmp_path / "root", newest=True)[0].damages == ()


@pytest.mark.slow
def test_a_snapshot_comes_back_with_its_settings(
    server: QdrantServer, source: str, harness: Harness, tmp_path: Path
) -> None:
    """Under a new name on the server: same records by the digest, indexes with them; priority and checksum are sent."""
    made = backed_up(harness, source, tmp_path / "root")
    target = source.replace("/docs?", "/docs_again?")
    done = restored(harness, made, target)
    assert done.verdict is not None
    assert done.verdict.state is VerdictState.SAME
    states = {result.level: result.state for result in done.verdict.levels}
    assert states[Level.VECTORS] is LevelState.VERIFIED
    assert states[Level.RECALL] is LevelState.NOT_CHECKED
    assert harness.records(target) == harness.records(source)
    assert "year" in with_client(server).get_collection("docs_again").payload_schema
    (recovery,) = server.snapshots.recoveries
    assert (recovery.priority, recovery.checksum) == ("snapshot", made.listing.files[0].sha256)


@pytest.mark.slow
def test_a_snapshot_goes_to_another_server(source: str, harness: Harness, tmp_path: Path) -> None:
    """The file is uploaded, so the other server needs no way to the first one."""
    made = backed_up(harness, source, tmp_path / "root")
    with QdrantServer(tmp_path / "other", api_key="secret") as other:
        url = f"qdrant://127.0.0.1:{other.grpc_port}/docs?rest_port={other.rest_port}"
        target = StoreConfig.model_validate({"url": url, "api_key": {"file": str(_key(tmp_path))}})
        config = harness.config(source, url)
        done = restores.restore(harness.runner, harness.ledger, str(made.folder), target, config)
        assert done.rows == ROWS
        assert done.verdict is not None
        assert done.verdict.state is VerdictState.SAME


def _key(folder: Path) -> Path:
    path = folder / "key"
    path.write_text("secret\n")
    return path


def test_a_damaged_snapshot_is_refused_by_the_server_too(
    server: QdrantServer, source: str, harness: Harness, tmp_path: Path
) -> None:
    """A flipped bit is found by verify, and by the server's own look at the checksum; nothing is created."""
    made = backed_up(harness, source, tmp_path / "root")
    flip(made.folder / "snapshot" / made.listing.files[0].path)
    with pytest.raises((ArchiveDamaged, StoreRefused), match=r"has changed|hecksum mismatch"):
        restored(harness, made, source.replace("/docs?", "/again?"))
    (found,) = backup_sets.verify_backups(tmp_path / "root", newest=True)
    assert "has changed since the backup was made" in found.damages[0]
    assert not with_client(server).collection_exists("again")


@pytest.mark.slow
def test_nothing_is_recovered_over_a_collection(source: str, harness: Harness, tmp_path: Path) -> None:
    """A name that is taken is refused, because a recovery replaces what is there."""
    made = backed_up(harness, source, tmp_path / "root")
    before = harness.records(source)
    with pytest.raises(TargetNotEmpty):
        restored(harness, made, source)
    assert harness.records(source) == before


@pytest.mark.slow
def test_another_kind_of_store_takes_no_snapshot(source: str, harness: Harness, tmp_path: Path) -> None:
    """The advice says how the records get there all the same."""
    made = backed_up(harness, source, tmp_path / "root")
    with pytest.raises(BadOption, match="goes back to a server of the same kind") as refused:
        restored(harness, made, f"jsonl://{tmp_path}/docs.jsonl")
    assert "vecferry migrate" in refused.value.advice


@pytest.mark.slow
def test_an_older_server_is_refused(source: str, harness: Harness, tmp_path: Path) -> None:
    """A snapshot goes to the same minor version or a newer one."""
    made = backed_up(harness, source, tmp_path / "root")
    listing = read_listing(made.folder)
    for version, refused in (("1.20.1", True), ("1.18.2", False)):
        engine = f"a Qdrant server over gRPC, {version}"
        write_listing(made.folder, replace(listing, engine=engine))
        target = source.replace("/docs?", f"/docs_{version}?")
        if refused:
            with pytest.raises(StoreRefused, match=r"is of version 1\.19\.0; the snapshot was made by 1\.20\.1"):
                restored(harness, made, target)
        else:
            assert restored(harness, made, target).rows == ROWS


def test_shards_on_other_nodes_are_not_forgotten(
    server: QdrantServer, source: str, harness: Harness, tmp_path: Path
) -> None:
    """A snapshot would hold one node's part of a cluster's collection: refused, with the method that takes all."""
    server.snapshots.remote_shards.append({"shard_id": 1, "peer_id": 2, "state": "Active"})
    with pytest.raises(StoreRefused, match="1 shards on other nodes") as refused:
        backed_up(harness, source, tmp_path / "root")
    assert "--method archive" in refused.value.advice
    assert with_client(server).list_snapshots("docs") == []


@pytest.mark.slow
def test_a_recovery_that_differs_is_told(server: QdrantServer, source: str, harness: Harness, tmp_path: Path) -> None:
    """Records that are not those of the digest are no restored backup, however well the file arrived."""
    made = backed_up(harness, source, tmp_path / "root")
    with_client(server).delete("docs", m.PointIdsList(points=[1]), wait=True)
    other = backed_up(harness, source, tmp_path / "root")
    listing = read_listing(other.folder)
    write_listing(other.folder, replace(listing, digest=made.listing.digest))
    with pytest.raises(DataDiffer, match="does not hold the records that were backed up"):
        restored(harness, other, source.replace("/docs?", "/docs_again?"))


@pytest.mark.slow
def test_writes_under_a_snapshot_leave_it_unproven(
    server: QdrantServer, source: str, harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where records changed meanwhile no digest is recorded, and the restore says that nothing was compared."""
    make = server.snapshots.make

    def written_to(name: str) -> dict[str, object]:
        made: dict[str, object] = make(name)
        with_client(server).set_payload("docs", {"late": True}, [3], wait=True)
        return made

    monkeypatch.setattr(server.snapshots, "make", written_to)
    made = backed_up(harness, source, tmp_path / "root")
    assert (made.listing.rows, made.listing.digest) == (None, None)
    assert "written to meanwhile" in made.listing.note
    done = restored(harness, made, source.replace("/docs?", "/docs_again?"))
    assert done.verdict is not None
    assert done.verdict.state is VerdictState.NOT_FINISHED
    assert {result.state for result in done.verdict.levels} == {LevelState.NOT_CHECKED}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "left_there"), [("create_snapshot", 0), ("download_snapshot", 0), ("delete_snapshot", 1)]
)
def test_a_failing_server_leaves_no_half_backup(
    verb: str, left_there: int, server: QdrantServer, source: str, harness: Harness, tmp_path: Path
) -> None:
    """Whichever call fails, the error passes on, no backup stays, and the server's file is deleted where it can be."""
    server.faults.fail(verb, code=grpc.StatusCode.UNAVAILABLE)
    with pytest.raises(RetryLater):
        backed_up(harness, source, tmp_path / "root")
    assert list((tmp_path / "root").rglob("*.snapshot")) == []
    assert len(with_client(server).list_snapshots("docs")) == left_there


@pytest.mark.slow
def test_a_snapshot_that_was_cut_on_its_way_is_seen(server: QdrantServer, source: str, tmp_path: Path) -> None:
    """The announced size and checksum are held against what arrived."""
    with registry.open_source(StoreConfig(url=source).address()) as store:
        snapshots = store.snapshots()
        assert snapshots is not None
        made = snapshots.make()
        for wrong in (
            Snapshot(made.name, made.size_bytes + 1, made.sha256),
            Snapshot(made.name, made.size_bytes, "0" * 64),
        ):
            with pytest.raises(DataDiffer, match="is not the snapshot"):
                snapshots.download(wrong, tmp_path / "file")
        snapshots.download(made, tmp_path / "file")
        assert (tmp_path / "file").stat().st_size == made.size_bytes


@pytest.mark.parametrize("wire", ["grpc", "rest"])
def test_the_version_is_asked_on_the_wire_in_use(wire: str, server: QdrantServer, source: str) -> None:
    """A server whose REST is closed can still be backed up as an archive, with its version."""
    port = server.grpc_port if wire == "grpc" else server.rest_port
    rest = "&rest_port=1" if wire == "grpc" else ""
    with registry.open_source(StoreConfig(url=f"qdrant://127.0.0.1:{port}/docs?wire={wire}{rest}").address()) as store:
        snapshots = store.snapshots()
        assert snapshots is not None
        assert snapshots.server_version() == "1.19.0"
