"""`milvus://HOST:19530/COLLECTION`, `milvuss://` (TLS) and `zilliz://HOST/COLLECTION` (Zilliz Cloud: TLS, port 443).

Options: `database`, `ids` (`string` or `int64`: the kind of ids of a collection that is made; otherwise the one that
suits them), `vector_fields` (how many the server was set to take: 4 otherwise), `load` (`true`: load a source that is
not loaded), `partition_field` (a payload key that tells the partition of each record), `index` (`AUTOINDEX`, the
default; `HNSW`, `FLAT`), `m`, `ef_construct`, `timeout_s`, `ready_timeout_s`, `ca` (a PEM file of the authorities that
are trusted). Secrets: `token` (`user:password` or a key) or `api_key`.
"""

from __future__ import annotations

from pathlib import Path

from pymilvus.grpc_gen import milvus_pb2

from vecferry.address import Address
from vecferry.capabilities import Capabilities
from vecferry.contract import Aliasing, Reader
from vecferry.errors import BadOption, NotFound
from vecferry.stores.milvus import capabilities
from vecferry.stores.milvus.checks import Limits, check_name
from vecferry.stores.milvus.collection import MilvusCollection
from vecferry.stores.milvus.connection import Connection, Endpoint
from vecferry.stores.milvus.loading import index_wish
from vecferry.stores.milvus.schema import wished_key

__all__ = ["ServerCollection", "endpoint", "open_source", "open_target"]

_PORTS = {"milvus": 19530, "milvuss": 19530, "zilliz": 443}
_OPTIONS = (
    "database",
    "ids",
    "partition_field",
    "vector_fields",
    "load",
    "index",
    "m",
    "ef_construct",
    "timeout_s",
    "ready_timeout_s",
    "ca",
)


def open_source(address: Address, reader: Reader = Reader.FAST) -> ServerCollection:
    """Open a collection for reading. Nothing is asked before the first use, which raises NotFound if it is absent."""
    return ServerCollection(address, reader, loads=_flag(address, "load"))


def open_target(address: Address, reader: Reader = Reader.FAST) -> ServerCollection:
    """Open a collection that need not exist. Raises BadOption for a name that Milvus does not take."""
    check_name(address.collection(), str(address))
    return ServerCollection(address, reader, loads=True)


class ServerCollection(MilvusCollection, Aliasing):
    """A collection of a server. `Reader.FAST` takes answers apart as bytes, `PUBLIC` is the official client."""

    limits = Limits(payload_bytes=capabilities.MAX_PAYLOAD_BYTES, loses_greatest_id=True)

    def __init__(self, address: Address, reader: Reader, *, loads: bool) -> None:
        address.only_options(*_OPTIONS)
        if not address.host or address.raw_path.strip("/").count("/"):
            form = f"{address.scheme}://HOST/COLLECTION"
            raise BadOption(f"{address} is not of the form {form}", advice="the database is an option: ?database=")
        wish = index_wish(address, "AUTOINDEX")
        super().__init__(address, wish, reader, loads=loads)
        self._endpoint = endpoint(address)
        self._key = wished_key(address)
        self._most_vectors = int(address.positive("vector_fields", capabilities.MAX_VECTORS))

    def capabilities(self) -> Capabilities:
        return capabilities.server(self._connection(), self._key, self._live_layout(), self._most_vectors)

    def alias_target(self, alias: str) -> str | None:
        connection = self._connection()
        answer = connection.ask("DescribeAlias", milvus_pb2.DescribeAliasRequest(alias=alias))
        try:
            connection.require(answer.status)
        except NotFound:
            return None
        return str(answer.collection)

    def point_alias(self, alias: str) -> None:
        connection, wanted = self._connection(), {"collection_name": self._name, "alias": alias}
        if self.alias_target(alias) is None:
            connection.call("CreateAlias", milvus_pb2.CreateAliasRequest(**wanted))
        else:
            connection.call("AlterAlias", milvus_pb2.AlterAliasRequest(**wanted))

    def _is_there(self) -> bool:
        return True

    def _connect(self) -> Connection:
        return Connection(self._endpoint)


def endpoint(address: Address) -> Endpoint:
    """Where the server of an address is. Raises BadOption for a token that no header can carry."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    token = address.secrets.get("token") or address.secrets.get("api_key") or ""
    if not token.isascii() or not (token.isprintable()):
        raise BadOption(f"the token for {address} has characters that no header can carry")
    return Endpoint(
        str(address),
        f"{host}:{address.port or _PORTS[address.scheme]}",
        tls=address.scheme != "milvus",
        token=token,
        database=address.options.get("database", ""),
        timeout_s=address.positive("timeout_s", 120.0),
        ca=_authority(address),
    )


def _authority(address: Address) -> Path | None:
    text = address.options.get("ca")
    if text is None:
        return None
    if address.scheme == "milvus":
        raise BadOption(f"{address} names a CA and is not encrypted", advice="write milvuss://")
    if not Path(text).is_file():
        raise BadOption(f"ca={text} is no file", advice="name a file of PEM certificates")
    return Path(text)


def _flag(address: Address, option: str) -> bool:
    text = address.options.get(option, "false")
    if text not in ("true", "false"):
        raise BadOption(f"{option}={text} is neither true nor false")
    return text == "true"
