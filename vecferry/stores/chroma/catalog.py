"""The collections of a server or of a folder, tenant by tenant and database by database."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vecferry.address import Address, below
from vecferry.contract import Listed, Listing
from vecferry.errors import BadOption, RetryLater
from vecferry.stores.chroma import folder_handles, server
from vecferry.stores.chroma.connection import Connection
from vecferry.stores.chroma.failures import translated
from vecferry.stores.chroma.folder import DEFAULT_DATABASE, DEFAULT_TENANT

__all__ = ["list_collections"]

_PAGE = 100
_ONE_TENANT = "a Chroma server does not tell its tenants: those of {tenant!r} were listed, others are named by ?tenant="


def list_collections(store: Address) -> Listing:
    """All collections below an address without one, or those of its `?tenant=` and `?database=`.

    A folder is read directly: every tenant is found. Raises BadOption where the address has a collection.
    """
    return _of_folder(store) if not store.host else _of_server(store)


def _of_folder(store: Address) -> Listing:
    store.only_options("tenant", "database")
    folder = folder_handles.open_folder(store.file)
    try:
        names = folder.collection_names()
    finally:
        folder_handles.close_folder(folder)
    return Listing(tuple(_listed(store, *found) for found in names if _wanted(store, *found[:2])))


def _wanted(store: Address, tenant: str, database: str) -> bool:
    options = store.options
    return options.get("tenant", tenant) == tenant and options.get("database", database) == database


def _of_server(store: Address) -> Listing:
    if store.raw_path.strip("/"):
        raise BadOption(f"{store} names a collection", advice=f"to list a server: {store.scheme}://HOST:PORT")
    tenant = store.options.get("tenant", DEFAULT_TENANT)
    with contextlib.closing(server.connect(store)) as connection:
        databases = [store.options["database"]] if "database" in store.options else _databases(connection, tenant)
        found = [(tenant, name, one) for name in sorted(databases) for one in _names(connection, tenant, name)]
    notes = () if "tenant" in store.options else (_ONE_TENANT.format(tenant=tenant),)
    return Listing(tuple(_listed(store, *one) for one in found), notes)


def _databases(connection: Connection, tenant: str) -> list[str]:
    def page(offset: int) -> Sequence[Any]:
        found: Sequence[Any] = connection.api.list_databases(limit=_PAGE, offset=offset, tenant=tenant)
        return found

    with translated(connection.url):
        return [database["name"] for database in _pages(page)]


def _names(connection: Connection, tenant: str, database: str) -> list[str]:
    """All names, as many as the server counts: pages of a listing that changes could pass over one."""
    where = {"tenant": tenant, "database": database}

    def page(offset: int) -> Sequence[Any]:
        found: Sequence[Any] = connection.api.list_collections(limit=_PAGE, offset=offset, **where)
        return found

    with translated(connection.url):
        names = {model.name for model in _pages(page)}
        counted = int(connection.api.count_collections(**where))
    if counted != len(names):
        raise RetryLater(
            f"{connection.url} lists {len(names)} collections in {tenant}/{database} and counts {counted}",
            advice="they change at this moment: try again",
        )
    return sorted(names)


def _pages(page: Callable[[int], Sequence[Any]]) -> Iterator[Any]:
    offset = 0
    while found := page(offset):
        yield from found
        offset += len(found)


def _listed(store: Address, tenant: str, database: str, name: str) -> Listed:
    """Defaults stay out of the address, as whoever writes it by hand leaves them out."""
    options = {}
    if tenant != DEFAULT_TENANT:
        options["tenant"] = tenant
    if database != DEFAULT_DATABASE:
        options["database"] = database
    return Listed(name, below(store, name, **options), tenant, database)
