"""Milvus's own filter spares a view records and never hides one, on any server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymilvus import DataType, MilvusClient

from tests.grouping.narrowing import (
    FIELD,
    SCALARS,
    conditions_for,
    equals,
    narrowed_rows,
    require_carried,
    require_same,
)
from tests.support.examples import examples
from tests.support.milvus_server import RealServer
from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import parse
from vecferry.conditions import Between, Missing, Others
from vecferry.contract import Reader, Target
from vecferry.model import CollectionSchema, IdKind, Metric, VectorField
from vecferry.stores import registry
from vecferry.testing.rows import read_all

from .test_fields import make

VALUES: list[Any] = [*SCALARS, None, [], ["acme"], [1], [0.5], {}, {"acme": 1}, 632 / 7, "a\x00b", -(2**63) + 1]


def filled(server: RealServer, values: list[Any], reader: Reader = Reader.FAST, kind: str = "string") -> Target:
    """Two records of each value, and two without the key, in the dynamic field."""
    name = f"c{uuid4().hex}"
    address = parse(f"milvus://{server.host}:{server.port}/{name}?ids={kind}")
    target = registry.open_target(address)
    field = VectorField("", dimension=2, metric=Metric.DOT)
    target.create(CollectionSchema("c", (field,), frozenset({IdKind(kind)})), {})
    rows = [{FIELD: value, "acme": 1} for value in values] + [{}]
    texts = canonical.encode_many([*rows, *rows])
    vectors = {"": batches.dense_array(np.ones((len(texts), 2), np.float32))}
    ids = [str(at) for at in range(len(texts))]
    target.write(batches.make(ids, IdKind(kind), vectors=vectors, documents=[None] * len(texts), payloads=list(texts)))
    target.finish_load()
    target.close()
    return registry.open_target(address, reader)


@pytest.mark.parametrize(
    ("reader", "kind"),
    [(Reader.FAST, "string"), pytest.param(Reader.PUBLIC, "int64", marks=pytest.mark.slow)],
)
def test_the_engines_filter_hides_nothing(server: RealServer, reader: Reader, kind: str) -> None:
    """For every kind of value in the dynamic field the view is the same as without the filter."""
    with filled(server, VALUES, reader, kind) as target:
        require_same(target, conditions_for(VALUES))


def test_the_engines_filter_spares_records(server: RealServer) -> None:
    """Plain texts, integers and booleans are found by the server; whatever could be read otherwise is not asked."""
    with filled(server, VALUES) as target:
        for value in ("acme", "", 1, True, 2**63 - 1, "日本語 🚢"):
            assert 2 <= (narrowed_rows(target, equals(value)) or 0) <= 6  # 1, 1.0 and true are equals there
        for condition in (equals(0.5), equals(["acme"]), equals(None), equals('quo"te'), equals(-(2**63))):
            assert narrowed_rows(target, condition) is None
        for other in (Missing(FIELD), Between(FIELD, 0, 5), Others(FIELD, (equals("acme"),))):
            assert narrowed_rows(target, other) is None


def test_values_put_aside_come_with_the_filter(server: RealServer) -> None:
    """Records with a text under the key where a mapping puts values aside are not left out."""
    with filled(server, ["acme", "globex"]) as target:
        assert narrowed_rows(target, equals("acme"), "acme") == 4
        assert narrowed_rows(target, equals("acme"), "side") == 2
        assert narrowed_rows(target, equals("acme"), "a.b") is None


@pytest.mark.slow
def test_what_a_mapping_wrote_is_in_its_views(server: RealServer) -> None:
    """Values that Milvus holds, and values that were put aside, are found by views with the server's filter."""
    with registry.open_target(parse(f"milvus://{server.host}:{server.port}/c{uuid4().hex}?ids=int64")) as target:
        require_carried(target, IdKind.INT64)


@pytest.fixture
def typed(client: MilvusClient) -> Iterator[str]:
    """A collection with typed fields for the group, some of them null."""
    rows = [
        {"pk": at, "text": text, "number": number, "flag": at % 2 == 0, "small": at, "single": 0.5, "extra": {"v": 1}}
        for at, (text, number) in enumerate([("acme", 1), ("", 2**63 - 1), ("1", 0), ('quo"te', -(2**63)), ("b", 7)])
    ]

    def add(fields: Any) -> None:
        fields.add_field("pk", DataType.INT64, is_primary=True)
        fields.add_field("text", DataType.VARCHAR, max_length=100)
        fields.add_field("number", DataType.INT64)
        fields.add_field("flag", DataType.BOOL)
        fields.add_field("small", DataType.INT8)
        fields.add_field("single", DataType.FLOAT)
        fields.add_field("extra", DataType.JSON)

    name = make(client, add, rows)
    yield name
    client.drop_collection(name)


@pytest.mark.slow
def test_typed_fields_are_filtered_by_their_type(server: RealServer, typed: str) -> None:
    """A field of its own is asked for values of its type alone, and the views are the same as without the filter."""
    with registry.open_source(parse(f"milvus://{server.host}:{server.port}/{typed}?load=true")) as source:
        for field, value, rows in [("text", "acme", 1), ("number", 2**63 - 1, 1), ("flag", True, 3), ("text", "", 1)]:
            condition = type(equals(value))(field, equals(value).key)
            assert narrowed_rows(source, condition) == rows
            require_same(source, [condition])
        for field, value in [("text", 1), ("number", "1"), ("small", 1), ("single", 0.5), ("extra", "acme"), ("pk", 1)]:
            condition = type(equals(value))(field, equals(value).key)
            assert narrowed_rows(source, condition) is None
            require_same(source, [condition])


@pytest.mark.slow
def test_a_partition_is_a_workspace(server: RealServer, client: MilvusClient) -> None:
    """Where partitions tell the field, one of them is read alone, and nothing for a name that is no partition."""
    name = make(client, lambda fields: fields.add_field("pk", DataType.INT64, is_primary=True), [])
    for number, partition in enumerate(("acme", "globex")):
        client.create_partition(name, partition)
        client.insert(name, [{"pk": number, "vector": [0.5, 1.0]}], partition_name=partition)
    address = parse(f"milvus://{server.host}:{server.port}/{name}?load=true&partition_field={FIELD}")
    with registry.open_source(address) as source:
        require_same(source, conditions_for(["acme", "globex", "_default", "nobody", 1, ["acme"]]))
        assert narrowed_rows(source, equals(1)) is not None
    client.drop_collection(name)


values = st.one_of(
    st.sampled_from(VALUES),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=3),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(-1e9, 1e9),
)


@pytest.mark.slow
@given(found=st.lists(values, min_size=1, max_size=12))
@settings(deadline=None, max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_values_are_seen(server: RealServer, found: list[Any]) -> None:
    """Generated values are in the same views with the filter and without."""
    with filled(server, found) as target:
        read = [canonical.decode(row.payload) for row in read_all(target).values() if row.payload]
        require_same(target, conditions_for([payload[FIELD] for payload in read if FIELD in payload]))
        target.drop()
