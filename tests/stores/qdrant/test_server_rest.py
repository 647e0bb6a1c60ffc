"""A server over REST, held to the suite that holds every store, and what is its own."""

from __future__ import annotations

import pytest
from qdrant_client import QdrantClient

from tests.stores.qdrant.raw_client import address_of, raw_rows
from tests.support.qdrant_server import QdrantTarget
from vecferry.address import Address
from vecferry.testing.conformance import Place, RawRow, TargetConformance


@pytest.mark.slow
class TestServerOverRest(TargetConformance):
    """Every case of the suite, over REST."""

    @pytest.fixture(autouse=True)
    def _raw(self, qdrant_raw: QdrantClient) -> None:
        self.raw = qdrant_raw

    @pytest.fixture
    def place(self, qdrant: QdrantTarget, prefix: str) -> Place:
        return lambda name: address_of(qdrant, "rest", f"{prefix} {name}")

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        return raw_rows(self.raw, address.collection())
