"""S2 and S16: links, ids that meet, values that a store cannot hold, and values that come back a little changed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from tests.mapping.cases import CHROMA, DIMENSION, FILES, QDRANT, make_batch, make_schema, mapping_for
from tests.transfer.merge_model import KNOWN, SAME, World, near, records, texts
from vecferry import batch as columns
from vecferry import canonical, sealing
from vecferry.archive.conflicts import LOST
from vecferry.archive.delta_rows import OP
from vecferry.mapping import Mapping, Tolerance
from vecferry.model import DType, IdKind, Metric, RecordId, VectorField
from vecferry.testing.rows import rows_of
from vecferry.transfer.conflicts import Choice, prefer
from vecferry.transfer.holding import reasons_not_held
from vecferry.transfer.merge import Known, Rules, merge
from vecferry.validation.same_parts import same_parts


def pair_of(source: pa.RecordBatch, mapping: Mapping, *, with_records: bool = True) -> Known:
    """What is known once these records were moved."""
    target = mapping.expected(source)
    there = np.ones(source.num_rows, dtype=bool)
    hashes = sealing.hash_parts(source), there, sealing.hash_parts(target), there
    return Known(columns.ids_of(source), columns.ids_of(target), *hashes, source if with_records else None)


def test_s2_a_recorded_link_wins_over_the_id_that_the_mapping_gives() -> None:
    """The record was moved under another id than today's mapping would choose; it is still the same record."""
    known = replace(
        World(known={"a": (KNOWN, KNOWN)}).known_rows(),
        new_ids=columns.ids_batch([RecordId(IdKind.STRING, "elsewhere")]),
    )
    plan = merge(records({"a": KNOWN}), records({"elsewhere": (0, 1, 0)}), known, Rules(SAME))
    assert texts(plan.upserts.records) == ["a"]
    assert texts(plan.upserts.new_ids) == ["elsewhere"]
    assert plan.counts.numbers() | {"changed": 1} == {**dict.fromkeys(plan.counts.numbers(), 0), "changed": 1}


TEXT_IDS = mapping_for(make_schema(IdKind.STRING, IdKind.UINT64, document=True), None, CHROMA)


@pytest.mark.parametrize(("wins", "written"), [(Choice.OPEN, []), (Choice.OLD, []), (Choice.NEW, ["foo"])])
def test_s2_two_new_records_for_one_id_are_a_conflict_and_the_linked_one_stands_for_it(
    wins: Choice, written: list[str]
) -> None:
    """`string:foo` decodes to `foo`, as an application may not know. The record that nobody moved is set aside."""
    known = pair_of(records({"foo": KNOWN}), TEXT_IDS)
    new = records({"string:foo": (1, 1, 0), "foo": (0, 2, 0)})
    plan = merge(records({"foo": KNOWN}), new, known, Rules(TEXT_IDS, decide=prefer(wins)))
    assert len(plan.conflicts) == (0 if wins else 1)
    assert texts(plan.upserts.records) == written
    assert texts(columns.ids_of(plan.aside.raw)) == ["string:foo"]
    assert "same id" in plan.aside.reasons[0].as_py()
    if written:
        assert canonical.decode(columns.payloads(plan.upserts.records)[0])["price"] == pytest.approx(1e16 / 3)


def test_s16_a_record_without_a_form_in_the_sources_terms_is_set_aside_and_stops_nothing() -> None:
    """The source's vectors are bytes; somebody wrote a fraction. The other record goes its way."""
    source_schema = make_schema(IdKind.UINT64, dtype=DType.UINT8)
    known_batch = make_batch([(IdKind.UINT64, "1"), (IdKind.UINT64, "2")], vectors=np.ones((2, DIMENSION), np.uint8))
    mapping = mapping_for(source_schema, known_batch, QDRANT)
    raw = mapping.expected(known_batch)
    values = np.array([[1.5, 1, 1], [2, 2, 2]], np.float32)
    new = raw.set_column(2, raw.schema.field("vector"), columns.dense_array(values))
    plan = merge(known_batch, new, pair_of(known_batch, mapping), Rules(mapping))
    assert texts(plan.aside.ids) == ["1"]
    assert "1.5" in plan.aside.reasons[0].as_py()
    assert plan.aside.raw.column("vector")[0].as_py() == [1.5, 1, 1]
    assert plan.upserts.records.column("vector").to_pylist() == [[2, 2, 2]]
    assert plan.counts.aside == 1
    untouched = merge(known_batch, raw, pair_of(known_batch, mapping), Rules(mapping))
    assert not any(untouched.counts.numbers().values())


NATIVE = (
    ({"n": 1}, None, None),
    ({"a": {"b": 1}}, None, "it cannot hold the payload under 'a'"),
    ({"": 1, "c": 2**70}, None, "it cannot hold the payload under '', 'c'"),
    ({}, [1.0, float("nan"), 1.0], "the vector holds NaN or infinity"),
)


def test_s16_what_the_old_store_cannot_hold_is_set_aside_with_a_reason_each() -> None:
    """Written natively to a store that holds more. One bad record is no reason for its neighbours."""
    schema, numbers = make_schema(IdKind.STRING, document=True), range(len(NATIVE))
    mapping = mapping_for(schema, None, FILES)
    new = make_batch(
        [(IdKind.STRING, f"id {number}") for number in numbers],
        [payload for payload, _, _ in NATIVE],
        ["text"] * len(NATIVE),
        np.array([vector or [1, 2, 3] for _, vector, _ in NATIVE], np.float32),
    )
    rules = Rules(mapping, cannot_hold=reasons_not_held(schema, CHROMA))
    nobody = pair_of(new.slice(0, 0), mapping)
    plan = merge(new.slice(0, 0), new, nobody, rules)
    wanted = {f"id {number}": NATIVE[number][2] for number in numbers if NATIVE[number][2]}
    assert dict(zip(texts(plan.aside.ids), plan.aside.reasons.to_pylist(), strict=True)) == wanted
    assert texts(plan.upserts.records) == ["id 0"]
    assert plan.counts.examples["aside"] == tuple(map(repr, wanted))


@pytest.mark.parametrize(
    ("claimed", "record_id", "document", "reason"),
    [
        (QDRANT, (IdKind.STRING, "a"), None, "no ids of the kind string"),
        (replace(FILES, document=False), (IdKind.UINT64, "7"), "text", "no documents"),
        (CHROMA, (IdKind.STRING, ""), None, "no empty id"),
        (replace(FILES, max_number_id=6), (IdKind.UINT64, "7"), None, "greatest number for an id is 6"),
        (replace(FILES, max_document_bytes=3), (IdKind.UINT64, "7"), "text", "a document of 4 bytes"),
        (replace(FILES, one_id_kind=True), (IdKind.UUID, "00000000-0000-4000-8000-000000000001"), None, "kind uuid"),
    ],
)
def test_s16_a_record_is_judged_by_what_its_store_claims(
    claimed: object, record_id: tuple[IdKind, str], document: str | None, reason: str
) -> None:
    """Kinds, sizes and documents, beside the record that is held."""
    schema = make_schema(IdKind.UINT64 if record_id[0] is not IdKind.STRING else IdKind.STRING)
    judged = reasons_not_held(schema, claimed)(make_batch([record_id], texts_of=[document]))  # type: ignore[arg-type]
    assert reason in judged[0].as_py()
    assert reasons_not_held(schema, FILES)(make_batch([record_id], texts_of=[document])).null_count == 1


def test_s16_a_record_without_a_vector_is_not_held_where_none_may_be_missing() -> None:
    """Chroma holds whole records only."""
    one = make_batch([(IdKind.STRING, "a")])
    lacking = one.set_column(2, one.schema.field("vector"), pa.nulls(1, one.schema.field("vector").type))
    judged = reasons_not_held(make_schema(IdKind.STRING), CHROMA)(pa.concat_batches([one, lacking]))
    assert [reason is None for reason in judged.to_pylist()] == [True, False]


COSINE = mapping_for(make_schema(IdKind.UINT64, metric=Metric.COSINE), make_batch([(IdKind.UINT64, "1")]), QDRANT)


def unit_vectors(batch: pa.RecordBatch) -> pa.RecordBatch:
    """What an engine with unit vectors makes of records."""
    values = columns.dense_column(batch).values.astype(np.float64)
    unit = (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)
    return batch.set_column(2, batch.schema.field("vector"), columns.dense_array(unit))


def test_s16_the_same_vector_written_to_both_sides_is_no_conflict_in_a_store_of_unit_vectors() -> None:
    """The comparison takes what the engine makes of a vector for the vector; a different one stays a conflict."""
    ids = [(IdKind.UINT64, "1"), (IdKind.UINT64, "2")]
    before = make_batch(ids, vectors=np.array([[1, 2, 3], [4, 5, 6]], np.float32))
    after = make_batch(ids, vectors=np.array([[3, 2, 1], [6, 5, 4]], np.float32))
    other = make_batch(ids, vectors=np.array([[3, 2, 1], [6, 5, 4.5]], np.float32))
    known = replace(pair_of(before, COSINE), new_hashes=sealing.hash_parts(unit_vectors(COSINE.expected(before))))
    rules = Rules(COSINE, same_new=same_parts({"": COSINE.tolerances[""]}))
    plan = merge(after, unit_vectors(COSINE.expected(other)), known, rules)
    assert texts(plan.same.records) == ["1"]
    assert plan.same.records.column("vector")[0].as_py() == [3, 2, 1]
    assert texts(plan.conflicts.batch) == ["2"]
    strict = merge(after, unit_vectors(COSINE.expected(other)), known, Rules(COSINE))
    assert texts(strict.conflicts.batch) == ["1", "2"]


@pytest.mark.parametrize("noisy", [True, False])
def test_s4_a_store_that_does_not_return_the_same_bits_twice_changed_only_beyond_its_tolerance(noisy: bool) -> None:
    """Both stores give each number back a little off. Where that is not known of them, it is a change."""
    ids = [(IdKind.STRING, name) for name in ("still", "moved")]
    before = make_batch(ids, vectors=np.full((2, DIMENSION), 1.0, np.float32))
    off = make_batch(ids, vectors=np.array([[1, 1, 1 + 1e-6], [1, 1, 2]], np.float32))
    near_enough = same_parts({"": Tolerance(relative=1e-5)})
    rules = Rules(SAME, near_enough, near_enough, noisy_old=noisy, noisy_new=noisy)
    known = pair_of(before, SAME)
    assert texts(merge(before, off, known, rules).upserts.records) == (["moved"] if noisy else ["still", "moved"])
    assert texts(merge(off, before, known, rules).kept) == (["moved"] if noisy else ["still", "moved"])


def test_s16_vectors_that_stayed_behind_stay_with_their_record() -> None:
    """The target had no room for one of two vectors. A payload from there comes to the record that has both."""
    fields = tuple(VectorField(name, dimension=2, metric=Metric.DOT) for name in ("kept", "left"))
    schema = replace(make_schema(IdKind.STRING, document=True), vectors=fields)
    one = np.array([[1, 2]], np.float32)

    def record(payload: bytes) -> pa.RecordBatch:
        vectors = {"kept": columns.dense_array(one), "left": columns.dense_array(one * 7)}
        return columns.make(["a"], IdKind.STRING, vectors=vectors, documents=[None], payloads=[payload])

    mapping = mapping_for(schema, record(b"{}"), CHROMA, consent=frozenset({"vector:left"}))
    known = pair_of(record(b"{}"), mapping)
    assert known.new_ids.num_rows == 1
    plan = merge(record(b"{}"), mapping.expected(record(b'{"n":1}')), known, Rules(mapping))
    assert rows_of([plan.upserts.records]) == rows_of([record(b'{"n":1}')])
    fresh = merge(
        record(b"{}").slice(0, 0),
        mapping.expected(record(b"{}")),
        pair_of(record(b"{}").slice(0, 0), mapping),
        Rules(mapping),
    )
    assert fresh.upserts.records.column("vector.left").null_count == 1


def test_s16_the_version_that_lost_is_whole_in_the_plan_with_who_lost_what() -> None:
    """Each settled record as it would be, had the other side won, a deletion among them."""
    world = World()
    world.add("payload", (0, 1, 1), (2, 2, 0), (KNOWN, KNOWN))
    world.add("old gone", None, (0, 2, 0), (KNOWN, KNOWN))
    world.add("new gone", (0, 1, 0), None, (KNOWN, KNOWN))
    plan = world.merge(Rules(SAME, decide=prefer(Choice.NEW)))
    found = {
        name: (op, json.loads(lost))
        for name, op, lost in zip(
            texts(plan.losers), plan.losers.column(OP).to_pylist(), plan.losers.column(LOST).to_pylist(), strict=True
        )
    }
    assert found == {
        "payload": ("upsert", {"payload": "old"}),
        "old gone": ("tombstone", {"record": "old"}),
        "new gone": ("upsert", {"record": "old"}),
    }
    there = plan.losers.filter(pa.array([op == "upsert" for op in plan.losers.column(OP).to_pylist()]))
    rows = rows_of([there.drop_columns([OP, LOST, columns.HASHES])])
    wanted = rows_of([records({"payload": (2, 1, 1), "new gone": (0, 1, 0)})])
    assert rows == wanted


def test_s16_the_merge_of_many_batches_adds_up() -> None:
    """Counts are sums; of the examples the first ones stay."""
    world = World()
    for number in range(30):
        world.add(str(number), None, (0, 0, 1), None)
    counts = world.merge().counts + world.merge().counts
    assert counts.new == 60
    assert len(counts.examples["new"]) == 20
    assert counts.examples["new"][0] == "'0'"


def test_s16_an_id_that_comes_twice_on_one_side_is_refused() -> None:
    """A torn scan must be repaired before a merge looks at it."""
    twice = pa.concat_batches([records({"a": KNOWN}), records({"a": (1, 0, 0)})])
    with pytest.raises(ValueError, match="twice"):
        merge(twice, records({}), World().known_rows(), Rules(SAME, same_old=near))
