"""A target held to a rule set: what it is sent is cut, everything else goes through."""

from __future__ import annotations

from uuid import uuid4

import pyarrow as pa
import pytest

from tests.support.migrating import mixed_batch, schema
from vecferry import batch as columns
from vecferry.address import parse
from vecferry.config import make_config
from vecferry.model import ALL_PARTS, Part
from vecferry.rule_sets import RULE_SETS
from vecferry.stores import registry
from vecferry.stores.memory import MemoryStore
from vecferry.testing.rows import read_all, rows_of
from vecferry.transfer.ruled import RuledTarget, under_rules

ROWS = 1000


class Noting(MemoryStore):
    """A collection of this process that notes how many records each call has."""

    def __init__(self, name: str) -> None:
        super().__init__(f"memory:///{name}", name)
        self.requests: list[int] = []

    def write(self, batch: pa.RecordBatch) -> None:
        self.requests.append(batch.num_rows)
        super().write(batch)

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        self.requests.append(ids.num_rows)
        return super().fetch(ids, columns)


@pytest.fixture
def store() -> Noting:
    """An empty collection."""
    made = Noting(uuid4().hex)
    made.create(schema(), {})
    return made


def test_no_request_is_larger_than_the_rules_allow(store: Noting) -> None:
    """Writes, look-ups and deletes of 1,000 records go in parts of 300 at most, and nothing is lost between them."""
    ruled, batch = RuledTarget(store, RULE_SETS["chroma-cloud"]), mixed_batch(ROWS)
    ruled.write(batch)
    assert store.requests == [300, 300, 300, 100]
    assert read_all(ruled) == rows_of([batch])
    store.requests.clear()
    assert rows_of([ruled.fetch(columns.ids_of(batch))]) == rows_of([batch])
    assert store.requests == [300, 300, 300, 100]
    assert ruled.fetch(columns.ids_of(batch.slice(0, 0))).num_rows == 0
    assert max(part.num_rows for one in ruled.slices(1) for part in ruled.read(one)) == 300
    ruled.delete(columns.ids_of(batch.slice(0, 700)))
    assert ruled.count() == 300


def test_a_target_without_rules_is_used_as_it_is() -> None:
    """Only a profile, or a host that has one, puts something between."""
    url = f"memory:///{uuid4().hex}"
    with registry.open_target(parse(url)) as target:
        assert under_rules(target, make_config({"source": "memory:///s", "target": url})) is target
        cloud = make_config({"source": "memory:///s", "target": "chromas://api.trychroma.com/docs"})
        assert isinstance(under_rules(target, cloud), RuledTarget)
        free = make_config({"source": "memory:///s", "target": "chromas://api.trychroma.com/docs", "profile": "none"})
        assert under_rules(target, free) is target
