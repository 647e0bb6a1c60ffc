"""Collections as users make them, with Milvus's own client."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient

__all__ = ["HOSTILE", "make_plain", "make_typed"]

HOSTILE = ("", " ", 'a"b', "a\\b", "a\nb", "a\\nb", "x', 'b", "b", "\t", "\r", "\x00", "ünï", "\u2028", "12", "'", "%")
"""Keys that the client does not escape, or loops on."""


def make_plain(client: MilvusClient, name: str, ids: list[str] | list[int], dimension: int = 4, **schema: Any) -> Any:
    """A key `id`, a vector `vector`, dynamic payloads `{"n": place}`; the vectors `(n, dimension) float32`."""
    fields = client.create_schema(auto_id=False, enable_dynamic_field=True, **schema)
    if isinstance(ids[0], str):
        fields.add_field("id", DataType.VARCHAR, is_primary=True, max_length=500)
    else:
        fields.add_field("id", DataType.INT64, is_primary=True)
    fields.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="COSINE")
    client.create_collection(name, schema=fields, index_params=index)
    vectors = np.random.default_rng(len(ids)).standard_normal((len(ids), dimension)).astype(np.float32)
    for start in range(0, len(ids), 500):
        places = range(start, min(start + 500, len(ids)))
        client.insert(name, [{"id": ids[at], "vector": vectors[at].tolist(), "n": at} for at in places])
    return vectors


def make_typed(client: MilvusClient, name: str) -> list[dict[str, Any]]:
    """A collection with a field of every type, nulls, a partition and Auto ID off; its rows as they were given."""
    fields = client.create_schema(auto_id=False, enable_dynamic_field=True, description="books")
    fields.add_field("isbn", DataType.INT64, is_primary=True)
    fields.add_field("embedding", DataType.FLOAT_VECTOR, dim=3)
    fields.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
    fields.add_field("flag", DataType.BOOL)
    fields.add_field("small", DataType.INT8)
    fields.add_field("large", DataType.INT64, nullable=True)
    fields.add_field("single", DataType.FLOAT)
    fields.add_field("double", DataType.DOUBLE, nullable=True)
    fields.add_field("title", DataType.VARCHAR, max_length=100, nullable=True)
    fields.add_field("extra", DataType.JSON, nullable=True)
    fields.add_field("tags", DataType.ARRAY, element_type=DataType.VARCHAR, max_capacity=5, max_length=20)
    index = client.prepare_index_params()
    index.add_index("embedding", index_type="HNSW", metric_type="L2", params={"M": 8, "efConstruction": 64})
    index.add_index("words", index_type="SPARSE_INVERTED_INDEX", metric_type="IP")
    client.create_collection(name, schema=fields, index_params=index)
    rows = [_row(number) for number in range(60)]
    client.create_partition(name, "older")
    client.insert(name, rows[:20], partition_name="older")
    client.insert(name, rows[20:])
    return rows


def _row(number: int) -> dict[str, Any]:
    key = (-(2**63), 2**63 - 1, 0)[number] if number < 3 else number * (-1) ** number
    return {
        "isbn": key,
        "embedding": [number / 4, 1.0, -0.0],
        "words": {number: 0.5, 1000 + number: 2.0},
        "flag": number % 2 == 0,
        "small": number - 30,
        "large": None if number % 3 == 0 else 2**53 + number,
        "single": 0.5 + number,
        "double": None if number % 4 == 0 else number / 3,
        "title": None if number % 5 == 0 else f"Tïtle {number}",
        "extra": None if number % 7 == 0 else {"a": [number, {"b": None}]},
        "tags": [f"t{number}", "all"][: number % 3],
        "loose": {"deep": [number]},
        "none": None,
    }
