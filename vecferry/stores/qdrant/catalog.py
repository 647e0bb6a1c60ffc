"""The collections of a server or of a folder. Aliases, which are only names of collections, are left out."""

from __future__ import annotations

import contextlib

from vecferry.address import Address, below
from vecferry.contract import Listed, Listing
from vecferry.errors import BadOption, NotFound
from vecferry.stores.qdrant.connection import Connection, endpoint, server_errors
from vecferry.stores.qdrant.edge_folder import EdgeFolder
from vecferry.stores.qdrant.local_folder import LocalFolder

__all__ = ["list_collections"]


def list_collections(store: Address) -> Listing:
    """All collections below an address without one. Raises BadOption where it has one, NotFound for no folder."""
    names = _folder_names(store) if not store.host else _server_names(store)
    return Listing(tuple(Listed(name, below(store, name)) for name in sorted(names)))


def _server_names(store: Address) -> list[str]:
    if store.raw_path.strip("/"):
        raise BadOption(f"{store} names a collection", advice=f"to list a server: {store.scheme}://HOST:PORT")
    with contextlib.closing(Connection(endpoint(store))) as connection, server_errors(str(store)):
        return [found.name for found in connection.client.get_collections().collections]


def _folder_names(store: Address) -> list[str]:
    if store.scheme == "qdrant+path":
        return LocalFolder(store.file, "", str(store)).names()
    if not store.file.is_dir():
        raise NotFound(f"{store} is no folder", advice="name the folder that holds the collections' folders")
    names = [found.name for found in store.file.iterdir() if found.is_dir() and not found.name.startswith(".")]
    return [name for name in names if EdgeFolder(store.file, name).exists()]
