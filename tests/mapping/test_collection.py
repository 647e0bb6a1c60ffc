"""What a target asks of the whole: its name, how many records and vectors, and what vectors are called."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.mapping.cases import CHROMA, FILES, MILVUS, decisions, make_batch, make_schema, mapping_for, profile_of
from vecferry import batch as columns
from vecferry.capabilities import NameRule
from vecferry.mapping import Mapping, Profile, Rules, decide
from vecferry.mapping.vector_names import vector_names
from vecferry.model import CollectionSchema, Decision, IdKind, Metric, Outcome, VectorField

ONE = [(IdKind.STRING, "a")]
NAMES = NameRule("[a-z]{3,}", "three letters at least", max_bytes=5)


def named_vectors(*names):
    """A source with these vectors, and one record of it."""
    fields = tuple(VectorField(name, dimension=2, metric=Metric.DOT) for name in names)
    arrays = {name: columns.dense_array(np.full((1, 2), at, np.float32)) for at, name in enumerate(names)}
    batch = columns.make(["a"], IdKind.STRING, vectors=arrays, documents=[None], payloads=[b"{}"])
    return CollectionSchema("docs", fields, frozenset({IdKind.STRING})), batch


@pytest.mark.parametrize(("name", "taken"), [("docs", True), ("do", False), ("Docs", False), ("longer", False)])
def test_a_name_that_the_target_does_not_take_is_refused(name, taken):
    """The rule's pattern and its bytes both count, and the plan says the rule."""
    target = replace(FILES, collection_names=NAMES)
    mapping = decide(make_schema(IdKind.STRING), profile_of(make_batch(ONE)), FILES, target, Rules(target_name=name))
    assert [one.feature for one in mapping.refusals()] == [] if taken else ["collection name"]
    assert taken or "three letters at least, at most 5 bytes" in mapping.refusals()[0].detail


def test_a_reserved_name_is_taken_in_no_spelling():
    """Capitals do not make it free."""
    assert [replace(NAMES, pattern=".*", reserved=frozenset({"id"})).takes(name) for name in ("id", "Id", "ids")] == [
        False,
        False,
        True,
    ]


def test_a_collection_without_records_and_one_with_too_many_are_refused():
    """Only where the target says so."""
    schema, strict = make_schema(IdKind.STRING), replace(FILES, takes_empty=False, max_records=1)
    empty, two = Profile(), profile_of(make_batch([(IdKind.STRING, "a"), (IdKind.STRING, "b")]))
    for profile in (empty, two):
        assert decide(schema, profile, FILES, FILES, Rules()).refusals() == ()
        assert [one.feature for one in decide(schema, profile, FILES, strict, Rules()).refusals()] == ["records"]


def test_losses_of_the_source_are_taken_over_and_need_their_consent():
    """What the store itself cannot give back is in every plan."""
    loss = Decision("vectors", Outcome.LOSSY, "codes", rows=1, consent="reconstructed_vectors")
    schema = replace(make_schema(IdKind.STRING), losses=(loss,))
    assert mapping_for(schema, make_batch(ONE), FILES).refusals() == (loss,)
    agreed = mapping_for(schema, make_batch(ONE), FILES, consent=frozenset({loss.consent}))
    assert agreed.refusals() == ()
    assert Mapping.from_json(agreed.to_json()).decisions[0] == loss


def test_vectors_get_names_that_can_be_and_their_own_on_the_way_back():
    """Hyphens, a digit first, reserved names and the unnamed vector's field: changed, told and undone."""
    schema, batch = named_vectors("", "text-dense", "1st", "id")
    mapping = mapping_for(schema, batch, MILVUS)
    there = mapping.forward(batch)
    assert columns.vector_names(there) == ["", "text_dense", "_1st", "_id"]
    assert mapping.backward(there).equals(batch)
    assert mapping.refusals() == ()
    assert decisions(mapping)["vector 'text-dense'"] == "encoded"
    assert [field.name for field in Mapping.from_json(mapping.to_mark()).target_schema.vectors] == ["", *NEW]


NEW = ["text_dense", "_1st", "_id"]


@given(
    names=st.lists(
        st.one_of(st.text(max_size=6), st.sampled_from(["vector", "id", "a-b", "a_b", "a b", ""])), unique=True
    )
)
def test_names_of_vectors_fit_and_are_never_one(names):
    """Whatever they were called, no two get one name, and each could be a field."""
    found = vector_names(names, MILVUS.vectors)
    fields = [new or MILVUS.vectors.unnamed_field for new in found.values()]
    assert len(set(fields)) == len(names)
    assert all(MILVUS.vectors.names.takes(field) for field in fields)
    kept = [
        name for name in names if re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) and name.lower() not in ("id", "vector")
    ]
    assert all(found[name] == name for name in kept)


def test_more_vectors_than_the_target_has_fields_are_chosen_from():
    """Nothing is picked by itself: the names that stay behind are agreed to."""
    schema, batch = named_vectors("a", "b", "c", "d", "e")
    refused = mapping_for(schema, batch, MILVUS).refusals()
    assert [one.consent for one in refused] == [f"vector:{name}" for name in "abcde"]
    assert "has 4 vectors a record, the source has 5" in refused[0].detail
    agreed = mapping_for(schema, batch, MILVUS, consent=frozenset({"vector:c"}))
    assert agreed.refusals() == ()
    assert columns.vector_names(agreed.forward(batch)) == ["a", "b", "d", "e"]


def test_a_target_of_one_vector_still_has_one():
    """The limit of a store that takes no names is what it was."""
    schema, batch = named_vectors("a", "b")
    assert [one.consent for one in mapping_for(schema, batch, CHROMA).refusals()] == ["vector:a", "vector:b"]
