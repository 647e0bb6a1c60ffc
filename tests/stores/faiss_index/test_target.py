"""What a target leaves on the disk: an index that FAISS searches as one of its own, and metadata that anybody reads."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
import pytest

from tests.stores.faiss_index import raw
from vecferry import batch as batches
from vecferry.address import parse
from vecferry.contract import Reader, Target
from vecferry.errors import BadRecord, StoreRefused, TargetNotEmpty
from vecferry.model import CollectionSchema, IdKind, Metric, VectorField
from vecferry.stores import registry
from vecferry.testing.rows import read_all, rows_of

ROWS, DIMENSION = 300, 8
VECTORS = raw.numbers(ROWS, DIMENSION)
KINDS = ("flat", "hnsw", "ivf")


def target_of(path: Path, options: str = "", metric: Metric = Metric.SQUARED_EUCLID) -> Target:
    target = registry.open_target(parse(f"faiss://{path}{options}"))
    field = VectorField("", dimension=DIMENSION, metric=metric)
    target.create(CollectionSchema("docs", (field,), frozenset({IdKind.UINT64})), {"migration": "m"})
    return target


def records(ids: Any, kind: IdKind = IdKind.UINT64) -> pa.RecordBatch:
    listed = list(ids)
    return batches.make(
        [str(item) for item in listed],
        kind,
        vectors={"": batches.dense_array(VECTORS[: len(listed)])},
        documents=[None] * len(listed),
        payloads=[b'{"n":%d}' % row for row in range(len(listed))],
    )


def load(target: Target, *found: pa.RecordBatch) -> None:
    with target.bulk_load():
        for batch in found:
            target.write(batch)


@pytest.mark.parametrize("metric", [Metric.DOT, Metric.SQUARED_EUCLID, Metric.MANHATTAN])
@pytest.mark.parametrize("kind", KINDS)
def test_faiss_searches_what_was_built(tmp_path: Path, kind: str, metric: Metric) -> None:
    """FAISS alone finds, under each metric, what an exact search finds, with the records' own ids."""
    options = f"?index={kind}" + {"flat": "", "hnsw": "&m=32&ef_construct=200", "ivf": "&nlist=5&nprobe=5"}[kind]
    ids = np.random.default_rng(2).permutation(ROWS) + 1000
    load(target_of(tmp_path / "docs.index", options, metric), records(ids))
    exact = faiss.IndexFlat(DIMENSION, {Metric.DOT: 0, Metric.SQUARED_EUCLID: 1, Metric.MANHATTAN: 2}[metric])
    exact.add(VECTORS)
    wanted = ids[exact.search(VECTORS[:40], 5)[1]]
    found = raw.search(tmp_path / "docs.index", VECTORS[:40], 5)
    assert (found == wanted).mean() > (0.8 if kind == "hnsw" else 0.999)


@pytest.mark.parametrize(
    ("options", "ids", "words"),
    [
        ("", range(ROWS), "IndexFlatL2"),
        ("", range(1, ROWS + 1), "IndexIDMap2"),
        ("?index=hnsw", range(ROWS), "IndexHNSWFlat"),
        ("?index=hnsw", range(5, ROWS + 5), "IndexIDMap2"),
        ("?index=ivf", range(5, ROWS + 5), "IndexIVFFlat"),
    ],
)
def test_an_idmap_is_put_around_where_it_is_needed(tmp_path: Path, options: str, ids: range, words: str) -> None:
    """Row numbers need no map, and inverted lists keep ids themselves."""
    load(target_of(tmp_path / "docs.index", options), records(ids))
    index = faiss.read_index(str(tmp_path / "docs.index"))
    assert type(index).__name__ == words
    assert set(raw.vectors_by_id(tmp_path / "docs.index")) == set(ids)
    assert json.loads((tmp_path / "docs.json").read_text())[str(ids[3])] == {"n": 3}


@pytest.mark.parametrize("later", [range(100, 50, -1), range(2**63 - 60, 2**63 - 10)])
def test_ids_that_begin_like_row_numbers_and_go_on_otherwise_stay(tmp_path: Path, later: range) -> None:
    """What the first batch looked like binds nothing."""
    target = target_of(tmp_path / "docs.index")
    both = [records(range(50)), records(later)]
    load(target, *both)
    target.close()
    for reader in Reader:
        with registry.open_source(parse(f"faiss://{tmp_path}/docs.index"), reader) as source:
            assert read_all(source) == rows_of(both)
    assert set(raw.vectors_by_id(tmp_path / "docs.index")) == {*range(50), *later}


@pytest.mark.parametrize(("first", "second"), [(range(7, 57), range(2**63, 2**63 + 50)), (range(7, 57), "abcdefgh")])
@pytest.mark.parametrize("kind", KINDS)
def test_ids_that_faiss_cannot_hold_go_to_the_metadata(tmp_path: Path, kind: str, first: Any, second: Any) -> None:
    """One id beyond 2^63 - 1, or of text, makes FAISS's ids row numbers; every record's own is the key `id`."""
    target = target_of(tmp_path / "docs.index", f"?index={kind}")
    kinds = IdKind.STRING if isinstance(second, str) else IdKind.UINT64
    both = [records(first), records(second, kinds)]
    load(target, *both)
    target.close()
    with registry.open_source(parse(f"faiss://{tmp_path}/docs.index"), Reader.PUBLIC) as source:
        assert read_all(source) == rows_of(both)
    entries = json.loads((tmp_path / "docs.json").read_text())
    assert {str(entry["id"]) for entry in entries.values()} == {str(item) for item in (*first, *second)}
    assert set(raw.vectors_by_id(tmp_path / "docs.index")) == set(range(len(first) + len(second)))


def test_options_reach_the_index(tmp_path: Path) -> None:
    """m, ef_construct, nlist and nprobe are those of the URL; without, nlist is 4 times the root of the rows."""
    load(target_of(tmp_path / "a.index", "?index=hnsw&m=6&ef_construct=17"), records(range(ROWS)))
    load(target_of(tmp_path / "b.index", "?index=ivf&nlist=9&nprobe=3"), records(range(ROWS)))
    load(target_of(tmp_path / "c.index", "?index=ivf"), records(range(ROWS)))
    graph, lists, default = (faiss.read_index(str(tmp_path / f"{name}.index")) for name in "abc")
    assert (graph.hnsw.efConstruction, graph.hnsw.nb_neighbors(0)) == (17, 12)
    assert (lists.nlist, lists.nprobe) == (9, 3)
    assert default.nlist == 69
    with registry.open_source(parse(f"faiss://{tmp_path}/b.index")) as source:
        assert [item.value for item in source.describe().features] == ["IVFFlat, nlist 9, nprobe 3"]


def test_there_are_no_more_lists_than_records(tmp_path: Path) -> None:
    """Lists cannot be trained on fewer records than there are lists; what was built is told by the inventory."""
    target = target_of(tmp_path / "docs.index", "?index=ivf&nlist=50")
    load(target, records(range(7)))
    assert [item.value for item in target.describe().features] == ["IVFFlat, nlist 7, nprobe 1"]


@pytest.mark.parametrize("kind", ["hnsw", "ivf"])
def test_nan_is_refused_where_faiss_would_lose_it(tmp_path: Path, kind: str) -> None:
    """Lists drop a vector with NaN and a graph cannot link it: the record is refused by its id."""
    target = target_of(tmp_path / "docs.index", f"?index={kind}")
    vectors = VECTORS[:4].copy()
    vectors[2, 1] = np.nan
    batch = records(range(4))
    place = batch.schema.get_field_index("vector")
    batch = batch.set_column(place, batch.schema.field(place), batches.dense_array(vectors))
    with pytest.raises(BadRecord, match="record 2 holds NaN"):
        target.write(batch)


def test_a_foreign_index_is_never_written(tmp_path: Path) -> None:
    """Somebody's index, or metadata of its stem alone, is refused as a target and stays byte-identical."""
    raw.build(tmp_path / "docs.index", "Flat", VECTORS)
    (tmp_path / "alone.json").write_text("{}")
    before = hashlib.sha256((tmp_path / "docs.index").read_bytes()).hexdigest()
    for name in ("docs", "alone"):
        with pytest.raises(TargetNotEmpty):
            target_of(tmp_path / f"{name}.index")
    target = registry.open_target(parse(f"faiss://{tmp_path}/docs.index"))
    for act in (target.begin_load, target.drop, lambda: target.write(records([1]))):
        with pytest.raises(StoreRefused, match="not made by vecferry"):
            act()
    assert hashlib.sha256((tmp_path / "docs.index").read_bytes()).hexdigest() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone.json", "docs.index"]


@pytest.mark.parametrize("options", ["?metadata=", "?metadata=sub/docs.json", "?metadata=docs.index.vecferry.json"])
def test_metadata_that_cannot_be_put_in_place_with_the_index_are_refused(tmp_path: Path, options: str) -> None:
    """A target's metadata lie beside its index, so that both are renamed into place together."""
    with pytest.raises(StoreRefused, match="lie in the folder of its index"):
        target_of(tmp_path / "docs.index", options)


def test_metadata_may_have_a_name_of_their_own(tmp_path: Path) -> None:
    """`?metadata=` names them for a target, too, and `drop` removes them."""
    target = target_of(tmp_path / "docs.index", "?metadata=meta.json")
    load(target, records(range(3)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["docs.index", "docs.index.vecferry.json", "meta.json"]
    target.drop()
    assert list(tmp_path.iterdir()) == []


def test_cosine_is_refused(tmp_path: Path) -> None:
    """FAISS has no cosine: it is not silently an inner product."""
    with pytest.raises(StoreRefused, match="has no metric cosine"):
        target_of(tmp_path / "docs.index", metric=Metric.COSINE)


def test_a_payload_with_a_key_id_is_refused(tmp_path: Path) -> None:
    """In the metadata that key is the record's id."""
    target = target_of(tmp_path / "docs.index")
    batch = records([1])
    place = batch.schema.get_field_index("payload")
    with pytest.raises(BadRecord, match="payload of record 1 has a key id"):
        target.write(batch.set_column(place, batch.schema.field(place), pa.array(['{"id":3}'])))


_FULL = """
import resource
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.stores.faiss_index.test_target import ROWS, load, records, target_of
from vecferry.errors import Stopped
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
target = target_of(Path(sys.argv[1]) / "docs.index", f"?index={sys.argv[3]}")
target.begin_load()
target.write(records(range(5, ROWS + 5)))
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
try:
    target.finish_load()
except Stopped as error:
    print("stopped:", error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_stops_the_load_and_loses_nothing(tmp_path: Path, kind: str) -> None:
    """Where no more can be written the run stops, and finishing it later gives every record."""
    root = str(Path(__file__).parents[3])
    run = subprocess.run(
        [sys.executable, "-c", _FULL, str(tmp_path), root, kind], capture_output=True, text=True, check=False
    )
    assert run.stdout.startswith("stopped: no space left"), run.stdout + run.stderr[-2000:]
    assert not (tmp_path / "docs.index").exists()
    with registry.open_target(parse(f"faiss://{tmp_path}/docs.index?index={kind}")) as target:
        target.finish_load()
        assert read_all(target) == rows_of([records(range(5, ROWS + 5))])
