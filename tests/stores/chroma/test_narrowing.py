"""Chroma's own filter spares a view records and never hides one."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.grouping.narrowing import (
    FIELD,
    SCALARS,
    conditions_for,
    equals,
    narrowed_rows,
    require_carried,
    require_same,
)
from tests.support.chroma_server import ChromaServer
from tests.support.examples import examples
from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import parse
from vecferry.conditions import Between, Equals, Missing, Others
from vecferry.contract import Reader, Target
from vecferry.model import CollectionSchema, IdKind, Metric, VectorField
from vecferry.stores import registry
from vecferry.testing.rows import read_all

from .test_versions import VERSIONS, unpacked

VALUES: list[Any] = [*SCALARS, ["acme"], ["acme", "b"], [1], [0.5], [True], 632 / 7, 0.0, "\x00", "a\x00b", "a\x00c"]


def filled(place: str, values: list[Any], reader: Reader = Reader.FAST) -> Target:
    """Two records of each value, and two without the key, open for writing."""
    address = parse(f"{place}/c{uuid4().hex}")
    target = registry.open_target(address)
    field = VectorField("", dimension=2, metric=Metric.DOT)
    target.create(CollectionSchema("c", (field,), frozenset({IdKind.STRING})), {})
    rows = [{FIELD: value, "acme": 1} for value in values] + [{}]
    texts = canonical.encode_many([*rows, *rows])
    vectors = {"": batches.dense_array(np.ones((len(texts), 2), np.float32))}
    ids = [f"id {at}" for at in range(len(texts))]
    target.write(batches.make(ids, IdKind.STRING, vectors=vectors, documents=[None] * len(texts), payloads=list(texts)))
    target.close()
    return registry.open_target(address, reader)


@pytest.mark.parametrize("reader", [Reader.FAST, pytest.param(Reader.PUBLIC, marks=pytest.mark.slow)])
def test_the_engines_filter_hides_nothing(chroma: ChromaServer, reader: Reader) -> None:
    """For every kind of value that Chroma holds the view is the same as without the filter."""
    with filled(chroma.url, VALUES, reader) as target:
        require_same(target, conditions_for(VALUES))


def test_the_engines_filter_spares_records(chroma: ChromaServer) -> None:
    """Texts, integers and booleans are found by the server; floats, the missing, ranges and the others are not."""
    with filled(chroma.url, VALUES) as target:
        for value in ("acme", "", 1, True, 2**63 - 1):
            assert 2 <= (narrowed_rows(target, equals(value)) or 0) <= 6  # lists with the value in them, too
        for condition in (equals(0.5), equals(["acme"]), equals(None), Missing(FIELD), Between(FIELD, 0, 5)):
            assert narrowed_rows(target, condition) is None
        assert narrowed_rows(target, Others(FIELD, (equals("acme"),))) is None
        assert narrowed_rows(target, equals("acme"), "vecferry_payload") is None


@pytest.mark.slow
def test_what_a_mapping_wrote_is_in_its_views(chroma: ChromaServer) -> None:
    """Values that Chroma holds, and values that were put aside, are in the views of a target that has no filter."""
    with registry.open_target(parse(f"{chroma.url}/c{uuid4().hex}")) as target:
        require_carried(target, IdKind.STRING)


def test_a_folder_is_narrowed_by_its_tables(tmp_path: Path) -> None:
    """A folder that is read directly shows the same views, and finds a workspace's records in an index."""
    with filled(f"chroma+path://{tmp_path}/folder", VALUES) as target:
        address = parse(target.url)
    with registry.open_source(address) as source:
        require_same(source, conditions_for(VALUES))
        for value in ("acme", "", 1, True, 2**63 - 1):
            assert narrowed_rows(source, equals(value)) == 2
        for condition in (equals(0.5), equals(["acme"]), Missing(FIELD), Between(FIELD, 0, 5)):
            assert narrowed_rows(source, condition) is None
        assert narrowed_rows(source, equals("acme"), "vecferry_payload") is None


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_folders_of_every_version_are_narrowed(version: str, tmp_path: Path) -> None:
    """Every value of every key of what each Chroma left, its unread log included, is a view without a gap."""
    golden, narrowed = unpacked(version, tmp_path / "golden"), 0
    for said in golden.collections:
        with golden.source(said) as source:
            found = [canonical.decode(row.payload or b"{}") for row in read_all(source).values()]
            pairs = {(name, canonical.encode(value).decode()) for payload in found for name, value in payload.items()}
            conditions = [Equals(name, key) for name, key in sorted(pairs)]
            chosen = conditions[:: max(1, len(conditions) // 40)]
            if found:
                require_same(source, chosen)
            narrowed += sum(narrowed_rows(source, condition) is not None for condition in chosen)
    assert narrowed > 10


values = st.one_of(
    st.sampled_from(VALUES),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=3),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(-1e9, 1e9).filter(lambda number: number != 0),
)


@pytest.mark.slow
@given(found=st.lists(values, min_size=1, max_size=12))
@settings(deadline=None, max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_values_are_seen(chroma: ChromaServer, found: list[Any]) -> None:
    """Generated values are in the same views with the filter and without."""
    with filled(chroma.url, found) as target:
        read = [canonical.decode(row.payload) for row in read_all(target).values() if row.payload]
        require_same(target, conditions_for([payload[FIELD] for payload in read if FIELD in payload]))
        target.drop()
