"""The collections of a server or of a folder, database by database. Aliases are left out."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from pymilvus.grpc_gen import milvus_pb2

from vecferry.address import Address, below
from vecferry.contract import Listed, Listing
from vecferry.errors import BadOption, NotFound, StoreRefused
from vecferry.stores.milvus import folder_handles, server
from vecferry.stores.milvus.connection import Connection, Endpoint

__all__ = ["list_collections"]

_DEFAULT_DATABASE = "default"


def list_collections(store: Address) -> Listing:
    """All collections below an address without one, or those of its `?database=`.

    Raises BadOption where it has one, NotFound for a folder that holds no Milvus.
    """
    if not store.host:
        return _of_folder(store)
    if store.raw_path.strip("/"):
        raise BadOption(f"{store} names a collection", advice=f"to list a server: {store.scheme}://HOST:PORT")
    return _of_endpoint(store, server.endpoint(store))


def _of_folder(store: Address) -> Listing:
    if not folder_handles.has_collections(store.file):
        raise NotFound(f"{store} holds no collections of milvus-lite", advice="name the folder of the engine")
    port = folder_handles.open_folder(store.file)
    try:
        return _of_endpoint(
            store, Endpoint(str(store), f"127.0.0.1:{port}", database=store.options.get("database", ""))
        )
    finally:
        folder_handles.close_folder(store.file)


def _of_endpoint(store: Address, endpoint: Endpoint) -> Listing:
    notes: tuple[str, ...] = ()
    databases = [endpoint.database]
    if not endpoint.database:
        databases, notes = _databases(endpoint)
    found = [
        _listed(store, database, name)
        for database in sorted(databases)
        for name in _names(replace(endpoint, database=database))
    ]
    return Listing(tuple(found), notes)


def _databases(endpoint: Endpoint) -> tuple[list[str], tuple[str, ...]]:
    """The names of all databases; the default one alone, and why, where they are not told (before Milvus 2.2.9)."""
    with contextlib.closing(Connection(endpoint)) as connection:
        try:
            return list(connection.call("ListDatabases", milvus_pb2.ListDatabasesRequest()).db_names), ()
        except StoreRefused as error:
            return [""], (f"databases are not told, those of the default one were listed: {error}",)


def _names(endpoint: Endpoint) -> list[str]:
    with contextlib.closing(Connection(endpoint)) as connection:
        return sorted(connection.call("ShowCollections", milvus_pb2.ShowCollectionsRequest()).collection_names)


def _listed(store: Address, database: str, name: str) -> Listed:
    """The default database stays out of the address, as whoever writes it by hand leaves it out."""
    options = {} if database in ("", _DEFAULT_DATABASE) else {"database": database}
    return Listed(name, below(store, name, **options), database=database or _DEFAULT_DATABASE)
