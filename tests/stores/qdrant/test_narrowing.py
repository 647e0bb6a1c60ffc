"""Qdrant's own filter spares a view records and never hides one, whatever index answers."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from tests.grouping.narrowing import (
    FIELD,
    SCALARS,
    conditions_for,
    equals,
    narrowed_rows,
    require_carried,
    require_same,
)
from tests.stores.qdrant.samples import schema, with_payloads
from tests.stores.qdrant.test_paths import WIRES, address_of
from tests.support.examples import examples
from tests.support.qdrant_server import QdrantServer
from vecferry import canonical
from vecferry.address import parse
from vecferry.conditions import Between, Missing, Others
from vecferry.contract import Reader, Target
from vecferry.model import IDS_ONLY, IdKind
from vecferry.stores import registry
from vecferry.stores.qdrant.settings import index_features
from vecferry.testing.rows import read_all

VALUES: list[Any] = [
    *SCALARS, None, [], [None], ["acme"], [1], [0.5], [True], {}, {"acme": 1}, [[]], -0.0, 5e-324,
]  # fmt: skip
INDEXES = ("keyword", "integer", "float", "bool", "uuid", "datetime", "text")
CASES = [("grpc", Reader.FAST, "")]
ALL_CASES = list(itertools.product(WIRES, Reader, ("", *INDEXES)))


def filled(server: QdrantServer, wire: str, name: str, reader: Reader, values: list[Any]) -> Target:
    """Two records of each value, two without the key, and a nested one that only looks like it."""
    rows = [{FIELD: value} for value in values] + [{}, {"other": {FIELD: "acme"}}]
    target = registry.open_target(address_of(server, "rest", name))
    target.create(schema(), {})
    target.write(with_payloads(canonical.encode_many([*rows, *rows])))
    target.close()
    return registry.open_target(address_of(server, wire, name), reader)


@pytest.mark.parametrize(
    ("wire", "reader", "index"),
    [*CASES, *(pytest.param(*case, marks=pytest.mark.slow) for case in ALL_CASES if case not in CASES)],
)
def test_the_engines_filter_hides_nothing(
    server: QdrantServer, raw: QdrantClient, unique: str, wire: str, reader: Reader, index: str
) -> None:
    """For every kind of value, wire, reader and index the view is the same as without the filter."""
    with filled(server, wire, unique, reader, VALUES) as target:
        if index:
            raw.create_payload_index(unique, FIELD, models.PayloadSchemaType(index), wait=True)
        require_same(target, conditions_for(VALUES))


@pytest.mark.parametrize("wire", WIRES)
def test_the_engines_filter_spares_records(server: QdrantServer, unique: str, wire: str) -> None:
    """A text, a number, null, a range of numbers and the missing are found by the server; the others are not."""
    with filled(server, wire, unique, Reader.FAST, VALUES) as target:
        everything = target.count()
        for condition in (equals("acme"), equals(1), equals(True), equals(0.5), equals(None), Missing(FIELD)):
            assert 0 < (narrowed_rows(target, condition) or everything) < everything / 2, condition
        assert 0 < (narrowed_rows(target, Between(FIELD, 0, 5)) or everything) < everything
        for condition in (equals([1]), equals({}), equals(2**64), Between(FIELD, "2024-01-01", None)):
            assert narrowed_rows(target, condition) is None
        assert narrowed_rows(target, Others(FIELD, (equals("acme"),))) is None


def test_values_put_aside_come_with_the_filter(server: QdrantServer, unique: str) -> None:
    """Records with a text under the key where a mapping puts values aside are not left out."""
    with filled(server, "grpc", unique, Reader.FAST, ["acme", "globex"]) as target:
        target.write(with_payloads([canonical.encode({"vecferry_payload": '{"workspace_id":"acme"}'})], first_id=900))
        assert narrowed_rows(target, equals("acme"), "vecferry_payload") == 3
        assert narrowed_rows(target, equals("acme"), "a.b") is None


def test_what_a_mapping_wrote_is_in_its_views(server: QdrantServer, unique: str) -> None:
    """Values that Qdrant holds, and values that were put aside, are found by views with the server's filter."""
    with registry.open_target(address_of(server, "grpc", unique)) as target:
        require_carried(target, IdKind.UINT64)


def test_a_strict_collection_is_read_whole(server: QdrantServer, raw: QdrantClient, unique: str) -> None:
    """Where strict mode refuses filters without an index, none is sent; with the index it is."""
    with filled(server, "grpc", unique, Reader.FAST, ["acme", "globex"]) as target:
        strict = models.StrictModeConfig(enabled=True, unindexed_filtering_retrieve=False)
        raw.update_collection(unique, strict_mode_config=strict)
        assert narrowed_rows(target, equals("acme")) is None
        raw.create_payload_index(unique, FIELD, models.PayloadSchemaType.KEYWORD, wait=True)
        assert narrowed_rows(target, equals("acme")) == 2


def test_closing_what_was_narrowed_leaves_the_store_open(server: QdrantServer, unique: str) -> None:
    """The filter is a way to read, and no handle of its own."""
    with filled(server, "grpc", unique, Reader.FAST, ["acme"]) as target:
        found = target.narrowed([equals("acme")])  # type: ignore[attr-defined]
        found.close()
        assert len(read_all(found, IDS_ONLY)) == 2


@pytest.mark.parametrize("index", ["", pytest.param("keyword", marks=pytest.mark.slow)])
def test_the_embedded_engine_is_narrowed(tmp_path: Path, index: str) -> None:
    """A folder of the engine shows the same views; with an index on the field it is asked for no value."""
    with registry.open_target(parse(f"qdrant+edge://{tmp_path}/docs")) as target:
        features = tuple(index_features({FIELD: index} if index else {}))
        target.create(replace(schema(), features=features), {})
        rows = [{FIELD: value} for value in VALUES] + [{}]
        target.write(with_payloads(canonical.encode_many([*rows, *rows])))
        require_same(target, conditions_for(VALUES))
        assert narrowed_rows(target, Missing(FIELD)) == 6
        for value in ("acme", 1, True, 0.5):
            found = narrowed_rows(target, equals(value))
            assert found is None if index else 2 <= (found or 0) <= 6
        assert narrowed_rows(target, Others(FIELD, (equals("acme"),))) is None


values = st.recursive(
    st.one_of(st.sampled_from(VALUES), st.text(max_size=3), st.integers(-(2**63), 2**63 - 1), st.floats(-1e9, 1e9)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from(["a", FIELD]), inner)),
    max_leaves=3,
)


@pytest.mark.slow
@given(found=st.lists(values, min_size=1, max_size=12), name=st.uuids())
@settings(deadline=None, max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_values_are_seen(server: QdrantServer, found: list[Any], name: Any) -> None:
    """Generated values, nested ones too, are in the same views with the filter and without."""
    with filled(server, "grpc", f"any_{name.hex}", Reader.FAST, found) as target:
        read = [canonical.decode(row.payload) for row in read_all(target).values() if row.payload]
        require_same(target, conditions_for([payload[FIELD] for payload in read if FIELD in payload]))
        target.drop()
