"""A server over gRPC, held to the suite that holds every store, and what is its own."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from qdrant_client import QdrantClient

from tests.stores.qdrant.raw_client import raw_rows
from tests.support.qdrant_server import QdrantServer
from vecferry.address import Address, parse
from vecferry.testing.conformance import Place, RawRow, TargetConformance


class TestServerOverGrpc(TargetConformance):
    """Every case of the suite, over gRPC."""

    @pytest.fixture(autouse=True)
    def _raw(self, raw: QdrantClient) -> None:
        self.raw = raw

    @pytest.fixture
    def place(self, server: QdrantServer, unique: str) -> Place:
        base = f"qdrant://127.0.0.1:{server.grpc_port}"
        return lambda name: parse(f"{base}/{quote(f'{unique} {name}', safe='')}?rest_port={server.rest_port}")

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        return raw_rows(self.raw, address.collection())
