"""`chroma+path:///DIR/COLLECTION`: a Chroma folder. As a source it is read directly, as a target through Chroma.

Options: `tenant`, `database`. Chroma's engine takes one process a folder, and in it either writes or the direct
reader. A target read back (`Reader.PUBLIC`) goes through a fresh engine, once the writer's handles are closed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vecferry.address import Address
from vecferry.capabilities import Capabilities
from vecferry.contract import Reader
from vecferry.errors import BadOption
from vecferry.stores.chroma import capabilities, folder_handles
from vecferry.stores.chroma.checks import check_name
from vecferry.stores.chroma.collection import ClientCollection
from vecferry.stores.chroma.connection import Connection
from vecferry.stores.chroma.folder import DEFAULT_DATABASE, DEFAULT_TENANT
from vecferry.stores.chroma.folder_source import FolderSource

__all__ = ["FolderTarget", "open_source", "open_target"]


@dataclass(frozen=True, slots=True)
class _Place:
    folder: Path
    name: str
    tenant: str
    database: str


def open_source(address: Address, reader: Reader = Reader.FAST) -> FolderSource:
    """Open a collection for reading, directly. Raises NotFound, and StoreRefused while something writes to the folder.

    Both readers are the direct one: Chroma's client would write to the folder.
    """
    place = _place(address)
    return FolderSource(str(address), place.folder, place.name, place.tenant, place.database)


def open_target(address: Address, reader: Reader = Reader.FAST) -> FolderTarget:
    """Open a collection that need not exist. Raises BadOption for a name that Chroma does not take."""
    place = _place(address)
    check_name(place.name, str(address))
    return FolderTarget(str(address), place, public=reader is Reader.PUBLIC)


def _place(address: Address) -> _Place:
    address.only_options("tenant", "database")
    if address.host:
        raise BadOption(f"{address} names a host", advice="a folder has three slashes: chroma+path:///DIR/COLLECTION")
    tenant = address.options.get("tenant", DEFAULT_TENANT)
    return _Place(address.folder(), address.collection(), tenant, address.options.get("database", DEFAULT_DATABASE))


class FolderTarget(ClientCollection):
    """A collection of a folder, through Chroma's engine in this process."""

    def __init__(self, url: str, place: _Place, *, public: bool) -> None:
        super().__init__(url, place.name)
        self._place = place
        self._public = public

    def _is_there(self) -> bool:
        return folder_handles.has_database(self._place.folder)

    def capabilities(self) -> Capabilities:
        return capabilities.folder_written()

    def _connect(self) -> Connection:
        folder = self._place.folder
        client = folder_handles.open_client(folder)
        return Connection(
            client._server,
            self.url,
            self._place.tenant,
            self._place.database,
            release=lambda: folder_handles.close_client(client, folder),
            public=self._public,
        )
