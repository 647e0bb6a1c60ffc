"""Ids in targets that hold other kinds, and back."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mapping.cases import (
    CHROMA,
    FILES,
    MILVUS,
    QDRANT,
    decisions,
    make_batch,
    make_schema,
    mapping_for,
    profile_of,
)
from tests.mapping.cases import ids as typed
from tests.support.examples import examples
from vecferry import batch as columns
from vecferry import canonical
from vecferry.capabilities import Capabilities
from vecferry.errors import BadRecord
from vecferry.mapping import Mapping, Rules, decide
from vecferry.mapping.ids import NAMESPACE, DerivedIds, NumberIds, SameIds, TextIds, uuid5_texts
from vecferry.model import IdKind, RecordId

STRING, UINT64, INT64, UUID = IdKind.STRING, IdKind.UINT64, IdKind.INT64, IdKind.UUID
A_UUID = "0b64ed0e-7d6e-4f27-9d3a-3d5a6a3b9c11"


def mapped(typed_ids, target, *kinds):
    """The mapping of a source of these ids, its batch, and that batch in the target's terms."""
    batch = make_batch(typed_ids)
    mapping = mapping_for(make_schema(*(kinds or {kind for kind, _ in typed_ids})), batch, target)
    there = mapping.forward(batch)
    assert mapping.backward(there).equals(batch)
    return mapping, columns.record_ids(there), there


def test_the_namespace_never_changes():
    """A derived id is the same in every migration, so a second run meets the records of the first."""
    assert uuid.uuid5(uuid.NAMESPACE_URL, "urn:vecferry:id") == NAMESPACE


def test_derived_uuids_are_those_of_the_standard():
    """Anyone can compute a derived id with uuid5."""
    texts = ["", "a", "ключ", "x" * 1000]
    assert uuid5_texts([text.encode() for text in texts]).to_pylist() == [str(uuid.uuid5(NAMESPACE, t)) for t in texts]


def test_kinds_that_the_target_holds_stay():
    """Integers and UUIDs reach Qdrant as they are."""
    ids = [(UINT64, "0"), (UINT64, str(2**64 - 1)), (UUID, A_UUID)]
    mapping, found, _ = mapped(ids, QDRANT)
    assert isinstance(mapping.ids, SameIds)
    assert decisions(mapping)["ids"] == "exact"
    assert found == [RecordId(kind, text) for kind, text in ids]


def test_a_kind_that_the_plan_did_not_see_is_an_error_where_ids_stay():
    """A string id that appears after an inventory of integers is named, not guessed at."""
    mapping = mapping_for(make_schema(UINT64, STRING), make_batch([(UINT64, "1")]), QDRANT)
    with pytest.raises(BadRecord, match="'late'"):
        mapping.forward(make_batch([(UINT64, "2"), (STRING, "late")]))


def test_an_id_alone_of_an_unseen_kind_passes():
    """Asking a store for it is no error: the store says that it is absent."""
    mapping = mapping_for(make_schema(UINT64), make_batch([(UINT64, "1")]), QDRANT)
    assert columns.record_ids(mapping.forward(columns.ids_batch([RecordId(STRING, "a")]))) == [RecordId(STRING, "a")]


def test_strings_become_uuid5_and_the_payload_keeps_them():
    """Qdrant gets the UUIDv5 of the text, and the text under the id field."""
    mapping, found, there = mapped([(STRING, "doc-1"), (STRING, A_UUID)], QDRANT)
    assert found == [RecordId(UUID, str(uuid.uuid5(NAMESPACE, text))) for text in ("doc-1", A_UUID)]
    assert [canonical.decode(text) for text in columns.payloads(there)] == [
        {"vecferry_id": "doc-1"},
        {"vecferry_id": A_UUID},
    ]
    (decision,) = [item for item in mapping.decisions if item.feature == "ids"]
    assert (decision.outcome.value, decision.rows) == ("encoded", 2)


def test_strings_that_are_all_uuids_become_those_uuids():
    """Nothing is derived where every id is a UUID in its canonical spelling, and they come back as strings."""
    mapping, found, there = mapped([(STRING, A_UUID)], QDRANT)
    assert found == [RecordId(UUID, A_UUID)]
    assert columns.payloads(there) == [b"{}"]
    alone = there.select([columns.ID, columns.ID_KIND])
    assert columns.record_ids(mapping.backward(alone)) == [RecordId(STRING, A_UUID)]


@pytest.mark.parametrize("spelling", [A_UUID.upper(), A_UUID.replace("-", ""), "{" + A_UUID + "}", A_UUID + "\n"])
def test_other_spellings_of_a_uuid_are_derived(spelling):
    """Qdrant collapses the spellings of a UUID, so only the canonical one may stand for itself."""
    _, found, _ = mapped([(STRING, A_UUID), (STRING, spelling)], QDRANT)
    assert found == [RecordId(UUID, str(uuid.uuid5(NAMESPACE, text))) for text in (A_UUID, spelling)]


def test_a_string_that_comes_later_finds_its_place_among_uuids():
    """A plan of UUID texts alone still takes, and gives back, a string that is none."""
    mapping = mapping_for(make_schema(STRING), make_batch([(STRING, A_UUID)]), QDRANT)
    later = make_batch([(STRING, "late"), (STRING, A_UUID)])
    assert mapping.backward(mapping.forward(later)).equals(later)


def test_negative_integers_are_derived_and_others_stay():
    """int64 reaches Qdrant as uint64 where it can, and comes back as int64."""
    _, found, there = mapped([(INT64, "7"), (INT64, "-7")], QDRANT)
    assert found == [RecordId(UINT64, "7"), RecordId(UUID, str(uuid.uuid5(NAMESPACE, "int64:-7")))]
    assert canonical.decode(columns.payloads(there)[1]) == {"vecferry_id": "int64:-7"}


def test_a_uuid_that_is_anothers_encoding_gives_way():
    """A source that holds both a string and the UUID that it would become keeps two records."""
    derived = str(uuid.uuid5(NAMESPACE, "a"))
    mapping, found, _ = mapped([(STRING, "a"), (UUID, derived), (UUID, A_UUID)], QDRANT)
    assert len(set(found)) == 3
    assert found[2] == RecordId(UUID, A_UUID)
    assert isinstance(mapping.ids, DerivedIds)
    assert mapping.ids.only_ours


def test_numbers_and_uuids_are_written_as_text_and_typed_again():
    """Qdrant's ids reach Chroma as the texts that people know."""
    mapping, found, _ = mapped([(UINT64, "12"), (UUID, A_UUID)], CHROMA)
    assert found == [RecordId(STRING, "12"), RecordId(STRING, A_UUID)]
    assert mapping.ids == TextIds(frozenset({UINT64, UUID}))


def test_the_string_12_and_the_number_12_stay_two_ids():
    """Where both kinds stand in one source, the rarer form carries its kind."""
    _, found, _ = mapped([(STRING, "12"), (UINT64, "12"), (STRING, "uint64:12"), (STRING, "")], CHROMA)
    assert [item.text for item in found] == ["12", "uint64:12", "string:uint64:12", "string:"]


def test_signed_and_unsigned_twins_stay_two_ids():
    """int64 12 and uint64 12 differ in every target."""
    for target in (CHROMA, QDRANT, FILES):
        _, found, _ = mapped([(INT64, "12"), (UINT64, "12"), (INT64, "-12")], target)
        assert len(set(found)) == 3


def test_the_empty_id_is_written_so_that_chroma_takes_it():
    """Chroma refuses the empty id; it becomes `string:` and comes back empty."""
    found = mapped([(STRING, ""), (STRING, "a")], CHROMA)[1]
    assert [item.text for item in found] == ["string:", "a"]
    late = mapping_for(make_schema(STRING), make_batch([(STRING, "a")]), CHROMA)
    with pytest.raises(BadRecord, match="did not see"):
        late.forward(make_batch([(STRING, "")]))


def test_an_application_that_overwrites_the_kept_id_does_not_give_a_record_a_false_one():
    """The original counts only while it leads to the record's own id."""
    batch = make_batch([(STRING, "a"), (STRING, "b")])
    mapping = mapping_for(make_schema(STRING), batch, QDRANT)
    there = mapping.forward(batch)
    swapped = there.set_column(
        there.schema.get_field_index(columns.PAYLOAD),
        there.schema.field(columns.PAYLOAD),
        make_batch([(STRING, "x")] * 2, [{"vecferry_id": "b"}, {"vecferry_id": 7}]).column(columns.PAYLOAD),
    )
    back = mapping.backward(swapped)
    assert columns.record_ids(back) == columns.record_ids(there)
    assert [canonical.decode(text) for text in columns.payloads(back)] == [{"vecferry_id": "b"}, {"vecferry_id": 7}]


def test_duplicate_ids_are_refused_and_named():
    """A store would keep one record of each, so the plan stops."""
    batch = make_batch([(STRING, "a"), (STRING, "b"), (STRING, "a")])
    mapping = mapping_for(make_schema(STRING), batch, CHROMA)
    (refusal,) = mapping.refusals()
    assert refusal.rows == 1
    assert "'a'" in refusal.detail


def test_ids_longer_than_the_target_takes_are_refused():
    """The length counts in UTF-8 bytes, with the prefix that the encoding adds."""
    short = Capabilities("s", "Short", frozenset({STRING}), CHROMA.vectors, CHROMA.payload, max_id_bytes=8)
    schema = make_schema(STRING, UINT64)
    assert mapping_for(schema, make_batch([(STRING, "x" * 8)]), short).refusals() == ()
    assert mapping_for(schema, make_batch([(STRING, "я" * 5)]), short).refusals()[0].feature == "long ids"
    assert mapping_for(schema, make_batch([(STRING, "x"), (UINT64, "12")]), short).refusals()[0].feature == "long ids"


def test_a_target_without_a_fitting_kind_refuses():
    """A target of integers alone cannot hold strings."""
    integers = Capabilities("i", "Integers", frozenset({INT64}), QDRANT.vectors)
    refusal = mapping_for(make_schema(STRING), make_batch([(STRING, "a")]), integers).refusals()[0]
    assert (refusal.feature, "int64" in refusal.detail) == ("ids", True)


def test_the_id_field_gives_way_to_a_key_of_that_name():
    """A source that uses our key keeps it, and the original goes under a free one."""
    batch = make_batch([(STRING, "a")], [{"vecferry_id": 1}])
    mapping = decide(make_schema(STRING), profile_of(batch), FILES, QDRANT, Rules())
    assert canonical.decode(columns.payloads(mapping.forward(batch))[0]) == {"vecferry_id": 1, "vecferry_id_": "a"}


MOST = 2**63 - 2


def test_unsigned_numbers_that_fit_become_int64_where_a_collection_has_one_kind():
    """Milvus gets the numbers themselves as keys, and uint64 comes back."""
    mapping, found, _ = mapped([(UINT64, "0"), (UINT64, str(MOST))], MILVUS)
    assert found == [RecordId(INT64, "0"), RecordId(INT64, str(MOST))]
    assert mapping.ids == NumberIds(MOST)
    assert decisions(mapping)["ids"] == "encoded"
    assert mapping.target_schema.id_kinds == {INT64}


@pytest.mark.parametrize("ids", [[(INT64, "-7"), (INT64, "7")], [(STRING, "7"), (STRING, "a")]])
def test_one_kind_that_the_collection_can_have_stays(ids):
    """Signed numbers or strings alone are kept as they are."""
    mapping, found, _ = mapped(ids, MILVUS)
    assert (isinstance(mapping.ids, SameIds), mapping.target_schema.id_kinds) == (True, {ids[0][0]})
    assert found == [RecordId(*one) for one in ids]


def test_negative_and_unsigned_numbers_share_a_collection():
    """The sign tells the kinds apart, so both are int64."""
    mapping, found, _ = mapped([(INT64, "-7"), (UINT64, "7")], MILVUS)
    assert found == [RecordId(INT64, "-7"), RecordId(INT64, "7")]
    twin = RecordId(INT64, "7")
    assert columns.record_ids(mapping.forward(columns.ids_batch([twin]))) == [RecordId(UINT64, "7")]


@pytest.mark.parametrize(
    "ids",
    [
        [(UINT64, "7"), (INT64, "7")],
        [(UINT64, "7"), (STRING, "7")],
        [(UINT64, "7"), (UUID, A_UUID)],
        [(UINT64, str(MOST + 1))],
        [(INT64, str(2**63 - 1)), (INT64, "-1")],
        [(UINT64, str(2**64 - 1)), (INT64, "-1")],
    ],
)
def test_kinds_that_int64_confuses_and_numbers_beyond_it_become_text(ids):
    """Every other mixture is written as strings, no two alike, and comes back typed."""
    mapping, found, _ = mapped(ids, MILVUS)
    assert isinstance(mapping.ids, TextIds)
    assert len(set(found)) == len(ids)
    assert {one.kind for one in found} == {STRING}


def test_a_number_that_the_plan_did_not_see_is_an_error_where_numbers_stay():
    """One that is too great, and an int64 id that is taken already, are named; asked for alone they are absent."""
    mapping = mapping_for(make_schema(UINT64), make_batch([(UINT64, "7")]), MILVUS)
    for late in ((UINT64, str(2**63)), (INT64, "7"), (STRING, "7")):
        with pytest.raises(BadRecord, match="does not fit"):
            mapping.forward(make_batch([(UINT64, "8"), late]))
        assert columns.record_ids(mapping.forward(columns.ids_batch([RecordId(*late)])))[0].kind is not INT64


def test_a_collection_of_int64_that_someone_chose_refuses_other_ids():
    """The kind that the address names is kept to: the plan says what does not fit."""
    chosen = replace(MILVUS, id_kinds=frozenset({INT64}))
    for one in ((UINT64, str(2**63)), (INT64, str(2**63 - 1)), (STRING, "a")):
        (refusal,) = mapping_for(make_schema(one[0]), make_batch([one]), chosen).refusals()
        assert refusal.feature == "ids"


@settings(max_examples=examples(40), deadline=None)
@given(found=st.lists(typed(*IdKind), min_size=1, max_size=6, unique=True))
def test_ids_of_one_kind_a_collection_come_back_whatever_they_are(found):
    """A plan made for these ids, and one made for none of them, give each id a place of its own of one kind."""
    mapping, there, _ = mapped(found, MILVUS)
    assert {one.kind for one in there} == mapping.target_schema.id_kinds
    assert len(set(there)) == len(found)
    assert Mapping.from_json(mapping.to_mark()).ids == mapping.ids
