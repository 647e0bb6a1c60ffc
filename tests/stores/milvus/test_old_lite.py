"""Files of milvus-lite 2, read through their own server: also an engine with 16-bit vectors, and few calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient

from tests.support.milvus_server import RealServer
from tests.support.old_milvus_lite import OldLiteServer
from vecferry.address import parse
from vecferry.cli.main import main
from vecferry.contract import Reader
from vecferry.errors import StoreRefused
from vecferry.model import DType, IdKind, RecordId, VectorKind
from vecferry.stores import registry
from vecferry.testing.rows import read_all

from .users import make_plain

pytestmark = pytest.mark.slow

NUMBERS = np.array([[0.5, -0.0, 1.0, 240.0], [1.25, 2.0, -3.0, 0.25]], dtype=np.float32)
_TYPES: dict[str, tuple[Any, DType]] = {
    "FLOAT16_VECTOR": (list(NUMBERS.astype(np.float16)), DType.FLOAT16),
    "BFLOAT16_VECTOR": ([row.tobytes() for row in (NUMBERS.view("<u4") >> 16).astype("<u2")], DType.FLOAT32),
}
"""What the client takes of these numbers, which all types hold, and the type that they are read as."""


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """An empty file behind its server."""
    with OldLiteServer(tmp_path_factory.mktemp("old") / "old.db") as server:
        yield server


def make(server: RealServer, kind: str, values: list[Any], index: str, metric: str) -> str:
    """A collection with one vector field of this type; its name."""
    client = server.client()
    fields = client.create_schema(auto_id=False)
    fields.add_field("id", DataType.INT64, is_primary=True)
    dimension = {} if kind.startswith("SPARSE") else {"dim": 16 if kind.startswith("BINARY") else 4}
    fields.add_field("v", getattr(DataType, kind), **dimension)
    indexes = client.prepare_index_params()
    indexes.add_index("v", index_type=index, metric_type=metric)
    client.create_collection(kind, schema=fields, index_params=indexes)
    client.insert(kind, [{"id": row, "v": value} for row, value in enumerate(values)])
    client.close()
    return kind


@pytest.mark.parametrize("kind", _TYPES)
def test_16_bit_vectors_are_read_exactly(old: RealServer, kind: str) -> None:
    """float16 comes as it is, bfloat16 as float32, by both readers, every number the same."""
    given, dtype = _TYPES[kind]
    name = make(old, kind, given, "FLAT", "L2")
    for reader in Reader:
        with registry.open_source(old.address(name), reader) as source:
            assert source.describe().vectors[0].dtype is dtype
            found = read_all(source)
        for row in range(len(NUMBERS)):
            raw = found[RecordId(IdKind.INT64, str(row))].vectors["v"][2]
            assert raw == NUMBERS[row].astype(dtype.value).tobytes()


def test_sparse_vectors_are_read_exactly(old: RealServer) -> None:
    """Indices and values come as they are, by both readers."""
    name = make(old, "SPARSE_FLOAT_VECTOR", [{3: 0.1, 2**31: 1.5}, {7: 2.0}], "SPARSE_INVERTED_INDEX", "IP")
    for reader in Reader:
        with registry.open_source(old.address(name), reader) as source:
            assert source.describe().vectors[0].kind is VectorKind.SPARSE
            found = read_all(source)
        indices, (_, _, values) = found[RecordId(IdKind.INT64, "0")].vectors["v"]
        assert indices == np.array([3, 2**31], np.uint32).tobytes()
        assert values == np.array([0.1, 1.5], np.float32).tobytes()


def test_binary_vectors_are_refused_by_name(old: RealServer) -> None:
    """A field of bits is refused with its name: by its type, or by the metric of its index."""
    name = make(old, "BINARY_VECTOR", [b"\x07\x00"], "BIN_FLAT", "HAMMING")
    with registry.open_source(old.address(name)) as source, pytest.raises(StoreRefused, match="'v'"):
        source.describe()


def test_a_file_of_the_old_engine_moves_to_a_folder_of_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through its own server an old file is migrated, and verified; the file's collection stays as it was."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VECFERRY_LEDGER", raising=False)
    ids = [f"key {row}" for row in range(120)]
    with OldLiteServer(tmp_path / "file.db") as server:
        client: MilvusClient = server.client()
        make_plain(client, "docs", ids)
        target = f"milvus+path://{tmp_path}/folder/docs"
        assert main(["migrate", "--source", str(server.address("docs")), "--target", target, "--approve", "auto"]) == 0
        with registry.open_source(server.address("docs")) as source, registry.open_source(parse(target)) as copy:
            assert read_all(copy) == read_all(source)
            assert copy.count() == 120
        client.close()
