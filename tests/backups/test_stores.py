"""Each store's own files as a backup: copied, damaged, put back, and read by the engine's own client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import chromadb
import faiss
import numpy as np
import pytest
from chromadb.config import Settings
from milvus_lite.server_manager import server_manager_instance
from pymilvus import MilvusClient
from qdrant_edge import EdgeShard, ScrollRequest

from tests.backups.support import contents, flip
from tests.support.migrating import Harness
from tests.support.raw_collections import Place, RawData, generate, make_source
from vecferry import address
from vecferry.config import StoreConfig
from vecferry.errors import ArchiveDamaged, BadOption, DataDiffer, NotFound, StoreRefused
from vecferry.ledger import State
from vecferry.model import VerdictState
from vecferry.operations import backup_sets, backups, restores
from vecferry.operations.backups import Backup, Method
from vecferry.transfer.backup import sha256_of

ENGINES = ("numpy", "numpy-tree", "jsonl", "faiss", "qdrant+edge", "chroma+path", "milvus+path")


@pytest.fixture
def data() -> RawData:
    """A few records."""
    return generate(40, 8)


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """A ledger and a home of the test's own."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    return Harness(tmp_path)


def made_by(kind: str, folder: Path, data: RawData) -> str:
    """A collection that its engine wrote."""
    return make_source(kind, Place(folder), "docs", data)


def backed_up(harness: Harness, url: str, root: Path, method: Method | None = None) -> Backup:
    return backups.backup(harness.runner, harness.ledger, harness.config(url, url + "-none"), root, method)


def moved_to(url: str, folder: Path) -> str:
    """The URL of the same collection in another folder."""
    place = address.parse(url)
    return f"{place.scheme}://{folder}/{place.name}"


def seen_by_its_engine(kind: str, url: str) -> Any:
    """What the engine's own client finds in a collection, whole."""
    place = address.parse(url)
    return _READERS[kind](place.file if kind not in ("chroma+path", "milvus+path") else place.folder(), place.name)


def _by_numpy(file: Path, name: str) -> Any:
    return np.load(file).tolist(), file.with_suffix(".jsonl").read_text()


def _by_numpy_tree(folder: Path, name: str) -> Any:
    return {path.name: (np.load(path).tolist(), path.with_suffix(".json").read_text()) for path in folder.glob("*.npy")}


def _by_json(file: Path, name: str) -> Any:
    return [json.loads(line) for line in file.read_text().splitlines()]


def _by_faiss(file: Path, name: str) -> Any:
    index = faiss.read_index(str(file))
    return index.reconstruct_n(0, index.ntotal).tolist(), file.with_suffix(".json").read_text()


def _by_edge(folder: Path, name: str) -> Any:
    shard = EdgeShard.load(str(folder))
    points, _ = shard.scroll(ScrollRequest(limit=100, with_vector=True, with_payload=True))
    shard.close()
    return [(str(point.id), point.vector, point.payload) for point in points]


def _by_chroma(folder: Path, name: str) -> Any:
    client = chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
    found = client.get_collection(name, embedding_function=None).get(include=["embeddings", "metadatas", "documents"])
    client.close()
    embeddings = found["embeddings"]
    assert embeddings is not None
    return found["ids"], np.asarray(embeddings).tolist(), found["metadatas"], found["documents"]


def _by_milvus(folder: Path, name: str) -> Any:
    client = MilvusClient(uri=server_manager_instance.start_and_get_uri(str(folder)), dedicated=True)
    client.load_collection(name)
    found = client.query(name, filter="id >= 0", output_fields=["*"], limit=100)
    client.close()
    server_manager_instance.release_server(str(folder))
    return sorted((dict(row) for row in found), key=lambda row: row["id"])


_READERS = {
    "numpy": _by_numpy, "numpy-tree": _by_numpy_tree, "jsonl": _by_json, "faiss": _by_faiss, "qdrant+edge": _by_edge,
    "chroma+path": _by_chroma, "milvus+path": _by_milvus,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENGINES)
def test_a_store_comes_back_from_copies_of_its_files(
    kind: str, harness: Harness, data: RawData, tmp_path: Path
) -> None:
    """The engine's own client finds in the restored files what it found in the old ones, and the copies read back."""
    url = made_by(kind, tmp_path / "old", data)
    made = backed_up(harness, url, tmp_path / "root")
    assert (made.listing.method, made.listing.rows, made.migration) == (Method.FILES, 40, None)
    assert made.listing.verified_at is not None

    again = moved_to(url, tmp_path / "new")
    done = restores.restore(
        harness.runner, harness.ledger, str(made.folder), StoreConfig(url=again), harness.config(url, again)
    )
    assert (done.rows, done.migration, done.files) == (40, None, made.listing.files)
    assert seen_by_its_engine(kind, again) == seen_by_its_engine(kind, url)
    assert [item.damages for item in backup_sets.verify_backups(tmp_path / "root", newest=False)] == [()]


@pytest.mark.parametrize(
    "kind", ["faiss", pytest.param("qdrant+edge", marks=pytest.mark.slow), "chroma+path", "milvus+path"]
)
def test_a_flipped_bit_in_any_file_is_named(kind: str, harness: Harness, data: RawData, tmp_path: Path) -> None:
    """Whichever file of a backup is damaged, its listing too: verify names it, and a restore leaves nothing behind."""
    made = backed_up(harness, made_by(kind, tmp_path / "old", data), tmp_path / "root")
    target = StoreConfig(url=moved_to(made.listing.source, tmp_path / "new"))
    for path in sorted(path for path in made.folder.rglob("*") if path.is_file()):
        whole = contents(made.folder)
        flip(path)
        (found,) = backup_sets.verify_backups(tmp_path / "root", newest=True)
        assert any(str(path) in line for line in found.damages), path
        with pytest.raises((ArchiveDamaged, NotFound), match="damaged"):
            restores.restore_whole(str(made.folder), target)
        assert not (tmp_path / "new").exists()
        for name, content in whole.items():
            (made.folder / name).write_bytes(content)
    assert restores.restore_whole(str(made.folder), target) is not None


@pytest.mark.slow
def test_a_backup_goes_into_another_engine_with_a_verdict(harness: Harness, data: RawData, tmp_path: Path) -> None:
    """Copies of a Chroma folder and of an embedded Qdrant become other stores, every record compared."""
    for kind, goal, metric in (
        ("chroma+path", f"qdrant+edge://{tmp_path}/new/docs", None),
        ("qdrant+edge", f"jsonl://{tmp_path}/new/docs.jsonl", None),
    ):
        url = made_by(kind, tmp_path / kind, data)
        made = backed_up(harness, url, tmp_path / "root" / kind)
        before = contents(made.folder)
        config = harness.config(url, goal, metric=metric)
        done = restores.restore(harness.runner, harness.ledger, str(made.folder), config.target, config)
        assert done.verdict is not None
        assert done.verdict.state is VerdictState.SAME
        assert contents(made.folder) == before, "an engine was let into the backup"
        assert harness.records(goal) == harness.records(url)
    assert not any((tmp_path / "home" / "restores").rglob("edge_config.json"))


@pytest.mark.slow
def test_an_engines_folder_may_come_back_under_another_name(harness: Harness, data: RawData, tmp_path: Path) -> None:
    """Under its old name it is put back as bytes, under another one its records are loaded and compared."""
    url = made_by("qdrant+edge", tmp_path / "old", data)
    made = backed_up(harness, url, tmp_path / "root")
    config = harness.config(url, f"qdrant+edge://{tmp_path}/new/docs_again")
    done = restores.restore(harness.runner, harness.ledger, str(made.folder), config.target, config)
    assert done.verdict is not None
    assert done.verdict.state is VerdictState.SAME
    assert harness.records(config.target.url) == harness.records(url)


def test_a_folder_is_copied_with_all_its_collections(harness: Harness, data: RawData, tmp_path: Path) -> None:
    """Chroma keeps every collection in one database file, so they come back together."""
    url = made_by("chroma+path", tmp_path / "old", data)
    folder = address.parse(url).folder()
    client = chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
    client.create_collection("other", embedding_function=None).add(ids=["a"], embeddings=np.ones((1, 3), np.float32))
    client.close()
    made = backed_up(harness, url, tmp_path / "root")
    restores.restore_whole(str(made.folder), StoreConfig(url=moved_to(url, tmp_path / "new")))
    assert seen_by_its_engine("chroma+path", f"chroma+path://{tmp_path}/new/other")[0] == ["a"]


@pytest.mark.slow
def test_a_folder_that_is_in_use_is_refused(harness: Harness, data: RawData, tmp_path: Path) -> None:
    """Chroma has the folder open: the process is named, and no backup is begun."""
    url = made_by("chroma+path", tmp_path / "old", data)
    client = chromadb.PersistentClient(str(address.parse(url).folder()), settings=Settings(anonymized_telemetry=False))
    try:
        with pytest.raises(StoreRefused, match="is in use by"):
            backed_up(harness, url, tmp_path / "root")
    finally:
        client.close()
    assert not (tmp_path / "root").exists()


def test_a_folder_that_is_written_to_under_the_copy_is_no_backup(
    harness: Harness, data: RawData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that changed between the first and the last copied byte is named, and nothing stays."""
    url = made_by("qdrant+edge", tmp_path / "old", data)
    changing = tmp_path / "old" / "edge" / "docs" / "edge_config.json"

    def changed_meanwhile(path: Path) -> str:
        changing.write_bytes(changing.read_bytes() + b" ")
        return sha256_of(path)

    monkeypatch.setattr("vecferry.transfer.backup.sha256_of", changed_meanwhile)
    with pytest.raises(DataDiffer, match=r"was written to under the copy"):
        backed_up(harness, url, tmp_path / "root")
    assert list((tmp_path / "root").rglob("*.json")) == []


def test_a_method_that_a_store_does_not_have_is_refused(harness: Harness, data: RawData, tmp_path: Path) -> None:
    """Files have no server that makes snapshots; the advice names what they have."""
    url = made_by("jsonl", tmp_path / "old", data)
    with pytest.raises(BadOption, match="cannot be backed up as snapshot") as refused:
        backed_up(harness, url, tmp_path / "root", Method.SNAPSHOT)
    assert refused.value.advice == "--method files, archive"


def test_files_may_be_backed_up_as_an_archive(harness: Harness, data: RawData, tmp_path: Path) -> None:
    """The archive is a backup with a digest, and is loaded into another store."""
    url = made_by("chroma+path", tmp_path / "old", data)
    made = backed_up(harness, url, tmp_path / "root", Method.ARCHIVE)
    assert (made.listing.method, made.listing.rows) == (Method.ARCHIVE, 40)
    assert made.listing.digest is not None
    assert made.listing.digest.startswith("40-")
    assert [one.state for one in harness.ledger.migrations()] == [State.READY]
    config = harness.config(url, f"jsonl://{tmp_path}/new/docs.jsonl")
    restores.restore(harness.runner, harness.ledger, str(made.folder), config.target, config)
    assert harness.records(config.target.url) == harness.records(url)


@pytest.mark.slow
def test_a_migration_copies_the_folder_of_its_source(harness: Harness, data: RawData, tmp_path: Path) -> None:
    """Phase 2 keeps copies of an engine's folder beside the archive; they are a backup like any other."""
    url = made_by("qdrant+edge", tmp_path / "old", data)
    harness.migrate(url, f"jsonl://{tmp_path}/new/docs.jsonl", archive=str(tmp_path / "archive"))
    (found,) = backup_sets.verify_backups(tmp_path / "archive" / "backup", newest=False)
    assert found.damages == ()
    again = moved_to(url, tmp_path / "again")
    assert restores.restore_whole(str(found.backup.folder), StoreConfig(url=again)) is not None
    assert seen_by_its_engine("qdrant+edge", again) == seen_by_its_engine("qdrant+edge", url)
