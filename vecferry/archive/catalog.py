"""The collections of an archive's folder, one archive each."""

from __future__ import annotations

from vecferry.address import Address, below
from vecferry.archive.archive import Archive
from vecferry.contract import Listed, Listing
from vecferry.errors import NotFound

__all__ = ["list_collections"]


def list_collections(store: Address) -> Listing:
    """Every archive in a folder, finished or not. Raises NotFound where there is no such folder."""
    store.only_options()
    if not store.file.is_dir():
        raise NotFound(f"{store} is no folder", advice="vecferry export URL FOLDER makes one")
    return Listing(tuple(Listed(name, below(store, name)) for name in Archive.collections(store.file)))
