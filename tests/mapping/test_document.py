"""Documents on one side, payload keys on the other."""

from __future__ import annotations

from tests.mapping.cases import CHROMA, QDRANT, decisions, make_batch, make_schema, mapping_for
from vecferry import batch as columns
from vecferry import canonical
from vecferry.model import IdKind

UINT64, STRING = IdKind.UINT64, IdKind.STRING


def batch_of(rows, documents=None):
    """Records with these payloads and documents."""
    return make_batch([(UINT64, str(row)) for row in range(len(rows))], rows, documents)


def payloads_of(batch):
    """Payload values."""
    return [canonical.decode(text) for text in columns.payloads(batch)]


def test_documents_stay_documents():
    """Absent and empty documents are told apart on the way between stores that have them."""
    batch = batch_of([{}, {}, {}], ["a", "", None])
    mapping = mapping_for(make_schema(UINT64, document=True), batch, CHROMA)
    assert columns.documents_list(mapping.forward(batch)) == ["a", "", None]
    assert decisions(mapping)["document"] == "exact"


def test_documents_go_to_a_payload_key_where_the_target_has_none():
    """An absent document leaves no key, an empty one leaves an empty string."""
    batch = batch_of([{"z": 1}, {}, {"a": 1}], ["doc", "", None])
    mapping = mapping_for(make_schema(UINT64, document=True), batch, QDRANT)
    there = mapping.forward(batch)
    assert payloads_of(there) == [{"text": "doc", "z": 1}, {"text": ""}, {"a": 1}]
    assert columns.documents_list(there) == [None] * 3
    assert mapping.backward(there).equals(batch)


def test_a_payload_key_of_that_name_is_refused_with_the_option_that_helps():
    """A document must not overwrite a payload value."""
    batch = batch_of([{"text": 1, "text_": 2}], ["doc"])
    schema = make_schema(UINT64, document=True)
    (refusal,) = mapping_for(schema, batch, QDRANT).refusals()
    assert refusal.advice.endswith("--document-field text__")
    mapping = mapping_for(schema, batch, QDRANT, document_field="body")
    assert mapping.refusals() == ()
    assert payloads_of(mapping.forward(batch)) == [{"body": "doc", "text": 1, "text_": 2}]


def test_the_key_is_no_obstacle_where_no_record_has_a_document():
    """Chroma collections without documents move with a metadata key `text`."""
    batch = batch_of([{"text": "mine"}], [None])
    mapping = mapping_for(make_schema(UINT64, document=True), batch, QDRANT)
    assert mapping.refusals() == ()
    assert payloads_of(mapping.forward(batch)) == [{"text": "mine"}]
    assert mapping.backward(mapping.forward(batch)).equals(batch)


def test_a_key_that_appears_after_the_plan_is_put_aside():
    """A record written later with the document's key keeps both."""
    schema = make_schema(UINT64, document=True)
    mapping = mapping_for(schema, batch_of([{}], ["doc"]), QDRANT)
    later = batch_of([{"text": "mine"}, {"text": "mine"}], ["doc", None])
    there = mapping.forward(later)
    assert payloads_of(there)[0] == {"text": "doc", "vecferry_payload": '{"text":"mine"}'}
    assert mapping.backward(there).equals(later)


def test_a_payload_key_of_text_becomes_the_document():
    """Qdrant's habit of a `text` key becomes Chroma's document; other types stay, and all comes back."""
    batch = batch_of([{"text": "a", "n": 1}, {"text": 5}, {"n": 2}, {"text": ""}])
    mapping = mapping_for(make_schema(UINT64), batch, CHROMA)
    there = mapping.forward(batch)
    assert columns.documents_list(there) == ["a", None, None, ""]
    assert payloads_of(there) == [{"n": 1}, {"text": 5}, {"n": 2}, {}]
    assert mapping.target_schema.has_document
    assert mapping.backward(there).equals(batch)


def test_no_key_becomes_the_document_against_the_rules():
    """An empty document field keeps the payload whole."""
    batch = batch_of([{"text": "a"}])
    mapping = mapping_for(make_schema(UINT64), batch, CHROMA, document_field="")
    assert payloads_of(mapping.forward(batch)) == [{"text": "a"}]


def test_a_document_that_an_application_added_later_is_not_lost_on_the_way_back():
    """Beside a payload key of the same name it stays a document."""
    batch = batch_of([{"text": "a"}])
    mapping = mapping_for(make_schema(UINT64), batch, CHROMA)
    added = make_batch([(STRING, "7")], [{"text": "key"}], ["document"])
    back = mapping.backward(added)
    assert columns.documents_list(back) == ["document"]
    assert payloads_of(back) == [{"text": "key"}]
