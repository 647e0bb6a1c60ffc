"""Payload values that a target cannot hold."""

from __future__ import annotations

import pyarrow as pa
import pytest

from tests.mapping.cases import CHROMA, FILES, QDRANT, make_batch, make_schema, mapping_for
from vecferry import batch as columns
from vecferry import canonical
from vecferry.mapping.payload import PayloadCodec
from vecferry.model import IdKind

SCHEMA = make_schema(IdKind.UINT64)


def batch_of(*rows):
    """Records with these payloads."""
    return make_batch([(IdKind.UINT64, str(row)) for row in range(len(rows))], rows)


def sent(batch, target):
    """The payloads that are written, after a look at the records; what comes back is checked."""
    mapping = mapping_for(SCHEMA, batch, target, document_field="")
    there = mapping.forward(batch)
    assert mapping.backward(there).equals(batch)
    return [canonical.decode(text) for text in columns.payloads(there)], mapping


ASIDE_IN_CHROMA = [
    None,
    {},
    {"a": 1},
    [],
    [1, 2.0],
    [1, True],
    ["a", None],
    [[1]],
    -0.0,
    [1.0, -0.0],
    float("nan"),
    b"bytes",
    2**63,
    [-(2**63) - 1],
    "\ud800",
]


@pytest.mark.parametrize("value", ASIDE_IN_CHROMA, ids=repr)
def test_a_value_that_chroma_would_refuse_or_change_is_put_aside(value):
    """It stands as JSON text in the side field, the other keys as they were."""
    (found,), mapping = sent(batch_of({"bad": value, "good": 1}), CHROMA)
    assert found == {"good": 1, "vecferry_payload": canonical.encode({"bad": value}).decode()}
    (decision,) = [item for item in mapping.decisions if item.feature == "payload key 'bad'"]
    assert (decision.outcome.value, decision.rows, decision.filterable.value) == ("encoded", 1, "lost")


@pytest.mark.parametrize("value", [True, 0, -1, 0.0, 1.5, "", "a", ["a"], [1], [1.5], [True], 2**63 - 1], ids=repr)
def test_a_value_that_chroma_keeps_is_not_touched(value):
    """The very same column is written."""
    batch = batch_of({"good": value})
    mapping = mapping_for(SCHEMA, batch, CHROMA, document_field="")
    assert mapping.forward(batch).column(columns.PAYLOAD).equals(batch.column(columns.PAYLOAD))


@pytest.mark.parametrize("key", ["", "#a", "$b", "chroma:document", "$vecferry", "\ud800"], ids=repr)
def test_a_key_that_chroma_refuses_is_put_aside(key):
    """Reserved and empty keys, and those that JSON cannot say, come back from the side field."""
    (found,), _ = sent(batch_of({key: 1, "good": 2}), CHROMA)
    assert found == {"good": 2, "vecferry_payload": canonical.encode({key: 1}).decode()}


def test_qdrant_keeps_what_json_says_up_to_its_depth():
    """Only integers out of range, deep nesting and tagged values are put aside."""
    deep = {"a": {"b": {"c": {"d": 1}}}}
    found, _ = sent(batch_of({"x": None, "y": [1, "a", {}], "": -0.0}, {"x": 2**63}, {"x": deep}), QDRANT)
    assert found == [
        {"x": None, "y": [1, "a", {}], "": -0.0},
        {"vecferry_payload": '{"x":9223372036854775808}'},
        {"vecferry_payload": canonical.encode({"x": deep}).decode()},
    ]


def test_files_keep_everything():
    """A store of JSON text gets the very same column, hostile values included."""
    batch = batch_of({"a": float("nan"), "": [2**99, {"$vecferry": 1}]}, {"$vecferry": 5})
    mapping = mapping_for(SCHEMA, batch, FILES)
    assert mapping.forward(batch).column(columns.PAYLOAD).equals(batch.column(columns.PAYLOAD))


def test_a_key_like_our_side_field_makes_it_give_way():
    """A source that uses the key keeps it, filterable as before."""
    (found,), mapping = sent(batch_of({"vecferry_payload": '{"a":1}', "vecferry_payload_": 2, "x": None}), CHROMA)
    assert found == {
        "vecferry_payload": '{"a":1}',
        "vecferry_payload_": 2,
        "vecferry_payload__": '{"x":null}',
    }
    assert mapping.payload.field == "vecferry_payload__"


def test_a_key_like_our_side_field_that_comes_later_is_put_aside_itself():
    """Nothing that a record holds can be mistaken for something put aside."""
    mapping = mapping_for(SCHEMA, batch_of({"a": 1}), CHROMA)
    later = batch_of({"vecferry_payload": '{"a":1}'}, {"vecferry_payload": '{"vecferry_payload":"{}"}', "n": None})
    assert mapping.backward(mapping.forward(later)).equals(later)


def test_our_key_beside_one_with_a_lone_surrogate_is_put_aside_too():
    """Such a payload is written as pairs, where keys look otherwise."""
    for target in (CHROMA, QDRANT, FILES):
        mapping = mapping_for(SCHEMA, batch_of({"a": 1}), target)
        later = batch_of({"vecferry_payload": '{"a":1}', "\ud800": 1})
        assert mapping.backward(mapping.forward(later)).equals(later)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"b": 1}', '{"a":1}', "7", '{"$vecferry":["bytes","%"]}', 7])
def test_what_an_application_wrote_under_our_key_stays_its_own(text):
    """Only canonical text of keys that the record does not have otherwise is taken apart."""
    mapping = mapping_for(SCHEMA, batch_of({"a": 1}), CHROMA)
    there = make_batch([(IdKind.STRING, "0")], [{"vecferry_payload": text, "a": 2}])
    assert canonical.decode(columns.payloads(mapping.backward(there))[0]) == {"vecferry_payload": text, "a": 2}


def test_the_plan_names_keys_and_counts():
    """Each key that changes is listed with the number of values, and many keys are summed up."""
    rows = [{f"k{key:02}": None if row else 1 for key in range(25)} for row in range(3)]
    mapping = mapping_for(SCHEMA, batch_of(*rows), CHROMA)
    listed = {item.feature: item for item in mapping.decisions}
    assert listed["payload key 'k00'"].rows == 2
    assert listed["payload key 'k00'"].filterable.value == "changed"
    assert listed["more payload keys"].rows == 10
    assert "2 values of type null" in listed["payload key 'k00'"].detail


def test_the_plan_counts_records_whose_floats_change():
    """The count is that of the passes that the target makes."""
    batch = batch_of({"a": 90.28571428571429}, {"a": 0.5}, {"a": [90.28571428571429]})
    for target in (QDRANT, CHROMA):
        (decision,) = [d for d in mapping_for(SCHEMA, batch, target).decisions if d.feature == "payload floats"]
        assert (decision.rows, decision.outcome.value) == (2, "encoded")
    assert not [d for d in mapping_for(SCHEMA, batch, FILES).decisions if d.feature == "payload floats"]


def test_payloads_that_were_not_looked_at_are_said_to_be_so():
    """A plan from ids alone does not claim that nothing changes."""
    batch = batch_of({"a": None})
    mapping = mapping_for(SCHEMA, batch.select([columns.ID, columns.ID_KIND]), CHROMA)
    (decision,) = [item for item in mapping.decisions if item.feature == "payload"]
    assert "not looked at" in decision.detail


def test_the_prediction_leaves_an_exact_stores_column_alone():
    """No copy where no float changes."""
    column = pa.array(['{"a":90.28571428571429}'])
    assert PayloadCodec(FILES.payload, "x", frozenset()).predicted(column) is column
