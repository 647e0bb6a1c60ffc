"""Estimates of room, held against the files that the engines themselves write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import faiss
import numpy as np
import pytest
import qdrant_edge as edge

from tests.support.raw_collections import Place, RawData, generate, make_source
from tests.transfer.support import memory
from vecferry import address
from vecferry.config import make_config
from vecferry.model import CollectionSchema, DType, IdKind, VectorField, VectorKind
from vecferry.operations import surveys
from vecferry.stores import registry
from vecferry.survey import Survey, TextSurvey, VectorSurvey
from vecferry.survey.load import Load, VectorLoad, load_of
from vecferry.survey.sizing import ENGINES, Estimate, estimate, guide_bytes
from vecferry.transfer.stored import StoredSize, stored_size

ROWS, DIMENSION = 3000, 32


def load(rows: int = ROWS, dimension: int = DIMENSION, dtype: DType = DType.FLOAT32, **more: int) -> Load:
    """So many records with one dense vector, and nothing else unless given."""
    vector = VectorLoad("", VectorKind.DENSE, dtype, dimension, rows, rows * dimension)
    return Load(rows, (vector,), number_ids=True, **more)


def parts(found: Estimate) -> dict[str, tuple[int, int]]:
    """RAM and disk of each part."""
    return {part.name: (part.ram_bytes, part.disk_bytes) for part in found.parts}


def made(engine: str, of: Load, options: Mapping[str, str] | None = None) -> Estimate:
    """The estimate of an engine that has one."""
    found = estimate(engine, of, options)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Random vectors."""
    return np.random.default_rng(0).normal(size=(ROWS, DIMENSION)).astype(np.float32)


@pytest.mark.parametrize(
    ("kind", "options"), [("Flat", {}), ("HNSW16,Flat", {"index": "hnsw", "m": "16"}), ("IVF50,Flat", {"index": "ivf"})]
)
def test_a_faiss_index_file_is_as_large_as_was_estimated(
    kind: str, options: dict[str, str], vectors: np.ndarray, tmp_path: Path
) -> None:
    """Within half a percent (levels of a graph are drawn by lot), with ids of its own (IDMap2, or the lists')."""
    index = faiss.index_factory(DIMENSION, kind if kind.startswith("IVF") else f"IDMap2,{kind}")
    index.train(vectors)
    index.add_with_ids(vectors, np.arange(ROWS) * 3)
    faiss.write_index(index, str(tmp_path / "index"))
    found = parts(made("faiss", load(), options | ({"nlist": "50"} if kind.startswith("IVF") else {})))
    estimated = sum(disk for name, (_, disk) in found.items() if name != "metadata")
    assert estimated == pytest.approx((tmp_path / "index").stat().st_size, rel=5e-3)


@pytest.mark.slow
def test_the_index_files_of_a_chroma_folder_are_as_large_as_was_estimated(tmp_path: Path) -> None:
    """hnswlib's files within 2 %; the whole folder, its SQLite tables with full text included, within a quarter."""
    data = generate(ROWS, DIMENSION)
    url = make_source("chroma+path", Place(tmp_path), "docs", data)
    found = surveys.inspect(make_config({"source": url, "target": url}))
    assert found.sizes.loaded is not None
    files = {file.name: file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()}
    graph = files["data_level0.bin"] + files["link_lists.bin"]
    estimated = parts(found.sizes.loaded)
    assert estimated["vectors"][1] + estimated["HNSW links"][1] == pytest.approx(graph, rel=0.02)
    assert estimated["ids"][1] == pytest.approx(files["index_metadata.pickle"], rel=0.05)
    assert found.sizes.loaded.disk_bytes == pytest.approx(sum(files.values()), rel=0.25)


def test_the_files_of_qdrants_engine_are_as_large_as_was_estimated(vectors: np.ndarray, tmp_path: Path) -> None:
    """Vectors and ids to the byte but for headers; links at most, as full lists are assumed, and no less than half."""
    config = edge.EdgeConfig(
        vectors=edge.EdgeVectorParams(size=DIMENSION, distance=edge.Distance.Dot),
        hnsw_config=edge.HnswIndexConfig(m=16, ef_construct=32, full_scan_threshold=1),
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=1),
    )
    shard = edge.EdgeShard.create(str(tmp_path), config)
    points = [edge.Point(number, row.tolist(), {"n": number}) for number, row in enumerate(vectors)]
    shard.update(edge.UpdateOperation.upsert_points(points))
    shard.optimize()
    shard.close()
    sizes = {file.name: file.stat().st_size for file in tmp_path.rglob("*") if file.is_file()}
    estimated = parts(made("qdrant", load(payload_bytes=10 * ROWS)))
    assert estimated["vectors"][1] == pytest.approx(sizes["matrix.dat"], rel=0.001)
    assert 0.5 * estimated["HNSW links"][1] < sizes["links_compressed.bin"] <= estimated["HNSW links"][1]
    assert estimated["ids"][1] == pytest.approx(sizes["id_tracker.mappings"] + sizes["id_tracker.versions"], rel=0.001)
    allocated = sum(file.stat().st_blocks * 512 for file in tmp_path.rglob("page_0.dat"))
    assert estimated["payload"][1] == pytest.approx(allocated + 16 * ROWS, rel=0.1)


def test_the_rule_of_thumb_is_that_of_qdrants_documentation() -> None:
    """Its own example: a million vectors of 1,024 numbers take 6,144,000,000 bytes."""
    assert guide_bytes(load(1_000_000, 1024)) == 6_144_000_000


@pytest.mark.parametrize(
    ("engine", "dtype", "size_bytes"),
    [
        ("qdrant", DType.FLOAT16, 2),
        ("qdrant", DType.UINT8, 1),
        ("qdrant", DType.FLOAT64, 4),
        ("chroma", DType.FLOAT16, 4),
        ("milvus", DType.FLOAT16, 2),
        ("milvus", DType.INT8, 1),
        ("faiss", DType.UINT8, 4),
    ],
)
def test_numbers_take_the_bytes_that_an_engine_has_for_their_type(engine: str, dtype: DType, size_bytes: int) -> None:
    """An engine without the type keeps float32."""
    assert parts(made(engine, load(dtype=dtype)))["vectors"][0] == ROWS * DIMENSION * size_bytes


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_an_empty_collection_needs_no_memory(engine: str) -> None:
    """No division by zero, and nothing but fixed files."""
    assert made(engine, Load(0)).ram_bytes == 0
    assert made(engine, load(0)).ram_bytes == 0


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_an_estimate_is_the_sum_of_its_parts_and_grows_with_the_records(engine: str) -> None:
    """Each part has its formula; twice the records take more."""
    small, large = made(engine, load(1000, payload_bytes=10_000)), made(engine, load(2000, payload_bytes=20_000))
    assert small.ram_bytes == sum(part.ram_bytes for part in small.parts)
    assert small.disk_bytes == sum(part.disk_bytes for part in small.parts)
    assert all(part.formula for part in small.parts)
    assert large.ram_bytes > small.ram_bytes


def test_options_of_the_target_change_the_estimate() -> None:
    """More links take more memory; no graph takes none."""
    few, many = (made("faiss", load(), {"index": "hnsw", "m": m}).ram_bytes for m in ("8", "64"))
    assert few < many
    assert "HNSW links" not in parts(made("milvus", load(), {"index": "flat"}))
    assert estimate("numpy", load()) is None


def test_what_was_read_of_a_part_is_scaled_to_all_records() -> None:
    """A tenth was read: everything counts ten times; a vector that was not read has one row a record."""
    seen = VectorSurvey(present=100, rows=100, numbers=800)
    survey = Survey(100, 500, payload_bytes=1000, payload_values=300, documents=TextSurvey(50, 250), vectors={"": seen})
    fields = VectorField("", dimension=8), VectorField("other", dimension=2), VectorField("s", VectorKind.SPARSE)
    found = load_of(CollectionSchema("docs", fields, frozenset({IdKind.UINT64})), survey, 1000)
    assert (found.payload_bytes, found.payload_values, found.document_bytes, found.id_bytes) == (
        10000,
        3000,
        2500,
        5000,
    )
    assert [(one.rows, one.numbers) for one in found.vectors] == [(1000, 8000), (1000, 2000), (1000, 0)]
    assert found.number_ids


def test_files_are_sized_as_they_are(tmp_path: Path, vectors: np.ndarray) -> None:
    """Of files their bytes; of an embedded engine's folder what is filled of it; a server does not say."""
    np.save(tmp_path / "docs.npy", vectors)
    place = address.parse(f"numpy://{tmp_path}/docs.npy")
    found = stored_size(place, registry.open_source(place))
    assert found == StoredSize((tmp_path / "docs.npy").stat().st_size, "one file")
    data = RawData(vectors[:10], [{} for _ in range(10)], [None] * 10)
    place = address.parse(make_source("qdrant+edge", Place(tmp_path), "docs", data))
    with registry.open_source(place) as source:
        filled = stored_size(place, source).disk_bytes
        assert filled is not None
        # The engine reserves 128 MiB for its logs, vectors and payloads.
        assert 0 < filled < sum(item.file.stat().st_size for item in source.files()) / 2
    assert stored_size(address.parse("memory:///docs"), memory([])).disk_bytes is None


def test_files_that_a_collection_shares_are_told_as_such(tmp_path: Path, vectors: np.ndarray) -> None:
    """The collections of a Chroma folder stand in one database file."""
    data = RawData(vectors[:10], [{"n": 1} for _ in range(10)], [None] * 10)
    place = address.parse(make_source("chroma+path", Place(tmp_path), "docs", data))
    with registry.open_source(place) as source:
        assert "other collections in them included" in stored_size(place, source).of
