"""A look at a server's collection with the official client."""

from __future__ import annotations

from qdrant_client import QdrantClient

from vecferry.testing.conformance import RawRow


def raw_rows(client: QdrantClient, collection: str) -> dict[str, RawRow]:
    """Every record by the text of its id; an absent vector is None."""
    records, following = client.scroll(collection, limit=100_000, with_payload=True, with_vectors=True)
    assert following is None
    return {str(record.id): RawRow(record.vector or None, record.payload) for record in records}
