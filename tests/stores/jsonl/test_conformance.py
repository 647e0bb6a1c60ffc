"""The JSON store, held to the suite; plain Python looks behind its back."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

import pytest

from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.testing.conformance import Place, RawRow, TargetConformance


class TestJsonl(TargetConformance):
    """Every case of the suite, on files written by the store."""

    slices_outlive_writes = False

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"jsonl://{quote(str(tmp_path))}/{quote(name)}.jsonl")

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        points = [json.loads(line) for line in address.file.read_text().splitlines()]
        return {
            str(point["id"]): RawRow(
                point.get("vector"), canonical.decode(json.dumps(point["payload"])), point.get("document")
            )
            for point in points
        }
