"""Both forms of NumPy files, held to the suite; NumPy and plain Python look behind the store's back."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pytest

from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.testing.conformance import Place, RawRow, TargetConformance


class TestFlat(TargetConformance):
    """One 2-D array with a JSONL beside it."""

    slices_outlive_writes = False

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"numpy://{quote(str(tmp_path))}/{quote(name)}.npy")

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        vectors = np.load(address.file, allow_pickle=False)
        payloads = [json.loads(line) for line in address.file.with_suffix(".jsonl").read_text().splitlines()]
        assert len(vectors) == len(payloads)
        rows = [(str(payload.pop("id")), payload) for payload in payloads]
        return {
            text: RawRow(vector, canonical.decode(json.dumps(payload)))
            for vector, (text, payload) in zip(vectors, rows, strict=True)
        }


class TestTree(TargetConformance):
    """One vector a file."""

    slices_outlive_writes = False

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"numpy://{quote(str(tmp_path))}/{quote(name)}")

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        rows = {}
        for path in address.file.rglob("*.npy"):
            beside = path.with_suffix(".json")
            payload = canonical.decode(beside.read_text()) if beside.exists() else {}
            rows[unquote(path.stem)] = RawRow(np.load(path, allow_pickle=False), payload)
        return rows
