from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest

from tests.golden.make_archive_v1 import VECTORS, column_of
from vecferry import batch as columns
from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.archive import Archive, Changes
from vecferry.model import CollectionSchema, IdKind
from vecferry.testing.conformance import Place, SourceConformance


class TestArchive(SourceConformance):
    """Every case of the suite for stores that are only read."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"archive://{tmp_path}/{quote(name, safe='')}")

    @pytest.fixture
    def expected(self, address: Address) -> pa.RecordBatch:
        name, types = address.collection(), columns.arrow_schema(VECTORS[:2])
        archive = Archive.create(address.folder(), name, {})
        parts = [records(0, 30), records(30, 30), records(30, 50)]
        receipts = [archive.write_part(number, types, [part]) for number, part in enumerate(parts)]
        schema = CollectionSchema(name, VECTORS[:2], frozenset(IdKind), has_document=True)
        archive.commit(Changes(schema=schema, parts=tuple(receipts), complete=True))
        return pa.concat_batches(parts)


def records(start: int, stop: int) -> pa.RecordBatch:
    """Records with two vectors, of which one is missing now and then, and ids of two kinds."""
    numbers = range(start, stop)
    vectors = {
        "": column_of(VECTORS[0], [[number, 0.1, -0.0, 1e-45] if number % 7 else None for number in numbers]),
        "half": column_of(VECTORS[1], [[number, 1.0, float("nan")] for number in numbers]),
    }
    return columns.make(
        [str(number) for number in numbers],
        [IdKind.UINT64 if number % 2 else IdKind.STRING for number in numbers],
        vectors=vectors,
        documents=[f"dóc {number}" if number % 3 else None for number in numbers],
        payloads=canonical.encode_many({"n": number, "nan": float("nan")} for number in numbers),
    )
