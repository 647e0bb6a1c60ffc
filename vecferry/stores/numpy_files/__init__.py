"""Vectors in NumPy's files.

`numpy:///DIR/vectors.npy` (or `.npz`, with `?array=NAME` where it holds several): one 2-D array, a row a record,
with `vectors.jsonl` beside it. `numpy:///DIR`: a tree with one vector a file and its payload beside it in a `.json`
of the same stem; the id is the stem, or with `?id=path` the relative path.
"""

from __future__ import annotations

from vecferry.address import Address
from vecferry.contract import Reader
from vecferry.stores.file_store import FileStore
from vecferry.stores.numpy_files.flat import FlatStore
from vecferry.stores.numpy_files.tree import TreeStore

__all__ = ["open_source", "open_target"]


def open_source(address: Address, reader: Reader = Reader.FAST) -> FileStore:
    """Open files for reading; both readers are the same. Raises NotFound."""
    store = open_target(address, reader)
    store.require()
    return store


def open_target(address: Address, reader: Reader = Reader.FAST) -> FileStore:
    """Open files that need not be there."""
    return FlatStore(address) if address.file.suffix in (".npy", ".npz") else TreeStore(address)
