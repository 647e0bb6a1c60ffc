"""Each kind of index that is built, held to the suite; FAISS and plain Python look behind the store's back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import pytest

from tests.stores.faiss_index import raw
from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.testing.conformance import Place, RawRow, TargetConformance


class TestFlat(TargetConformance):
    """One vector after the other."""

    slices_outlive_writes = False
    options: ClassVar[str] = ""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"faiss://{quote(str(tmp_path))}/{quote(name)}.index{self.options}")

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        entries = json.loads(address.file.with_suffix(".json").read_text())
        vectors = raw.vectors_by_id(address.file)
        assert {int(key) for key in entries} == set(vectors)
        rows = {}
        for key, entry in entries.items():
            text = str(entry.pop("id", key))
            rows[text] = RawRow(vectors[int(key)], canonical.decode(json.dumps(entry)))
        return rows


@pytest.mark.slow
class TestHnsw(TestFlat):
    """A graph over them."""

    options = "?index=hnsw&m=8&ef_construct=20"


@pytest.mark.slow
class TestIvf(TestFlat):
    """Inverted lists."""

    options = "?index=ivf&nprobe=2"
