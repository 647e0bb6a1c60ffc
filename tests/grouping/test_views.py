"""A view of one workspace is a collection like any other, and touches nothing of the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mapping.cases import TARGETS, documents, ids, make_batch, make_schema, mapping_for, payloads, scalars, values
from tests.support.examples import examples
from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.capabilities import Capabilities
from vecferry.conditions import Condition, Equals, Missing, Others
from vecferry.contract import Reader, Source, Target
from vecferry.errors import StoreRefused
from vecferry.forwarding import ForwardingSource, NarrowedSource
from vecferry.grouping import not_carried, target_view, view
from vecferry.model import ALL_PARTS, IDS_ONLY, IdKind, Part, Slice
from vecferry.rule_sets import RULE_SETS
from vecferry.stores import registry
from vecferry.stores.memory import MemoryStore
from vecferry.testing import generators
from vecferry.testing.conformance import Place, SourceConformance
from vecferry.testing.rows import read_all, rows_of
from vecferry.transfer.ruled import RuledTarget

FIELD = "workspace_id"
ACME, GLOBEX = Equals(FIELD, '"acme"'), Equals(FIELD, '"globex"')
REST = Others(FIELD, (ACME, GLOBEX))


def memory(name: str) -> Address:
    return parse(f"memory:///{quote(f'{uuid4().hex} {name}', safe='')}")


def labelled(batch: pa.RecordBatch, names: list[Any]) -> pa.RecordBatch:
    """The batch with these values under the field, one after the other; "" leaves the key out."""
    found = [canonical.decode(text) for text in batches.payloads(batch)]
    for at, payload in enumerate(found):
        if name := names[at % len(names)]:
            payload[FIELD] = name
    texts = pa.array(canonical.encode_many(found), pa.binary()).cast(pa.string())
    at = batch.schema.get_field_index(batches.PAYLOAD)
    return batch.set_column(at, batch.schema.field(at), texts)


class _ViewOfMemory(SourceConformance):
    """Half of a generated collection, held to the suite of every source."""

    @pytest.fixture
    def place(self) -> Place:
        prefix = uuid4().hex
        return lambda name: parse(f"memory:///{quote(f'{prefix} {name}', safe='')}")

    @pytest.fixture
    def expected(self, address: Address) -> pa.RecordBatch:
        target = registry.open_target(address)
        claimed = target.capabilities()
        vectors = generators.rich_vectors(claimed)
        target.create(generators.collection_schema("records", vectors, claimed), {})
        batch = labelled(generators.records(vectors, claimed, 120), ["acme", "globex"])
        target.write(batch)
        return batch.take(pa.array(range(0, 120, 2)))


class TestSourceView(_ViewOfMemory):
    """A view for reading, by the suite."""

    def open_source(self, address: Address, reader: Reader = Reader.FAST) -> Source:
        return view(registry.open_source(address, reader), ACME)


class _Dear(ForwardingSource):
    """A source whose vectors cost something to read; what is read of it in bulk is noted."""

    def __init__(self, inner: Source) -> None:
        super().__init__(inner)
        self.read_in_bulk: list[frozenset[Part]] = []

    def capabilities(self) -> Capabilities:
        return replace(self.inner.capabilities(), cheap_vectors=False)

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        self.read_in_bulk.append(columns)
        return self.inner.read(part, columns, batch_rows)


@pytest.mark.slow
class TestLookedUp(_ViewOfMemory):
    """A view that looks its records up by their ids, by the suite."""

    def open_source(self, address: Address, reader: Reader = Reader.FAST) -> Source:
        return view(_Dear(registry.open_source(address, reader)), ACME)


@pytest.mark.slow
class TestTargetView(_ViewOfMemory):
    """A view for writing, read back by the suite."""

    def open_source(self, address: Address, reader: Reader = Reader.FAST) -> Source:
        return target_view(registry.open_target(address, reader), ACME)


@pytest.fixture
def target() -> Target:
    """Nine records of two workspaces and none."""
    opened = registry.open_target(memory("nine"))
    opened.create(make_schema(IdKind.UINT64), {})
    opened.write(labelled(rows(range(9)), ["acme", "globex", ""]))
    return opened


def rows(numbers: Any) -> pa.RecordBatch:
    return make_batch([(IdKind.UINT64, str(number)) for number in numbers])


def numbers(source: Source) -> list[int]:
    return sorted(int(found.text) for found in read_all(source, IDS_ONLY))


def test_views_share_a_collection_out(target: Target) -> None:
    """The views of all groups hold every record once, and each counts its own."""
    views = [target_view(target, condition) for condition in (ACME, GLOBEX, Missing(FIELD))]
    assert [numbers(found) for found in views] == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    assert [found.count() for found in views] == [3, 3, 3]
    assert numbers(target_view(target, REST)) == [2, 5, 8]


def test_small_batches_are_joined(target: Target) -> None:
    """A view whose records lie far apart gives batches as full as asked for."""
    target.write(labelled(rows(range(100, 160)), ["acme", "globex", ""]))
    [part] = target.slices(1)
    sizes = [batch.num_rows for batch in target_view(target, ACME).read(part, batch_rows=7)]
    assert sum(sizes) == 23
    assert max(sizes) <= 7
    assert len(sizes) <= 5


def test_vectors_of_other_workspaces_are_not_read(target: Target) -> None:
    """Without a filter of the engine the payloads are read, then a small workspace's records by their ids."""
    dear = _Dear(target)
    own = view(dear, ACME)
    assert read_all(own, batch_rows=2) == read_all(view(target, ACME))
    assert set(dear.read_in_bulk) == {frozenset({Part.PAYLOAD})}
    assert read_all(view(dear, Others(FIELD, (ACME,)))) == read_all(view(target, Others(FIELD, (ACME,))))
    assert dear.read_in_bulk[-1] == ALL_PARTS
    [part] = own.slices(1)
    assert [batch.num_rows for batch in own.read(part, batch_rows=2)] == [2, 1]


def test_a_record_that_moved_is_not_deleted(target: Target) -> None:
    """`delete` removes what is of the workspace now, and leaves a record that moved to another to that one."""
    own = target_view(target, ACME)
    target.write(labelled(rows([3]), ["globex"]))
    own.delete(rows([0, 3, 4, 77]))
    assert numbers(target) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_a_served_workspace_is_not_overwritten(target: Target) -> None:
    """A write that would replace a record of a guarded workspace is refused, naming it, before anything is written."""
    guarded = target_view(target, ACME, guards=[GLOBEX])
    with pytest.raises(StoreRefused, match=r"'4'.*another workspace"):
        guarded.write(labelled(rows([20, 4]), ["acme"]))
    assert numbers(guarded) == [0, 3, 6]
    guarded.write(labelled(rows([20, 3, 5]), ["acme"]))
    assert numbers(guarded) == [0, 3, 5, 6, 20]
    with guarded.changing() as inside, pytest.raises(StoreRefused):
        inside.write(labelled(rows([1]), ["acme"]))


def test_a_workspace_may_be_guarded_against_others_alone(target: Target) -> None:
    """The view's own workspace among the guards does not stop it from replacing its own records."""
    target_view(target, ACME, guards=[ACME, GLOBEX]).write(labelled(rows([0]), ["acme"]))
    assert target.count() == 9


def test_dropping_a_view_leaves_the_others(target: Target) -> None:
    """`drop` removes the workspace's records; the collection and all other records stay."""
    target_view(target, ACME).drop()
    assert numbers(target) == [1, 2, 4, 5, 7, 8]
    assert target.mark() == {}
    target_view(registry.open_target(memory("absent")), ACME).drop()


def test_a_view_has_no_files_and_no_snapshots(target: Target) -> None:
    """A copy of files would be a copy of every workspace, so a view offers none; the identity is the whole's."""
    own = view(target, ACME)
    assert (list(own.files()), own.snapshots()) == ([], None)
    assert (own.identity(), own.fingerprint()) == (target.identity(), target.fingerprint())


class _Narrowing(MemoryStore):
    """A collection of this process with a filter of its own, which takes everything and notes what is asked."""

    def __init__(self, name: str) -> None:
        super().__init__(f"memory:///{name}", name)
        self.asked: list[Any] = []

    def narrowed(self, conditions: Any, beside: str = "") -> Source:
        self.asked.append((conditions, beside))
        return NarrowedSource(self, lambda part, parts, rows: self._noted(part, parts, rows))

    def _noted(self, part: Any, parts: frozenset[Part], batch_rows: int) -> Iterator[pa.RecordBatch]:
        self.asked.append(batch_rows)
        return self.read(part, parts, batch_rows)


def test_a_store_held_to_rules_is_narrowed_as_well() -> None:
    """The rule set of a service cuts what a narrowed read asks for, and the view knows where values are put aside."""
    store = _Narrowing(uuid4().hex)
    store.create(make_schema(IdKind.UINT64), {})
    store.write(labelled(rows(range(9)), ["acme", "globex", ""]))
    ruled = RuledTarget(store, RULE_SETS["chroma-cloud"])
    assert numbers(target_view(ruled, ACME)) == [0, 3, 6]
    assert store.asked == [([ACME], ""), 300]
    mapping = mapping_for(make_schema(IdKind.UINT64), rows(range(9)), TARGETS["qdrant"])
    assert target_view(ruled, ACME, mapping=mapping).count() == 3
    assert store.asked[2] == ([ACME], "vecferry_payload")


workspaces = st.one_of(scalars, values, st.sampled_from(["acme", 632 / 7, "", None, 2**64]))


@st.composite
def records(draw: st.DrawFn) -> pa.RecordBatch:
    typed_ids = draw(st.lists(ids(IdKind.UINT64, IdKind.STRING), min_size=1, max_size=6, unique=True))
    found = [draw(payloads) | ({FIELD: draw(workspaces)} if draw(st.booleans()) else {}) for _ in typed_ids]
    return make_batch(typed_ids, found, [draw(documents) for _ in typed_ids])


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in ("qdrant", "chroma") else pytest.mark.slow) for name in TARGETS]
)
@settings(max_examples=examples(25), deadline=None)
@given(batch=records())
def test_a_workspace_in_the_target_is_what_came_from_the_source(name: str, batch: pa.RecordBatch) -> None:
    """Where a mapping carries the groups, each view of the target holds what its view of the source became."""
    mapping = mapping_for(make_schema(IdKind.UINT64, IdKind.STRING, document=True), batch, TARGETS[name])
    there = registry.open_target(memory("there"))
    there.create(mapping.target_schema, {})
    there.write(mapping.expected(batch))
    here = registry.open_target(memory("here"))
    here.create(make_schema(IdKind.UINT64, IdKind.STRING, document=True), {})
    here.write(batch)
    for condition in groups_of(batch):
        if not_carried([condition], mapping):
            continue
        source, arrived = view(here, condition), target_view(there, condition, mapping=mapping)
        sent = source.fetch(batches.ids_batch(read_all(source, IDS_ONLY)))
        found = read_all(arrived)
        assert found == rows_of([mapping.expected(sent)])
        assert read_all(arrived, frozenset({Part.VECTORS})).keys() == found.keys()
    there.drop()
    here.drop()


def groups_of(batch: pa.RecordBatch) -> list[Condition]:
    found = [canonical.decode(text) for text in batches.payloads(batch)]
    keys = dict.fromkeys(canonical.encode(payload[FIELD]).decode() for payload in found if FIELD in payload)
    named = [Equals(FIELD, key) for key in keys]
    return [*named, Missing(FIELD), Others(FIELD, (*named, Missing(FIELD)))]
