"""Typed fields, keys and dynamic fields of collections that others made, on any Milvus: which value becomes what."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from pymilvus import DataType, MilvusClient

from tests.support.milvus_server import RealServer
from vecferry import canonical
from vecferry.contract import Reader
from vecferry.errors import BadRecord
from vecferry.model import IdKind, RecordId
from vecferry.stores import registry
from vecferry.testing.rows import read_all

from .wire import insert_with_dynamic

pytestmark = pytest.mark.slow

_INT64 = (-(2**63), 2**63 - 1, 2**53 + 1)
_DOUBLES = (0.1, -0.0, 5e-324, 1.7976931348623157e308)
_FLOATS = (0.1, -0.0, 1e-45, 3.4028234663852886e38)
SCALARS: dict[str, tuple[Any, ...]] = {
    "BOOL": (True, False),
    "INT8": (-128, 127),
    "INT16": (-32_768, 32_767),
    "INT32": (-(2**31), 2**31 - 1),
    "INT64": _INT64,
    "FLOAT": _FLOATS,
    "DOUBLE": _DOUBLES,
    "VARCHAR": ("", 'ü"\\\n\x00', "null", "日本\U0001f600"),
    "JSON": ({"a": [1, None, {"b": 2**53 + 1}], "f": 0.1}, {}, {"": {"ü": "x"}}),
}
"""Each type with values at its borders."""
ELEMENTS = tuple(name for name in SCALARS if name != "JSON")


def as_stored(kind: str, value: Any) -> Any:
    """The value that a field of this type keeps: a 32-bit float is the double of the same value."""
    return float(np.float32(value)) if kind == "FLOAT" else value


def make(client: MilvusClient, add: Callable[[Any], Any], rows: Sequence[dict[str, Any]], **schema: Any) -> str:
    """A collection with a vector of two numbers and the fields that `add` adds; its name."""
    name = f"c{uuid4().hex}"
    fields = client.create_schema(enable_dynamic_field=True, **({"auto_id": False} | schema))
    add(fields)
    fields.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_collection(name, schema=fields, index_params=index)
    if rows:
        client.insert(name, [{"vector": [0.5, 1.0], **row} for row in rows])
    return name


def payloads(server: RealServer, name: str, reader: Reader) -> dict[int | str, bytes]:
    """The payloads of a collection by id."""
    with registry.open_source(server.address(name), reader) as source:
        found = read_all(source, slices=2)
    return {int(key.text) if key.kind is IdKind.INT64 else key.text: row.payload for key, row in found.items()}


def number_key(fields: Any) -> None:
    """A key `id` of numbers."""
    fields.add_field("id", DataType.INT64, is_primary=True)


@pytest.mark.parametrize("reader", Reader)
def test_every_scalar_type_is_read_exactly(server: RealServer, client: MilvusClient, reader: Reader) -> None:
    """Values at the borders of each type are keys of the payload, a 32-bit float as the double of the same value."""

    def add(fields: Any) -> None:
        number_key(fields)
        for kind in SCALARS:
            fields.add_field(f"f_{kind}", getattr(DataType, kind), **({"max_length": 60} if kind == "VARCHAR" else {}))

    rows = [{f"f_{kind}": values[number % len(values)] for kind, values in SCALARS.items()} for number in range(12)]
    name = make(client, add, [{"id": number, "loose": [number], **row} for number, row in enumerate(rows)])
    found = payloads(server, name, reader)
    for number, row in enumerate(rows):
        wanted = {key: as_stored(key.removeprefix("f_"), value) for key, value in row.items()}
        assert found[number] == canonical.encode({**wanted, "loose": [number]})
    client.drop_collection(name)


@pytest.mark.parametrize("reader", Reader)
def test_every_array_is_read_exactly(server: RealServer, client: MilvusClient, reader: Reader) -> None:
    """Arrays of each type come as lists with their values, empty ones too."""

    def add(fields: Any) -> None:
        number_key(fields)
        for kind in ELEMENTS:
            text = {"max_length": 60} if kind == "VARCHAR" else {}
            kinds = {"element_type": getattr(DataType, kind), "max_capacity": 8, **text}
            fields.add_field(f"f_{kind}", DataType.ARRAY, **kinds)

    rows = [{f"f_{kind}": list(SCALARS[kind])[:length] for kind in ELEMENTS} for length in (4, 1, 0)]
    name = make(client, add, [{"id": number, **row} for number, row in enumerate(rows)])
    found = payloads(server, name, reader)
    for number, row in enumerate(rows):
        wanted = {key: [as_stored(key.removeprefix("f_"), one) for one in values] for key, values in row.items()}
        assert found[number] == canonical.encode(wanted)
    client.drop_collection(name)


def test_ids_that_milvus_made_are_ids(server: RealServer, client: MilvusClient) -> None:
    """The ids of an Auto ID collection are those that Milvus told when it made them; the plan names the setting."""
    # milvus-lite makes numbers alone.
    for kind in ("INT64",) if server.is_lite else ("INT64", "VARCHAR"):
        check_made_ids(server, client, kind)


def check_made_ids(server: RealServer, client: MilvusClient, kind: str) -> None:
    """The ids of a collection whose key is of this type."""

    def add(fields: Any) -> None:
        text = {"max_length": 40} if kind == "VARCHAR" else {}
        fields.add_field("id", getattr(DataType, kind), is_primary=True, auto_id=True, **text)

    name = make(client, add, [], auto_id=True)
    made = client.insert(name, [{"vector": [1.0, number], "n": number} for number in range(30)])["ids"]
    found = payloads(server, name, Reader.FAST)
    assert found == {key: canonical.encode({"n": number}) for number, key in enumerate(made)}
    with registry.open_source(server.address(name)) as source:
        assert "Auto ID" in {feature.name for feature in source.describe().features}
    client.drop_collection(name)


def test_a_partition_key_is_a_field_like_others(server: RealServer, client: MilvusClient) -> None:
    """Records of all partitions that a key made are read, the key's field with them; the plan names the key once."""

    def add(fields: Any) -> None:
        number_key(fields)
        fields.add_field("tenant", DataType.VARCHAR, max_length=20, is_partition_key=True)

    name = make(client, add, [{"id": number, "tenant": f"t{number % 7}"} for number in range(50)])
    found = payloads(server, name, Reader.FAST)
    assert found == {number: canonical.encode({"tenant": f"t{number % 7}"}) for number in range(50)}
    with registry.open_source(server.address(name)) as source:
        partitions = [one for one in source.describe().features if one.name.startswith("partition")]
    assert [one.name for one in partitions] == ["partition key"]
    assert "'tenant'" in partitions[0].value
    client.drop_collection(name)


def _with_year(fields: Any) -> None:
    number_key(fields)
    fields.add_field("year", DataType.INT32)


def test_a_null_dynamic_field_is_no_payload(server: RealServer, client: MilvusClient) -> None:
    """JSON's null, which a server keeps where a client sent it as `$meta`, is a record without dynamic keys."""
    name = make(client, _with_year, [{"id": 1, "year": 7, "x": 1}])
    insert_with_dynamic(server, name, [2, 3], [8, 9], [b"null", b"{}"])
    wanted = {1: canonical.encode({"x": 1, "year": 7}), 2: b'{"year":8}', 3: b'{"year":9}'}
    for reader in Reader:
        assert payloads(server, name, reader) == wanted
    client.drop_collection(name)


def test_a_dynamic_key_that_is_also_a_field_stops_the_reading(server: RealServer, client: MilvusClient) -> None:
    """Where a record has two values under one name, it is named: either value would be lost without a word."""
    name = make(client, _with_year, [{"id": 1, "year": 7}])
    insert_with_dynamic(server, name, [5], [8], [json.dumps({"year": 1999, "x": 1}).encode()])
    with registry.open_source(server.address(name)) as source:
        stored = source.count()
        # milvus-lite lets the dynamic key replace the field's value when it stores the record: nothing is twice there.
        if server.is_lite:
            assert read_all(source)[RecordId(IdKind.INT64, "5")].payload == canonical.encode({"x": 1, "year": 1999})
        else:
            with pytest.raises(BadRecord, match=r"'5'.*'year'"):
                read_all(source)
        assert stored == 2
    client.drop_collection(name)
