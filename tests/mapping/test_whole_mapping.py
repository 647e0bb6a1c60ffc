"""Whole mappings: what goes forward comes back bit for bit, whatever it looks like."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mapping.cases import (
    CHROMA,
    FILES,
    QDRANT,
    TARGETS,
    documents,
    fits_chroma,
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
from vecferry.mapping import Mapping, Rules, decide
from vecferry.mapping.judge import judge
from vecferry.model import Feature, IdKind, Metric, Part

SOURCES = {
    "strings with documents": ((IdKind.STRING,), True),
    "integers and uuids": ((IdKind.UINT64, IdKind.UUID), False),
    "every kind": (tuple(IdKind), True),
    "signed integers": ((IdKind.INT64,), False),
}


@st.composite
def records(draw, kinds, document):
    typed_ids = draw(st.lists(ids(*kinds), min_size=1, max_size=6, unique=True))
    rows = [draw(payloads) for _ in typed_ids]
    texts = [draw(documents) if document else None for _ in typed_ids]
    return make_batch(typed_ids, rows, texts)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("source", SOURCES)
@settings(max_examples=examples(25), deadline=None)
@given(data=st.data())
def test_what_goes_forward_comes_back_bit_for_bit(source, target, data):
    """The backward of a forward is the same batch, with a plan made from these records or from none at all."""
    kinds, document = SOURCES[source]
    batch = data.draw(records(kinds, document))
    empty_id = "" in columns.id_texts(batch).to_pylist()
    for seen in (batch,) if empty_id else (batch, None):
        mapping = mapping_for(make_schema(*kinds, document=document), seen, TARGETS[target])
        there = mapping.forward(batch)
        assert there.schema == columns.arrow_schema(mapping.target_schema.vectors)
        assert mapping.backward(there).equals(batch)


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=examples(40), deadline=None)
@given(batch=records(tuple(IdKind), True))
def test_no_two_records_share_a_target_id(target, batch):
    """Distinct typed ids stay distinct, those that look like another one's encoding included."""
    mapping = mapping_for(make_schema(*IdKind, document=True), batch, TARGETS[target])
    there = mapping.forward(batch)
    assert len(set(columns.record_ids(there))) == batch.num_rows
    assert set(columns.id_kinds(there)) <= TARGETS[target].id_kinds


@settings(max_examples=examples(50), deadline=None)
@given(batch=records((IdKind.UINT64,), True))
def test_chroma_gets_only_what_chroma_keeps(batch):
    """Every payload value that is written is one that Chroma holds, also with a plan that saw no record."""
    mapping = mapping_for(make_schema(IdKind.UINT64, document=True), None, CHROMA)
    there = mapping.forward(batch)
    for payload in map(canonical.decode, columns.payloads(there)):
        assert all(fits_chroma(key, value) for key, value in payload.items())


@settings(max_examples=examples(50), deadline=None)
@given(batch=records((IdKind.STRING,), True))
def test_qdrant_gets_only_what_qdrant_keeps(batch):
    """No value that JSON cannot say, no integer beyond 64 bits with a sign and nothing too deep reaches Qdrant."""
    mapping = mapping_for(make_schema(IdKind.STRING, document=True), batch, QDRANT)
    fits = judge(QDRANT.payload, frozenset()).fits
    for text in columns.payloads(mapping.forward(batch)):
        payload = canonical.decode(text)
        assert canonical.to_json(text) == payload
        assert all(fits(key, value) for key, value in payload.items())


@pytest.mark.parametrize("target", TARGETS)
def test_a_stored_mapping_is_the_same_mapping(target):
    """What `to_json` writes reads back equal, and a mark, which is smaller, undoes the same."""
    batch = make_batch([(IdKind.STRING, "a"), (IdKind.UINT64, "1")], [{"n": None}, {}], ["", None])
    mapping = mapping_for(make_schema(*IdKind, document=True, metric=Metric.COSINE), batch, TARGETS[target])
    assert Mapping.from_json(json.loads(json.dumps(mapping.to_json()))) == mapping
    mark = json.dumps(mapping.to_mark())
    assert Mapping.from_json(json.loads(mark)).backward(mapping.forward(batch)).equals(batch)
    assert len(mark) < 1500


def test_a_mapping_of_a_later_version_is_refused():
    """A mark that another vecferry wrote is not guessed at."""
    mapping = mapping_for(make_schema(IdKind.UINT64), None, QDRANT)
    with pytest.raises(BadRecord, match="version 2"):
        Mapping.from_json({**mapping.to_json(), "version": 2})


@pytest.mark.parametrize("target", TARGETS)
def test_ids_alone_go_forward(target):
    """A batch of ids without parts gets the same target ids as the whole records."""
    batch = make_batch([(IdKind.STRING, "a"), (IdKind.STRING, "b")])
    mapping = mapping_for(make_schema(IdKind.STRING), batch, TARGETS[target])
    alone = batch.select([columns.ID, columns.ID_KIND])
    assert columns.record_ids(mapping.forward(alone)) == columns.record_ids(mapping.forward(batch))
    assert columns.parts_of(mapping.forward(alone)) == frozenset()


def test_original_ids_cannot_be_had_without_the_payload():
    """Reading derived ids back without the payload is an error, not a guess."""
    batch = make_batch([(IdKind.STRING, "a")])
    mapping = mapping_for(make_schema(IdKind.STRING), batch, QDRANT)
    there = mapping.forward(batch)
    with pytest.raises(ValueError, match="vecferry_id"):
        mapping.backward(there.select([columns.ID, columns.ID_KIND]))


def test_vectors_alone_go_forward_and_back():
    """Parts that were not read stay out on both ways."""
    batch = make_batch([(IdKind.UINT64, "1")])
    mapping = mapping_for(make_schema(IdKind.UINT64, document=True), batch, QDRANT)
    alone = batch.drop_columns([columns.PAYLOAD, columns.DOCUMENT])
    assert columns.parts_of(mapping.forward(alone)) == {Part.VECTORS}
    assert mapping.backward(mapping.forward(alone)).equals(alone)


def test_documents_bound_for_the_payload_need_both_parts():
    """A payload without its document would be written as if there were none, so that is an error."""
    batch = make_batch([(IdKind.UINT64, "1")], None, ["a"])
    mapping = mapping_for(make_schema(IdKind.UINT64, document=True), batch, QDRANT)
    with pytest.raises(ValueError, match="documents"):
        mapping.forward(batch.drop_columns([columns.DOCUMENT]))


def test_expected_holds_the_floats_that_the_target_will_give_back():
    """The expectation differs from what is written in the floats that an inexact parser changes, and only there."""
    batch = make_batch([(IdKind.UINT64, "1")], [{"exact": 0.5, "off": 90.28571428571429, "text": "90.28571428571429"}])
    mapping = mapping_for(make_schema(IdKind.UINT64), batch, QDRANT)
    assert mapping.forward(batch).equals(batch)
    found = canonical.decode(columns.payloads(mapping.expected(batch))[0])
    assert found == {"exact": 0.5, "off": 90.28571428571428, "text": "90.28571428571429"}


def test_a_slice_of_a_batch_is_mapped_as_a_batch_of_its_own():
    """Arrow slices share buffers with an offset; nothing of the rows outside gets in."""
    typed_ids = [(IdKind.STRING, f"id-{row}") for row in range(10)]
    batch = make_batch(typed_ids, [{"row": row, "gone": None} for row in range(10)], [f"d{row}" for row in range(10)])
    schema = make_schema(IdKind.STRING, document=True)
    for target in TARGETS.values():
        mapping = mapping_for(schema, batch, target)
        part = batch.slice(3, 4)
        there = mapping.forward(part)
        assert there.equals(mapping.forward(batch).slice(3, 4))
        assert mapping.backward(mapping.forward(batch).slice(3, 4)).equals(part)


def test_an_empty_batch_passes():
    """No rows in, no rows out, the right columns."""
    batch = make_batch([])
    for target in TARGETS.values():
        mapping = mapping_for(make_schema(IdKind.STRING, document=True), None, target)
        there = mapping.forward(batch)
        assert there.num_rows == 0
        assert mapping.backward(there).num_rows == 0


def test_hashes_do_not_travel_through_a_mapping():
    """A hash fits only the record that it was made of."""
    batch = make_batch([(IdKind.UINT64, "1")])
    sealed = columns.with_hashes(batch, np.zeros((1, 48), dtype=np.uint8))
    mapping = mapping_for(make_schema(IdKind.UINT64), batch, FILES)
    assert columns.HASHES not in mapping.forward(sealed).schema.names


def test_what_does_not_travel_as_records_is_listed():
    """Indexes, aliases and settings of the source stand in `not_moved`."""
    schema = make_schema(IdKind.UINT64)
    schema = type(schema)(schema.name, schema.vectors, schema.id_kinds, features=(Feature("alias", "live"),))
    batch = make_batch([(IdKind.UINT64, "1")])
    mapping = decide(schema, profile_of(batch), QDRANT, QDRANT, Rules())
    assert mapping.not_moved == (Feature("alias", "live"),)
    assert mapping.refusals() == ()


def test_the_original_schema_is_shown_under_the_name_in_the_target():
    """A reader of a marked collection sees the vectors, ids and documents of the source."""
    schema = make_schema(IdKind.STRING, document=True, metric=Metric.SQUARED_EUCLID)
    mapping = mapping_for(schema, make_batch([(IdKind.STRING, "a")]), QDRANT)
    found = type(schema)("elsewhere", mapping.target_schema.vectors, QDRANT.id_kinds, mark={"vecferry": 1})
    original = mapping.original_schema(found)
    assert (original.name, original.mark) == ("elsewhere", None)
    assert (original.vectors, original.id_kinds, original.has_document) == (
        schema.vectors,
        schema.id_kinds,
        True,
    )
