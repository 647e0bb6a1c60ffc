"""A folder tree with one vector a file, as NumPy and plain Python write it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import parse
from vecferry.contract import Source
from vecferry.errors import BadOption, BadRecord, DataDiffer, NotFound, StoreRefused, TargetNotEmpty
from vecferry.model import CollectionSchema, IdKind, RecordId, VectorField
from vecferry.stores import registry
from vecferry.stores.numpy_files.names import MAX_ID_BYTES, id_of, path_of
from vecferry.testing.conformance import Place, SourceConformance
from vecferry.testing.rows import read_all

SCHEMA = CollectionSchema("tree", (VectorField(dimension=2),), frozenset({IdKind.STRING}))


def opened(path: Path, options: str = "") -> Source:
    return registry.open_source(parse(f"numpy://{path}{options}"))


def put(path: Path, values: Any, payload: Any = None) -> None:
    """A vector file, and its sidecar where there is a payload."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.asarray(values, dtype=np.float32))
    if payload is not None:
        path.with_suffix(".json").write_text(json.dumps(payload))


def ids_of(source: Source) -> set[str]:
    return {item.text for item in read_all(source)}


class TestTree(SourceConformance):
    """The reading half of the suite over nested folders; every third vector has no sidecar."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"numpy://{tmp_path}/{name.replace(' ', '_')}/")

    @pytest.fixture
    def expected(self, address):  # type: ignore[no-untyped-def]
        vectors = np.random.default_rng(2).standard_normal((50, 4)).astype(np.float32)
        payloads = [{} if n % 3 == 0 else {"n": n, "text": f"a: {n}", "big": 2**64 + n} for n in range(50)]
        for n in range(50):
            put(address.file / f"{n % 4}" / "deep" / f"ä {n}.npy", vectors[n], payloads[n] or None)
        return batches.make(
            [f"ä {n}" for n in range(50)],
            IdKind.STRING,
            vectors={"": batches.dense_array(vectors)},
            documents=[None] * 50,
            payloads=[canonical.encode(payload) for payload in payloads],
        )

    def test_the_url_names_the_store(self, source, address) -> None:  # type: ignore[no-untyped-def]
        """A slash at the end of a folder's URL makes no other store."""
        assert source.url == str(address).rstrip("/")


def test_stems_that_collide_are_noted_and_refused(tmp_path: Path) -> None:
    """Two files of one stem: the plan says so, reading offers the relative path as the id, and that works."""
    put(tmp_path / "a" / "same.npy", [1, 2], {"from": "a"})
    put(tmp_path / "b" / "same.npy", [3, 4], {"from": "b"})
    put(tmp_path / "other.npy", [5, 6])
    source = opened(tmp_path)
    assert source.count() == 3
    assert any("a/same.npy and b/same.npy have the same stem" in note for note in source.describe().notes)
    with pytest.raises(BadOption, match="same stem") as caught:
        list(source.read(source.slices(1)[0]))
    assert "?id=path" in caught.value.advice
    by_path = opened(tmp_path, "?id=path")
    assert ids_of(by_path) == {"a/same", "b/same", "other"}
    found = by_path.fetch(batches.ids_batch([RecordId(IdKind.STRING, "b/same")]))
    assert batches.payloads(found) == [b'{"from":"b"}']


def test_a_sidecar_without_a_vector_is_noted(tmp_path: Path) -> None:
    """A .json alone is no record; the plan counts such files."""
    put(tmp_path / "a.npy", [1, 2])
    (tmp_path / "dataset_info.json").write_text("{}")
    source = opened(tmp_path)
    assert ids_of(source) == {"a"}
    assert any("1 .json files have no .npy" in note for note in source.describe().notes)


def test_one_row_of_two_dimensions_is_one_vector(tmp_path: Path) -> None:
    """`(1, dim)`, as many embedding scripts save it, is read as `(dim,)`."""
    put(tmp_path / "a.npy", [[1, 2]])
    put(tmp_path / "b.npy", [3, 4])
    assert opened(tmp_path).describe().vectors[0].dimension == 2
    assert ids_of(opened(tmp_path)) == {"a", "b"}


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (np.zeros(3, dtype=np.float32), "holds 3 numbers of float32"),
        (np.zeros(2, dtype=np.float64), "2 numbers of float64"),
        (np.zeros((2, 2), dtype=np.float32), "each file holds one vector"),
        (np.zeros(2, dtype=np.int32), "holds int32"),
        (np.array([{}, None], dtype=object), "pickled"),
    ],
)
def test_a_file_unlike_the_others_is_named(tmp_path: Path, values: Any, problem: str) -> None:
    """Another dimension, type or shape is BadRecord with the name of the file."""
    put(tmp_path / "a.npy", [1, 2])
    np.save(tmp_path / "odd.npy", values, allow_pickle=True)
    source = opened(tmp_path)
    with pytest.raises(BadRecord, match=r"odd\.npy.*" + problem):
        read_all(source)


def test_a_cut_vector_is_named(tmp_path: Path) -> None:
    """A file shorter than its header says is refused."""
    put(tmp_path / "a.npy", [1, 2])
    put(tmp_path / "b.npy", [1, 2])
    (tmp_path / "b.npy").write_bytes((tmp_path / "b.npy").read_bytes()[:-3])
    with pytest.raises(BadRecord, match=r"b\.npy is cut"):
        read_all(opened(tmp_path))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "Expecting"),
        ("[1]", "not an object"),
        ("", "Expecting"),
        ('{"a":1,"a":2}', "stands twice"),
        ("null", "null"),
    ],
)
def test_a_broken_sidecar_is_named(tmp_path: Path, text: str, problem: str) -> None:
    """The file and what is wrong with it stand in the error."""
    put(tmp_path / "a.npy", [1, 2])
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BadRecord, match=r"a\.json: .*" + problem):
        read_all(opened(tmp_path))


def test_a_file_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """A name that cannot be text cannot be an id."""
    put(tmp_path / "a.npy", [1, 2])
    os.link(tmp_path / "a.npy", os.fsencode(tmp_path) + b"/\xff.npy")
    with pytest.raises(BadRecord, match="not UTF-8"):
        opened(tmp_path).count()


@pytest.mark.parametrize("change", ["vector", "payload", "gone", "new sidecar"])
def test_a_tree_that_changes_under_its_slices_is_noticed(tmp_path: Path, change: str) -> None:
    """A slice whose vector or sidecar was changed, added or removed since is DataDiffer; so is the fingerprint."""
    put(tmp_path / "a.npy", [1, 2], {"a": 1})
    put(tmp_path / "b.npy", [1, 2])
    source = opened(tmp_path)
    slices, before = source.slices(1), source.fingerprint()
    if change == "vector":
        put(tmp_path / "b.npy", [1, 2, 3])
    elif change == "payload":
        (tmp_path / "a.json").write_text('{"a": 22}')
    elif change == "gone":
        (tmp_path / "b.npy").unlink()
    else:
        (tmp_path / "b.json").write_text("{}")
    assert source.fingerprint() != before
    with pytest.raises(DataDiffer):
        list(source.read(slices[0]))


@pytest.mark.parametrize("content", [None, "folder", "other file"])
def test_a_folder_without_a_vector_is_not_found(tmp_path: Path, content: str | None) -> None:
    """A folder that is absent, empty or full of other things is no collection, not an empty one."""
    root = tmp_path / "tree"
    if content is not None:
        root.mkdir()
    if content == "other file":
        (root / "notes.txt").write_text("x")
    with pytest.raises(NotFound):
        opened(root)


def test_a_folder_with_other_files_is_never_made_a_target(tmp_path: Path) -> None:
    """A folder that holds anything is not empty; one that we made and that others put files into is not replaced."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "notes.txt").write_text("mine")
    target = registry.open_target(parse(f"numpy://{tmp_path}/tree"))
    with pytest.raises(TargetNotEmpty):
        target.create(SCHEMA, {})
    (tmp_path / "tree" / "notes.txt").unlink()
    target.create(SCHEMA, {})
    with target.bulk_load():
        pass
    (tmp_path / "tree" / "notes.txt").write_text("mine")
    with pytest.raises(StoreRefused, match=r"notes\.txt"):
        target.write(_one("a"))
    with pytest.raises(StoreRefused, match=r"notes\.txt"):
        target.drop()
    assert (tmp_path / "tree" / "notes.txt").read_text() == "mine"


def _one(text: str) -> Any:
    return batches.make(
        [text],
        IdKind.STRING,
        vectors={"": batches.dense_array(np.ones((1, 2), dtype=np.float32))},
        documents=[None],
        payloads=[b"{}"],
    )


def test_a_written_tree_is_plain_numpy(tmp_path: Path) -> None:
    """The file of a plain id is named as the id; an empty payload needs no sidecar."""
    target = registry.open_target(parse(f"numpy://{tmp_path}/tree"))
    target.create(SCHEMA, {})
    target.write(_one("plain id"))
    assert [path.name for path in (tmp_path / "tree").iterdir()] == ["plain id.npy"]
    assert np.load(tmp_path / "tree" / "plain id.npy").tolist() == [1, 1]


def test_a_stranger_in_a_written_tree_is_refused(tmp_path: Path) -> None:
    """A file whose name vecferry would not have given stands for no id."""
    target = registry.open_target(parse(f"numpy://{tmp_path}/tree"))
    target.create(SCHEMA, {})
    target.write(_one("a"))
    put(tmp_path / "tree" / "100%.npy", [1, 2])
    target.close()
    with pytest.raises(BadRecord, match=r"100%\.npy is not a file name that vecferry writes"):
        read_all(target)


@settings(max_examples=examples(200), deadline=None)
@given(st.text(max_size=400).filter(lambda text: len(text.encode("utf-8", "replace")) <= MAX_ID_BYTES))
def test_file_names_give_their_ids_back(text: str) -> None:
    """Every text makes a legal relative path, from which exactly that text comes back."""
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        return
    path = path_of(text)
    assert id_of(path) == text
    assert all(0 < len(name) <= 180 and name not in (".", "..") for name in path.split("/"))
    assert not path.startswith(".")


def test_the_longest_id_fits_a_path() -> None:
    """Every byte of the longest id may need three, and the path is still short enough for Linux."""
    assert len(path_of("ü" * (MAX_ID_BYTES // 2))) < 3500


def test_unknown_options_are_refused(tmp_path: Path) -> None:
    """Only `?id=stem` and `?id=path` are known."""
    put(tmp_path / "a.npy", [1, 2])
    for options in ("?id=hash", "?array=x"):
        with pytest.raises(BadOption):
            opened(tmp_path, options)
