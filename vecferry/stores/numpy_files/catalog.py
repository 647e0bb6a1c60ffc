"""The arrays and the trees of a folder: a 2-D file is a collection, and so is a sub-folder that holds vectors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vecferry.address import Address, below
from vecferry.contract import Listed, Listing
from vecferry.errors import BadOption, BadRecord
from vecferry.stores.file_catalog import entries
from vecferry.stores.file_store import mark_path
from vecferry.stores.numpy_files.arrays import parse_header
from vecferry.stores.numpy_files.listing import Listing as Tree

__all__ = ["list_collections"]

_HEADER_BYTES = 1 << 16


def list_collections(store: Address) -> Listing:
    """Files that end with `.npy` or `.npz`, and sub-folders of vectors.

    Raises BadOption for a folder that is itself one collection: it holds files of one vector each.
    """
    return Listing(tuple(_listed(store)))


def _listed(store: Address) -> Iterator[Listed]:
    for path in entries(store):
        if path.is_dir() and (mark_path(path).exists() or Tree.any_vector(path)):
            yield Listed(path.name, below(store, path.name))
        elif path.suffix in (".npy", ".npz") and path.is_file():
            _refuse_single_vector(store, path)
            yield Listed(path.stem, below(store, path.name))


def _refuse_single_vector(store: Address, path: Path) -> None:
    """What cannot be read is listed all the same: it is for its own migration to tell."""
    if path.suffix == ".npz":
        return
    with path.open("rb") as stream:
        start = stream.read(_HEADER_BYTES)
    try:
        header = parse_header(start, str(path))
    except BadRecord:
        return
    if len(header.shape) == 1:
        raise BadOption(f"{store} is one collection: {path.name} is one vector", advice="leave out --all")
