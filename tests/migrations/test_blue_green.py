"""The whole way of a migration: copy, proof, switch and the way back."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.migrating import Harness, contents, fill, mixed_batch, schema
from vecferry import address, batch
from vecferry.errors import (
    BadRecord,
    DataDiffer,
    DataError,
    LossRefused,
    NotFound,
    Stopped,
    TargetNotEmpty,
)
from vecferry.ledger import State
from vecferry.model import IdKind, RecordId, VerdictState
from vecferry.stores import registry
from vecferry.strategies import steps


def source_url(name: str) -> str:
    """A source of its own in the memory store."""
    return f"memory:///{name}"


@pytest.fixture
def docs(request: pytest.FixtureRequest) -> str:
    """A source of 700 records."""
    url = source_url(request.node.name)
    fill(url, [mixed_batch(700)])
    return url


def test_every_record_arrives_and_the_route_switches(harness: Harness, docs: str, tmp_path: Path) -> None:
    """A migration from start to switch proves every record and moves the route by one epoch."""
    target = f"qdrant+edge://{tmp_path}/edge/docs"
    ref = harness.start(docs, target, slice_rows=300)
    verdict = harness.run(ref)
    assert verdict is not None
    assert verdict.state is VerdictState.SAME
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.route(ref).url == target
    assert harness.route(ref).epoch == 2
    assert len(contents(target)) == 700


def test_the_way_there_and_back_gives_the_same_bits(harness: Harness, docs: str, tmp_path: Path) -> None:
    """A -> B -> A is bit-equal although B rounds floats, keeps unit vectors and knows no string ids."""
    middle, back = f"qdrant+edge://{tmp_path}/edge/docs", f"{docs}-back"
    harness.migrate(docs, middle, route="there")
    assert contents(middle).keys() != contents(docs).keys()
    harness.migrate(middle, back, route="back")
    assert contents(back) == contents(docs)


@pytest.mark.slow
def test_what_was_changed_in_the_new_store_counts_on_the_way_back(harness: Harness, docs: str, tmp_path: Path) -> None:
    """On the way back a changed part is the new store's, an untouched part the archive's, new and deleted rows too."""
    middle, back = "memory:///changed-middle", "memory:///changed-back"
    harness.migrate(docs, middle, route="there")
    rows = mixed_batch(700)
    edited = rows.slice(3, 1)
    with registry.open_target(address.parse(middle)) as store:
        payloads = [b'{"edited":true}']
        store.write(
            edited.set_column(
                edited.schema.get_field_index(batch.PAYLOAD),
                edited.schema.field(batch.PAYLOAD),
                batch.make(["x"], IdKind.STRING, payloads=payloads).column(batch.PAYLOAD),
            )
        )
        store.write(mixed_batch(2, first=1000))
        store.delete(batch.ids_batch([RecordId(IdKind.STRING, "doc-5")]))
    harness.migrate(middle, back, route="back")
    before, after = contents(docs), contents(back)
    assert after.keys() == (before.keys() - {"doc-5"}) | {"doc-1000", "doc-1001"}
    assert after["doc-3"].payload == b'{"edited":true}'
    assert after["doc-3"].vectors == before["doc-3"].vectors
    assert all(after[name] == before[name] for name in before.keys() & after.keys() - {"doc-3"})


def test_the_source_is_never_written(harness: Harness, docs: str, tmp_path: Path) -> None:
    """Records and schema of the source are the same before, after the switch and after the rollback."""
    before = contents(docs)
    ref = harness.migrate(docs, f"qdrant+edge://{tmp_path}/edge/docs")
    assert contents(docs) == before
    harness.rollback(ref)
    assert contents(docs) == before


def test_s10_what_changed_while_the_question_waited_is_carried_over(
    harness: Harness, docs: str, tmp_path: Path
) -> None:
    """Rows that were added or deleted since the verdict are in the new store when the route moves, and are counted."""
    target = f"qdrant+edge://{tmp_path}/edge/docs"
    ref = harness.start(docs, target, approve="ask", sync={"absence_wait_s": 0})

    def change_meanwhile(form: object, timeout_s: float) -> bool:
        with registry.open_target(address.parse(docs)) as store:
            store.write(mixed_batch(1, first=9000))
            store.delete(batch.ids_batch([RecordId(IdKind.STRING, "doc-17")]))
        return True

    harness.runner._ask = change_meanwhile
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.records(target) == harness.records(docs)
    assert ("carried over meanwhile", "2 records") in harness.sheets[-1].rows


def test_a_declined_switch_stays_ready_and_can_be_asked_again(harness: Harness, docs: str) -> None:
    """A no leaves everything as it is; the next run asks anew and a yes switches."""
    harness.answer = False
    ref = harness.start(docs, f"{docs}-new", approve="ask")
    with pytest.raises(Stopped, match="declined"):
        harness.run(ref)
    assert harness.migration(ref).state is State.READY
    harness.answer = True
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert [form.number for form in harness.forms] == [1, 2]


def test_a_trial_of_some_rows_is_never_switched(harness: Harness, docs: str, tmp_path: Path) -> None:
    """`limit` moves the first rows, proves them, and leaves the route alone."""
    target = f"qdrant+edge://{tmp_path}/edge/docs"
    ref = harness.migrate(docs, target, limit=123)
    assert len(contents(target)) == 123
    assert harness.migration(ref).state is State.READY
    assert harness.ledger.route(harness.migration(ref).route) is None


def test_resume_does_no_finished_slice_again(harness: Harness, docs: str) -> None:
    """Running a switched migration again changes neither ledger nor route."""
    ref = harness.migrate(docs, f"{docs}-new", slice_rows=200)
    before = harness.ledger.slices(ref.migration)
    harness.run(ref)
    assert harness.ledger.slices(ref.migration) == before
    assert harness.route(ref).epoch == 2


def test_a_damaged_target_is_seen_by_the_verdict(harness: Harness, docs: str) -> None:
    """A lost, a changed and a foreign record in the target each make the verdict different, with their ids."""
    target = f"{docs}-new"
    ref = harness.start(docs, target)
    original = steps.validate_slice

    def damage_first(held: object, number: int) -> None:
        with registry.open_target(address.parse(target)) as store:
            store.delete(batch.ids_batch([RecordId(IdKind.STRING, "doc-1")]))
            store.write(mixed_batch(1, first=7777))
            changed = batch.make(
                ["doc-2"],
                IdKind.STRING,
                vectors={"": mixed_batch(700).column("vector").slice(3, 1)},
                documents=["other"],
                payloads=[b"{}"],
            )
            store.write(changed)
        original(held, number)  # type: ignore[arg-type]

    run_map = harness.runner.map

    def map_with_damage(step, held, numbers, workers):  # type: ignore[no-untyped-def]
        return run_map(damage_first if step is steps.validate_slice else step, held, numbers, workers)

    harness.runner.map = map_with_damage  # type: ignore[method-assign]
    with pytest.raises(DataDiffer, match=r"V2 \(2\).*V3 \(2\).*V4 \(1\)"):
        harness.run(ref)
    text = harness.sheets[-1].note
    assert all(name in text for name in ("'doc-1'", "'doc-2'", "'doc-7777'"))
    assert harness.migration(ref).state is State.VERIFYING


def test_a_target_that_exists_is_refused(harness: Harness, docs: str) -> None:
    """A collection that this migration did not make is refused before a row moves, and stays as it was."""
    fill(f"{docs}-taken", [mixed_batch(3)])
    with pytest.raises(TargetNotEmpty, match="was not made by vecferry"):
        harness.migrate(docs, f"{docs}-taken")
    assert len(contents(f"{docs}-taken")) == 3


def test_a_missing_source_is_an_error_and_is_not_created(harness: Harness) -> None:
    """A misspelt source name is NotFound, and still is afterwards."""
    for _ in range(2):
        with pytest.raises(NotFound):
            harness.migrate("memory:///misspelt", "memory:///never")


def test_nan_in_a_vector_is_refused_with_its_id(harness: Harness, tmp_path: Path) -> None:
    """A vector with NaN is refused by the plan, naming the record, where the target would not keep it."""
    rows = mixed_batch(5)
    poisoned = batch.dense_column(rows).values.copy()
    poisoned[3, 2] = float("nan")
    bad = rows.set_column(2, rows.schema.field(2), batch.dense_array(poisoned))
    fill("memory:///with-nan", [bad])
    with pytest.raises((LossRefused, BadRecord), match="doc-3"):
        harness.migrate("memory:///with-nan", f"qdrant+edge://{tmp_path}/edge/docs")


def test_an_empty_collection_arrives_empty(harness: Harness, tmp_path: Path) -> None:
    """A collection without records becomes a collection without records, proven and switched."""
    fill("memory:///empty-one", [])
    target = f"qdrant+edge://{tmp_path}/edge/docs"
    ref = harness.migrate("memory:///empty-one", target)
    assert harness.migration(ref).state is State.SWITCHED
    assert contents(target) == {}


def test_a_source_without_a_metric_asks_for_one(harness: Harness, tmp_path: Path) -> None:
    """The metric is never guessed: a file without one is refused with the option that names it."""
    jsonl = tmp_path / "points.jsonl"
    jsonl.write_text('{"id": 1, "vector": [1.0, 2.0], "payload": {"a": 1}}\n')
    with pytest.raises(LossRefused) as caught:
        harness.migrate(f"jsonl://{jsonl}", f"qdrant+edge://{tmp_path}/edge/docs")
    assert "--metric" in caught.value.advice


def test_duplicate_ids_are_refused_before_the_first_write(harness: Harness, tmp_path: Path) -> None:
    """Two lines with one id stop the plan; the target does not exist afterwards."""
    jsonl = tmp_path / "points.jsonl"
    line = '{"id": "twice", "vector": [1.0, 2.0], "payload": {}}\n'
    jsonl.write_text(line + '{"id": "once", "vector": [1.0, 2.0], "payload": {}}\n' + line)
    with pytest.raises(DataError, match="twice"):
        harness.migrate(f"jsonl://{jsonl}", f"qdrant+edge://{tmp_path}/edge/docs", metric="cosine")
    assert not (tmp_path / "edge" / "docs").exists()


@pytest.mark.slow
def test_the_plan_is_stored_before_the_first_row_moves(harness: Harness, docs: str) -> None:
    """When the first slice is copied, plan and slices already stand in ledger and archive."""
    ref = harness.start(docs, f"{docs}-new", slice_rows=100)
    seen = []
    run_map = harness.runner.map

    def look_first(step, held, numbers, workers):  # type: ignore[no-untyped-def]
        seen.append((step.__name__, harness.migration(ref).planned_at, len(harness.ledger.slices(ref.migration))))
        return run_map(step, held, numbers, workers)

    harness.runner.map = look_first  # type: ignore[method-assign]
    harness.run(ref)
    name, planned_at, slices = seen[0]
    assert name == "copy_slice"
    assert planned_at is not None
    assert slices >= 2


def test_schema_of_tests_is_what_the_store_says(docs: str) -> None:
    """The helper's schema is the one that the source describes."""
    with registry.open_source(address.parse(docs)) as source:
        assert source.describe().vectors == schema().vectors
