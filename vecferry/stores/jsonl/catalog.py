"""The JSON files of a folder, each a collection."""

from __future__ import annotations

from pathlib import Path

from vecferry.address import Address
from vecferry.contract import Listing
from vecferry.stores.file_catalog import listed_files

__all__ = ["list_collections"]

_ENDINGS = (".jsonl", ".json")
_VECTORS = (".npy", ".npz", ".index", ".faiss")


def list_collections(store: Address) -> Listing:
    """Files that end with `.jsonl` or `.json`, but for marks and for what belongs to a file of vectors beside it."""
    return Listing(listed_files(store, _ENDINGS, _is_collection))


def _is_collection(path: Path) -> bool:
    if path.name.endswith(".vecferry.json"):
        return False
    return not any(path.with_suffix(ending).exists() for ending in _VECTORS)
