"""A FAISS index file with its metadata JSON.

`faiss:///DIR/docs.index?metadata=docs.json`: the vectors of the index, and for each row (or id of the index's own) an
object in the JSON. Without `?metadata=` the JSON of the same stem is taken where it is there.
"""

from __future__ import annotations

from vecferry.address import Address
from vecferry.contract import Reader
from vecferry.stores.faiss_index.store import FaissStore
from vecferry.stores.file_store import FileStore

__all__ = ["open_source", "open_target"]


def open_source(address: Address, reader: Reader = Reader.FAST) -> FileStore:
    """Open an index for reading. The public reader is FAISS itself. Raises NotFound."""
    store = open_target(address, reader)
    store.require()
    return store


def open_target(address: Address, reader: Reader = Reader.FAST) -> FileStore:
    """Open an index that need not be there."""
    return FaissStore(address, reader)
