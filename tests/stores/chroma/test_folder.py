"""The direct reader of Chroma folders, compared with Chroma's own client on copies of the same folders."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vecferry import canonical
from vecferry.errors import NotFound
from vecferry.model import IDS_ONLY, Part
from vecferry.stores.chroma.folder import ChromaFolder, KeyRange

from . import folders
from .folders import assert_same, by_chroma, by_us, file_hashes, open_collection

SPACES = ("l2", "ip", "cosine")
ALL_IN_LOG = 1_000_000
ROWS, DIMENSION = 600, 12


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six churned collections, their rows among each other's: each metric, mostly in the index and all in the log."""
    path = tmp_path_factory.mktemp("mixed")
    chooser, numbers = random.Random(7), np.random.default_rng(7)
    with folders.client(path) as opened:
        made = [
            folders.create(opened, f"{space}-{threshold}", space=space, sync_threshold=threshold)
            for space in SPACES
            for threshold in (50, ALL_IN_LOG)
        ]
        for first in range(0, ROWS, 150):
            for collection in made:
                wanted = range(first, first + 150)
                collection.add(
                    ids=[f"record-{number}" for number in wanted],
                    embeddings=numbers.standard_normal((150, DIMENSION)).astype(np.float32) * 3,
                    documents=[chooser.choice(["", f"document {number}", "漢字 🦜\n"]) for number in wanted],
                    metadatas=[folders.metadata_for(chooser, number) for number in wanted],
                )
        for collection in made:
            folders.churn(collection, chooser, ROWS, DIMENSION)
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,300 records of 20 dimensions at the default threshold of 1,000: the last ones are only in the log."""
    path = tmp_path_factory.mktemp("large")
    numbers = np.random.default_rng(3)
    with folders.client(path) as opened:
        collection = folders.create(opened, "large")
        for first in range(0, 3300, 300):
            wanted = range(first, first + 300)
            collection.add(
                ids=[f"{number:05d}" for number in wanted],
                embeddings=numbers.standard_normal((300, 20)).astype(np.float32),
                metadatas=[{"number": number, "ratio": number / 7} for number in wanted],
            )
    return path


@pytest.mark.parametrize(
    ("space", "threshold"),
    [("cosine", 50), ("ip", ALL_IN_LOG)]
    + [
        pytest.param(space, threshold, marks=pytest.mark.slow)
        for space, threshold in (("l2", 50), ("l2", ALL_IN_LOG), ("ip", 50), ("cosine", ALL_IN_LOG))
    ],
)
def test_every_metric_reads_as_chroma_says_it(mixed: Path, tmp_path: Path, space: str, threshold: int) -> None:
    """Adds, deletes, re-adds, updates, upserts and ignored changes give what Chroma gives, from index and log."""
    name = f"{space}-{threshold}"
    ours = by_us(mixed, name)
    assert ROWS * 0.9 < len(ours.ids) < ROWS
    assert_same(ours, by_chroma(mixed, name, tmp_path))


def test_slices_and_batches_give_the_whole_collection(large: Path, tmp_path: Path) -> None:
    """Seven slices in batches of 93 hold every record once, in order, in index and log."""
    assert_same(by_us(large, "large", slices=7, batch_rows=93), by_chroma(large, "large", tmp_path))


def test_reading_leaves_every_file_as_it_was(mixed: Path) -> None:
    """All bytes of the folder are the same afterwards, and no file came or went."""
    before = file_hashes(mixed)
    with ChromaFolder(mixed) as folder:
        for tenant, database, name in folder.collection_names():
            collection = folder.collection(name, tenant, database)
            for part in collection.ranges(2):
                assert list(collection.read(part))
                assert file_hashes(mixed) == before
            collection.fetch(["record-1", "absent"])
            collection.close()
    assert file_hashes(mixed) == before


def test_ranges_are_disjoint_and_cover_every_key(large: Path) -> None:
    """Ranges start at 0, end at the highest key, touch each other and add up to the count."""
    with open_collection(large, "large") as collection:
        for wanted in (1, 2, 7, 5000):
            ranges = collection.ranges(wanted)
            assert len(ranges) == min(wanted, 3300)
            assert (ranges[0].first, ranges[-1].last) == (0, 2**63 - 1)
            assert all(left.last + 1 == right.first for left, right in pairwise(ranges))
            assert sum(part.rows for part in ranges) == collection.count() == 3300


def test_fetch_gives_the_present_records(mixed: Path, tmp_path: Path) -> None:
    """Asked for by id, present records come as Chroma gives them, absent ids not at all, doubles once."""
    wanted = [f"record-{number}" for number in range(0, ROWS, 3)]
    for name in (f"cosine-{ALL_IN_LOG}", "l2-50"):
        with open_collection(mixed, name) as collection:
            ours = folders.columns_of([collection.fetch([*wanted, "absent", wanted[0], "nul\0inside"])])
            assert collection.fetch([]).ids.to_pylist() == []
        with folders.copied(mixed, tmp_path) as opened:
            theirs = folders.opened_collection(opened, name).get(ids=wanted, include=folders.EVERYTHING)
        assert_same(ours, folders.content_of([theirs]))


def test_only_the_wanted_parts_are_read(mixed: Path) -> None:
    """A part that was not asked for is None; ids always come."""
    with open_collection(mixed, "l2-50") as collection:
        everything = KeyRange(0, 2**63 - 1, 0)
        bare = next(collection.read(everything, IDS_ONLY))
        assert (bare.vectors, bare.documents, bare.metadata, bare.uris) == (None, None, None, None)
        one = next(collection.read(everything, frozenset({Part.DOCUMENT})))
        assert one.vectors is None
        assert one.metadata is None
        assert len(one.documents) == len(bare.ids) == collection.count()
        vectors = next(collection.read(everything, frozenset({Part.VECTORS})))
        assert vectors.documents is None
        assert vectors.vectors is not None
        assert vectors.vectors.dtype == np.float32
        assert vectors.vectors.flags.c_contiguous


def test_several_threads_read_at_once(large: Path) -> None:
    """Slices read from four threads give the same as one after the other."""
    with open_collection(large, "large") as collection:
        ranges = collection.ranges(8)
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(lambda part: list(collection.read(part, batch_rows=100)), ranges))
    assert_same(folders.columns_of([rows for part in parts for rows in part]), by_us(large, "large"))


def test_hostile_ids_documents_and_uris(tmp_path: Path) -> None:
    """Odd ids, empty and absent documents, uris and records without anything come exactly."""
    ids = [
        "x",
        " ",
        "a'b\"c",
        "line\nbreak",
        "nul\0inside",
        "漢字🦜",
        "1",
        "01",
        "x" * 3000,
        "%_;--",
        "null",
        "\u0301e",
    ]
    path = tmp_path / "folder"
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    numbers = np.random.default_rng(1).standard_normal((len(ids), 3)).astype(np.float32)
    for threshold in (4, 500):
        with folders.client(path) as opened:
            collection = folders.create(opened, f"odd-{threshold}", sync_threshold=threshold)
            half = len(ids) // 2
            documents = ["", "text\0with nul", "🦜", "plain", "x" * 70_000, "null"]
            uris = ["file:///a", "", "s3://bücket/ü", "u", "v", "w"]
            collection.add(ids=ids[:half], embeddings=numbers[:half], documents=documents)
            collection.add(ids=ids[half:], embeddings=numbers[half:], uris=uris)
            collection.update(ids=ids[:2], metadatas=[{"key": "with uri"}] * 2, uris=["late", "later"])
        ours = by_us(path, f"odd-{threshold}")
        assert_same(ours, by_chroma(path, f"odd-{threshold}", scratch))
        assert ours.ids == ids
        assert ours.documents[0] == ""
        assert ours.documents[-1] is None


def test_keys_that_chroma_hides_are_counted(tmp_path: Path) -> None:
    """Metadata under `chroma:...` keys is left out as Chroma leaves it out, and its values are counted."""
    with folders.client(tmp_path / "folder") as opened:
        collection = folders.create(opened, "hidden")
        collection.add(ids=["a"], embeddings=[[1.0, 2.0]], metadatas=[{"chroma:mine": 1, "seen": 2}])
    with open_collection(tmp_path / "folder", "hidden") as reader:
        rows = reader.fetch(["a"])
    assert rows.metadata.to_pylist() == ['{"seen":2}']
    assert rows.hidden_values == 1
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    assert_same(by_us(tmp_path / "folder", "hidden"), by_chroma(tmp_path / "folder", "hidden", scratch))


def test_empty_and_emptied_collections(tmp_path: Path) -> None:
    """A collection never written to has no dimension; one that was emptied keeps it; neither has a record."""
    with folders.client(tmp_path / "folder") as opened:
        folders.create(opened, "never")
        emptied = folders.create(opened, "emptied", sync_threshold=2)
        emptied.add(ids=["a", "b", "c"], embeddings=[[1.0, 2.0]] * 3)
        emptied.delete(ids=["a", "b", "c"])
    for name, dimension in (("never", None), ("emptied", 2)):
        with open_collection(tmp_path / "folder", name) as collection:
            assert collection.info.dimension == dimension
            assert collection.count() == 0
            assert collection.ranges(3) == [KeyRange(0, 2**63 - 1, 0)]
            assert list(collection.read(collection.ranges(1)[0])) == []
            assert collection.fetch(["a"]).ids.to_pylist() == []
            assert collection.lost_count() == 0


@pytest.mark.parametrize("threshold", [2, 1000])
def test_cosine_extremes_come_as_chroma_gives_them(tmp_path: Path, threshold: int) -> None:
    """Zero, tiny, huge and overflowing lengths give the same bits from the index and from the log."""
    rows = [
        [0.0, 0.0, 0.0],
        [1e-20, 2e-20, 0.0],
        [1e-30, 1e-30, 1e-38],
        [3e18, 4e18, 0.0],
        [3e19, 4e19, 1.0],
        [-0.0, 1.0, -1e-42],
        [1 / 3, -1 / 7, 1e-7],
        [1.0, 0.0, 0.0],
    ]
    with folders.client(tmp_path / "folder") as opened:
        collection = folders.create(opened, "edge", space="cosine", sync_threshold=threshold)
        collection.add(ids=[str(row) for row in range(len(rows))], embeddings=np.array(rows, dtype=np.float32))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    ours, theirs = by_us(tmp_path / "folder", "edge"), by_chroma(tmp_path / "folder", "edge", scratch)
    finite = ~np.isnan(theirs.vectors)
    assert np.array_equal(np.isnan(ours.vectors), ~finite)
    assert np.array_equal(ours.vectors[finite].view(np.uint32), theirs.vectors[finite].view(np.uint32))
    assert not finite.all()


def test_what_a_collection_says_of_itself(tmp_path: Path) -> None:
    """Uuid, metadata, metric, settings and dimension are those that Chroma tells."""
    metadata: dict[str, Any] = {"owner": "a", "year": 2024, "ratio": 0.5, "live": True}
    with folders.client(tmp_path) as opened:
        collection = opened.create_collection(
            "told",
            embedding_function=None,
            metadata=metadata,
            configuration={"hnsw": {"space": "ip", "max_neighbors": 8, "ef_construction": 40, "sync_threshold": 77}},
        )
        collection.add(ids=["a"], embeddings=[[1.0, 2.0, 3.0]])
        old_style = opened.create_collection(
            "old-style", embedding_function=None, metadata={"hnsw:space": "cosine", "hnsw:M": 24}
        )
        uuids = {collection.name: str(collection.id), old_style.name: str(old_style.id)}
        told = collection.configuration["hnsw"]
    with ChromaFolder(tmp_path) as folder:
        assert folder.collection_names() == [
            ("default_tenant", "default_database", "old-style"),
            ("default_tenant", "default_database", "told"),
        ]
        info, old = folder.collection("told").info, folder.collection("old-style").info
    assert (info.uuid, old.uuid) == (uuids["told"], uuids["old-style"])
    assert canonical.encode(info.metadata) == canonical.encode(metadata)
    assert (info.space, info.dimension, info.tenant) == ("ip", 3, "default_tenant")
    assert {key: info.configuration["hnsw"][key] for key in told if key != "space"} == {
        key: value for key, value in told.items() if key != "space"
    }
    assert (old.space, old.metadata) == ("cosine", {"hnsw:space": "cosine", "hnsw:M": 24})


def test_collections_of_one_name_in_two_databases(tmp_path: Path) -> None:
    """The same name in another database is another collection."""
    path = tmp_path / "folder"
    with folders.client(path) as opened:
        folders.create(opened, "twice").add(ids=["default"], embeddings=[[1.0]])
        opened._admin_client.create_database("second")
    with folders.client(path, database="second") as opened:
        folders.create(opened, "twice").add(ids=["second"], embeddings=[[2.0]])
    with ChromaFolder(path) as folder:
        assert folder.collection("twice").fetch(["default", "second"]).ids.to_pylist() == ["default"]
        other = folder.collection("twice", database="second")
        assert other.fetch(["default", "second"]).ids.to_pylist() == ["second"]


def test_an_unknown_collection_is_not_created(large: Path) -> None:
    """The error names the collections that are there, and the folder stays as it was."""
    before = file_hashes(large)
    with ChromaFolder(large) as folder, pytest.raises(NotFound, match="no collection 'lrage'") as caught:
        folder.collection("lrage")
    assert "large" in caught.value.advice
    assert file_hashes(large) == before
