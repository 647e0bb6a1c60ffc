"""Records that are larger than the target takes: told by the plan, measured by the load."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mapping.cases import (
    CHROMA,
    MILVUS,
    NARROW,
    QDRANT,
    documents,
    ids,
    make_batch,
    make_schema,
    mapping_for,
    payloads,
    profile_of,
)
from tests.support.examples import examples
from vecferry import batch as columns
from vecferry import canonical
from vecferry.errors import BadRecord
from vecferry.mapping import Mapping
from vecferry.mapping.extent import Extent, measured
from vecferry.mapping.payload_profiler import value_bytes
from vecferry.model import IdKind

OVERSIZED = frozenset({"oversized_records"})
DOCUMENTS_BESIDE = (CHROMA, NARROW)
LIMITED = (MILVUS, QDRANT, *DOCUMENTS_BESIDE)


def limited(target, size_bytes):
    """The target with one limit for everything that has a size."""
    payload = replace(target.payload, max_bytes=size_bytes, max_value_bytes=size_bytes)
    return replace(target, payload=payload, max_document_bytes=size_bytes, max_id_bytes=size_bytes)


def named(mapping, feature):
    """The one decision of a feature."""
    (found,) = [one for one in mapping.decisions if one.feature == feature]
    return found


def strings(count):
    """Ids that are strings."""
    return [(IdKind.STRING, str(number)) for number in range(count)]


@given(sizes=st.lists(st.integers(0, 2**40), max_size=8), limit=st.integers(0, 2**41), cut=st.integers(0, 8))
def test_an_extent_brackets_how_many_are_above_a_limit(sizes, limit, cut):
    """The true count lies between the two, and they are one where the limit is a power of two."""
    parts = [measured(np.array(part, np.int64), str) for part in (sizes[:cut], sizes[cut:])]
    extent = parts[0] + parts[1]
    for one in (limit, 2 ** limit.bit_length()):
        least, most = extent.above(one)
        assert least <= sum(size > one for size in sizes) <= most
    assert least == most
    assert extent.greatest == max(sizes, default=0)


def test_sizes_up_to_the_floor_are_not_counted():
    """What is not looked at one by one is not in the counts, and no greatest is claimed below the floor."""
    assert measured(np.array([5, 9]), str, 16) == Extent(floor=16)
    found = measured(np.array([5, 17, 40]), "id {}".format, 16)
    assert (sum(found.counts), found.greatest, found.example) == (2, 40, "id 2")


@st.composite
def sources(draw):
    typed_ids = draw(st.lists(ids(*IdKind), min_size=1, max_size=5, unique=True))
    rows = [draw(payloads) for _ in typed_ids]
    return make_batch(typed_ids, rows, [draw(documents) for _ in typed_ids])


@pytest.mark.parametrize("target", LIMITED, ids=lambda target: target.store)
@settings(max_examples=examples(12), deadline=None)
@given(batch=sources(), size_bytes=st.integers(8, 2000))
def test_a_plan_that_refuses_nothing_is_kept(target, batch, size_bytes):
    """Where the profile shows no record that is too large, no record is: the load never finds what the plan missed."""
    mapping = mapping_for(make_schema(*IdKind, document=True), batch, limited(target, size_bytes))
    if not any(one.consent for one in mapping.refusals()):
        assert mapping.forward(batch).num_rows == batch.num_rows


@pytest.mark.parametrize("target", LIMITED, ids=lambda target: target.store)
@settings(max_examples=examples(12), deadline=None)
@given(batch=sources(), size_bytes=st.integers(8, 200))
def test_only_records_that_are_too_large_stay_behind(target, batch, size_bytes):
    """With consent exactly those travel that fit as they would be written, whatever the plan had counted."""
    schema = make_schema(*IdKind, document=True)
    mapping = mapping_for(schema, batch, limited(target, size_bytes), consent=OVERSIZED)
    whole = replace(mapping, sizes=type(mapping.sizes)())
    fitting = [row for row in range(batch.num_rows) if _fits(whole.forward(batch.slice(row, 1)), size_bytes)]
    travelling = mapping.travelling(batch)
    assert travelling.equals(batch.take(pa.array(fitting, pa.int64())))
    assert mapping.forward(batch).equals(whole.forward(travelling))
    assert mapping.left_behind(batch).num_rows == batch.num_rows - len(fitting)


def _fits(mapped, size_bytes):
    text = columns.payloads(mapped)[0]
    document = (mapped.column(columns.DOCUMENT)[0].as_py() or "").encode()
    found = mapped.column(columns.ID)[0].as_py().encode() if columns.id_kinds(mapped) == ["string"] else b""
    values = canonical.decode(text).values()
    return max(len(text), len(document), len(found), *map(value_bytes, values), 0) <= size_bytes


def test_a_large_payload_is_counted_named_and_refused():
    """The plan says how many there are and which is the largest; a consent leaves just those behind."""
    rows = [{"a": "x" * size} for size in (10, 65_528, 65_529, 70_000)]
    batch, target = make_batch(strings(4), rows), replace(MILVUS, payload=replace(MILVUS.payload, max_bytes=65_536))
    mapping = mapping_for(make_schema(IdKind.STRING), batch, target)
    found = named(mapping, "large payloads")
    assert (found.outcome, found.rows, found.consent) == ("lossy", 2, "oversized_records")
    assert "70,008, in record '3'" in found.detail
    assert mapping.refusals() == (found,)
    with pytest.raises(BadRecord, match="'2' has a payload of 65,537 bytes"):
        mapping.forward(batch)
    agreed = mapping_for(make_schema(IdKind.STRING), batch, target, consent=OVERSIZED)
    assert columns.id_texts(agreed.forward(batch)).to_pylist() == ["0", "1"]
    assert Mapping.from_json(agreed.to_mark()).sizes == agreed.sizes


def test_a_document_counts_with_the_payload_that_it_goes_to():
    """Escaped as JSON, and with its key: what fits alone may not fit together."""
    batch = make_batch(strings(3), [{"a": "x" * 30_000}] * 3, ["y" * 35_000, '"' * 20_000, "y" * 35_520])
    target = replace(MILVUS, payload=replace(MILVUS.payload, max_bytes=65_536))
    schema = make_schema(IdKind.STRING, document=True)
    found = named(mapping_for(schema, batch, target), "large payloads")
    assert "1 to 3 records have a payload (with its document in it)" in found.detail
    agreed = mapping_for(schema, batch, target, consent=OVERSIZED)
    assert columns.id_texts(agreed.left_behind(batch)).to_pylist() == ["1", "2"]


def test_a_long_text_that_becomes_the_document_is_no_long_value():
    """The limit of a metadata value does not hold for what leaves the metadata."""
    batch = make_batch(strings(2), [{"text": "x" * 9000}, {"other": "x" * 9000}])
    target = replace(CHROMA, max_document_bytes=16_384, payload=replace(CHROMA.payload, max_value_bytes=8182))
    (found,) = mapping_for(make_schema(IdKind.STRING), batch, target).refusals()
    assert (found.feature, found.rows) == ("long values of payload key 'other'", 1)
    assert "record '1'" in found.detail


def test_long_documents_and_ids_are_told_apart():
    """Each limit has a decision of its own, with the one consent."""
    batch = make_batch([(IdKind.STRING, "x" * 200), (IdKind.STRING, "b")], None, ["a", "x" * 20_000])
    target = replace(CHROMA, max_document_bytes=16_384, max_id_bytes=128)
    mapping = mapping_for(make_schema(IdKind.STRING, document=True), batch, target)
    assert {(one.feature, one.rows) for one in mapping.refusals()} == {("long ids", 1), ("long documents", 1)}


@settings(max_examples=examples(12), deadline=None)
@given(batch=sources())
def test_no_record_has_more_or_longer_keys_than_are_taken(batch):
    """The rest is in the side field, whose name is ours to choose."""
    mapping = mapping_for(make_schema(*IdKind, document=True), batch, NARROW)
    for text in columns.payloads(mapping.forward(batch)):
        payload = canonical.decode(text)
        assert len(payload) <= 2
        assert all(len(key.encode()) <= 6 for key in payload if key != mapping.payload.field)


def test_keys_too_many_and_too_long_are_told():
    """Which key is too long, how many keys there are at most and whose they are; our own key must fit as well."""
    rows = [{"a": 1, "b": 2, "c": 3}, {"far too long": 1}, {"a": 1}]
    mapping = mapping_for(make_schema(IdKind.STRING), make_batch(strings(3), rows), NARROW)
    surplus, long = named(mapping, "number of payload keys"), named(mapping, "payload key 'far too long'")
    assert (surplus.outcome, surplus.rows, surplus.filterable) == ("encoded", 1, "changed")
    assert "up to 3 (record '0')" in surplus.detail
    assert "the key has 12 bytes, 6 are taken" in long.detail
    assert [one.feature for one in mapping.refusals()] == ["our payload key 'vecferry_payload'"]


def test_null_values_are_left_out_where_that_is_wanted_and_agreed_to():
    """Without consent the plan refuses; a null that comes later is an error; nulls within objects stay."""
    target = replace(MILVUS, payload=replace(MILVUS.payload, types=NO_NULL, removes_null=True))
    rows = [{"a": None, "b": 1, "c": {"d": None}}, {"b": 2}]
    batch, schema = make_batch(strings(2), rows), make_schema(IdKind.STRING)
    (found,) = mapping_for(schema, batch, target).refusals()
    assert (found.feature, found.rows, found.consent) == ("null values", 1, "null_values")
    agreed = mapping_for(schema, batch, target, consent=frozenset({"null_values"}))
    assert agreed.refusals() == ()
    there = Mapping.from_json(agreed.to_mark()).forward(batch)
    assert [canonical.decode(text) for text in columns.payloads(there)] == [{"b": 1, "c": {"d": None}}, {"b": 2}]
    unaware = mapping_for(schema, make_batch(strings(1), [{"b": 1}]), target)
    with pytest.raises(BadRecord, match="'0' has null under 'a'"):
        unaware.forward(batch)


NO_NULL = MILVUS.payload.types - {"null"}


def test_a_profile_names_the_largest_of_everything():
    """Payloads, values, keys and documents: sizes with the id of the record that has them."""
    rows = [{"a": "x" * 5000, "b": ["y" * 6000]}, {"a": "x" * 7000, "ключ": 1, "c": 2}]
    found = profile_of(make_batch(strings(2), rows, ["short", "z" * 30_000]))
    assert (found.payload.sizes.greatest, found.payload.sizes.example) == (11_017, "'0'")
    assert (found.payload.key_counts.greatest, found.payload.key_counts.example) == (3, "'1'")
    keys = found.payload.keys
    assert (keys["a"].long_values.greatest, keys["a"].long_values.example) == (7000, "'1'")
    assert (keys["b"].long_values.greatest, sum(keys["b"].long_values.counts)) == (6004, 1)
    assert found.payload.longest_key_bytes == 8
    assert (found.documents.sizes.greatest, found.with_document.example) == (30_000, "'1'")
    assert found.with_document.greatest == len(canonical.encode(rows[1])) + 30_002
