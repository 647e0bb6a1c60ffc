"""Files as collections: what folders list, and how new files are named."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest

from vecferry.address import parse
from vecferry.errors import BadOption, NotFound
from vecferry.stores import registry
from vecferry.stores.registry import STORES


def names(url: str) -> list[tuple[str, str]]:
    """Name and last part of the address of what is found."""
    return [(one.name, one.address.name) for one in registry.list_collections(parse(url)).collections]


def test_arrays_and_trees_are_collections(tmp_path: Path) -> None:
    """2-D files and sub-folders of vectors are listed, lines beside an array and other files are not."""
    np.save(tmp_path / "a.npy", np.zeros((2, 3), np.float32))
    (tmp_path / "a.jsonl").write_text("{}\n{}\n")
    np.savez(tmp_path / "b.npz", vectors=np.zeros((2, 3), np.float32))
    (tmp_path / "tree").mkdir()
    np.save(tmp_path / "tree" / "one.npy", np.zeros(3, np.float32))
    (tmp_path / "nothing").mkdir()
    (tmp_path / "broken.npy").write_bytes(b"no array")
    found = [("a", "a.npy"), ("b", "b.npz"), ("broken", "broken.npy"), ("tree", "tree")]
    assert names(f"numpy://{tmp_path}") == found
    with registry.open_source(parse(f"numpy://{tmp_path}/tree")) as source:
        assert source.count() == 1


def test_a_folder_of_single_vectors_is_one_collection(tmp_path: Path) -> None:
    """It is not taken for as many collections as it has files."""
    np.save(tmp_path / "one.npy", np.zeros(3, np.float32))
    with pytest.raises(BadOption, match="is one collection"):
        names(f"numpy://{tmp_path}")


def test_json_files_are_collections_but_for_what_belongs_to_others(tmp_path: Path) -> None:
    """Marks and the lines beside vectors are no collections of their own."""
    for name in ("a.jsonl", "b.json", "a.jsonl.vecferry.json", "c.jsonl", ".hidden.jsonl", "notes.txt"):
        (tmp_path / name).write_text("{}\n")
    np.save(tmp_path / "c.npy", np.zeros((1, 3), np.float32))
    assert names(f"jsonl://{tmp_path}") == [("a", "a.jsonl"), ("b", "b.json")]


def test_index_files_are_collections(tmp_path: Path) -> None:
    """FAISS indexes are known by their endings."""
    for name in ("x.index", "y.faiss"):
        faiss.write_index(faiss.IndexFlatL2(3), str(tmp_path / name))
    (tmp_path / "x.json").write_text("{}")
    assert names(f"faiss://{tmp_path}") == [("x", "x.index"), ("y", "y.faiss")]


@pytest.mark.parametrize("scheme", sorted(STORES))
def test_every_store_lists_or_says_that_it_cannot(scheme: str, tmp_path: Path) -> None:
    """No store is forgotten: a folder that is not there is not found, and memory says that it lists nothing."""
    if "//HOST" in STORES[scheme].forms[0]:
        with pytest.raises(BadOption, match="names a collection"):
            registry.list_collections(parse(f"{scheme}://localhost:1/docs"))
        return
    with pytest.raises(BadOption if scheme == "memory" else NotFound):
        registry.list_collections(parse(f"{scheme}://{tmp_path}/nothing"))


@pytest.mark.parametrize(
    ("scheme", "name", "expected"),
    [("jsonl", "docs", "docs.jsonl"), ("numpy", "docs", "docs.npy"), ("numpy", "docs.npz", "docs.npz"),
     ("faiss", "a b", "a b.index"), ("qdrant+edge", "a/b", "a/b"), ("chroma", "docs", "docs")],
)  # fmt: skip
def test_a_new_collection_gets_its_place(scheme: str, name: str, expected: str) -> None:
    """Files get the ending of their kind; other names stay, in an address that gives them back."""
    assert registry.address_in(parse(f"{scheme}:///x"), name).collection() == expected


@pytest.mark.parametrize("name", ["a/b", "..", ".", "", "a\0b"])
def test_a_name_that_is_no_file_is_refused(name: str) -> None:
    """It would lie in another folder, or nowhere."""
    with pytest.raises(BadOption, match="name of a file"):
        registry.address_in(parse("jsonl:///x"), name)


def test_options_and_secrets_of_a_store_go_with_its_collections() -> None:
    """What opens the store opens each of its collections."""
    store = parse("chroma://localhost:8000?tenant=t", {"token": "secret"})
    found = registry.address_in(store, "docs")
    assert (str(found), found.secrets) == ("chroma://localhost:8000/docs?tenant=t", {"token": "secret"})
