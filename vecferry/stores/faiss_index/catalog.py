"""The index files of a folder, each a collection."""

from __future__ import annotations

from vecferry.address import Address
from vecferry.contract import Listing
from vecferry.stores.file_catalog import listed_files

__all__ = ["list_collections"]


def list_collections(store: Address) -> Listing:
    """Files that end with `.index` or `.faiss`."""
    return Listing(listed_files(store, (".index", ".faiss"), lambda path: True))
