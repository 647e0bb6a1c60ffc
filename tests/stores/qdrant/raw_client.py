"""A server's collection: where it is, and how it looks to the official client."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from qdrant_client import QdrantClient

from tests.support.qdrant_server import QdrantTarget
from vecferry.address import Address, parse
from vecferry.testing.conformance import RawRow


def raw_rows(client: QdrantClient, collection: str) -> dict[str, RawRow]:
    """Every record by the text of its id; an absent vector is None."""
    records, following = client.scroll(collection, limit=100_000, with_payload=True, with_vectors=True)
    assert following is None
    return {str(record.id): RawRow(record.vector or None, record.payload) for record in records}


def address_of(server: QdrantTarget, wire: str, collection: str) -> Address:
    """The address of a collection by one wire."""
    rest = urlsplit(server.url)
    port = server.grpc_port if wire == "grpc" else rest.port
    scheme = "qdrants" if rest.scheme == "https" else "qdrant"
    secrets = {} if server.api_key is None else {"api_key": server.api_key}
    url = f"{scheme}://{rest.hostname}:{port}/{quote(collection, safe='')}?wire={wire}&rest_port={rest.port}"
    return parse(url, secrets)
