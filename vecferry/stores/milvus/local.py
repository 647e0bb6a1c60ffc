"""`milvus+path:///DIR/COLLECTION`: a folder of milvus-lite (3.2 or later), whose engine runs in this process.

Options: `database`, `ids` (`string` or `int64`: the kind of ids of a collection that is made; otherwise the one that
suits them), `partition_field` (a payload key that tells the partition of each record), `index` (`FLAT`, the default:
exact; `AUTOINDEX`, `HNSW`), `m`, `ef_construct`, `timeout_s`, `ready_timeout_s`. The engine takes one process a folder.
"""

from __future__ import annotations

from collections.abc import Sequence

from vecferry.address import Address
from vecferry.capabilities import Capabilities
from vecferry.contract import Reader, SourceFile
from vecferry.errors import BadOption
from vecferry.stores.folder_files import files_below
from vecferry.stores.milvus import capabilities, folder_handles
from vecferry.stores.milvus.checks import check_name
from vecferry.stores.milvus.collection import MilvusCollection
from vecferry.stores.milvus.connection import Connection, Endpoint
from vecferry.stores.milvus.loading import index_wish
from vecferry.stores.milvus.schema import wished_key

__all__ = ["FolderCollection", "open_source", "open_target"]

_TIMEOUT_S = 600.0  # one call may index many records, in Python


def open_source(address: Address, reader: Reader = Reader.FAST) -> FolderCollection:
    """Open a collection for reading. The first use starts the engine, and raises NotFound if nothing is there."""
    return FolderCollection(address, reader)


def open_target(address: Address, reader: Reader = Reader.FAST) -> FolderCollection:
    """Open a collection that need not exist. Raises BadOption for a name that Milvus does not take."""
    check_name(address.collection(), str(address))
    return FolderCollection(address, reader)


class FolderCollection(MilvusCollection):
    """A collection of a folder. `Reader.FAST` takes answers apart as bytes, `PUBLIC` is the official client."""

    def __init__(self, address: Address, reader: Reader) -> None:
        address.only_options(
            "database", "ids", "partition_field", "index", "m", "ef_construct", "timeout_s", "ready_timeout_s"
        )
        if address.host:
            raise BadOption(
                f"{address} names a host", advice="a folder has three slashes: milvus+path:///DIR/COLLECTION"
            )
        wish = index_wish(address, "FLAT")
        super().__init__(address, wish, reader, loads=True)
        self._folder = address.folder()
        self._database = address.options.get("database", "")
        self._key = wished_key(address)
        self._timeout_s = address.positive("timeout_s", _TIMEOUT_S)

    def capabilities(self) -> Capabilities:
        return capabilities.folder(self._key, self._live_layout())

    def _is_there(self) -> bool:
        return self._opened is not None or folder_handles.has_collections(self._folder)

    def _connect(self) -> Connection:
        port = folder_handles.open_folder(self._folder)
        endpoint = Endpoint(self.url, f"127.0.0.1:{port}", database=self._database, timeout_s=self._timeout_s)
        return Connection(endpoint, lambda: folder_handles.close_folder(self._folder))

    def files(self) -> Sequence[SourceFile]:
        """The whole folder, its other collections with it, but for the engine's lock."""
        self.close()
        return files_below(self._folder, self._folder, lambda path: path.name != "LOCK")
