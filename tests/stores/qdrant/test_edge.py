"""The embedded engine, held to the suite that holds every store, and what is its own."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
import qdrant_edge as engine

from vecferry.address import Address, parse
from vecferry.testing.conformance import Place, RawRow, TargetConformance


class TestEdge(TargetConformance):
    """Every case of the suite, on folders of the embedded engine."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"qdrant+edge://{tmp_path}/{quote(name, safe='')}")

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        shard = engine.EdgeShard.load(str(address.folder() / address.collection()))
        try:
            request = engine.ScrollRequest(limit=100_000, with_payload=True, with_vector=True)
            return {str(record.id): RawRow(record.vector or None, record.payload) for record in shard.scroll(request)[0]}
        finally:
            shard.close()
