"""The end of a migration: S22 complete, S23 drops, with writes behind the switch and a look at what is left."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.support.migrating import Harness, contents, fill, mixed_batch, schema
from vecferry import address, batch
from vecferry.errors import BadOption, DataDiffer, NotFound, Stopped, StoreRefused, UnsafeRoute
from vecferry.ledger import Direction, Holder, State, migration_resource
from vecferry.model import IdKind, Receipt, RecordId
from vecferry.operations import ending
from vecferry.stores import registry
from vecferry.strategies.runner import Ref
from vecferry.strategies.steps.ending import unsettled_s

AT_ONCE = {"absence_wait_s": 0}


@pytest.fixture
def docs(request: pytest.FixtureRequest) -> str:
    """A source of 300 records."""
    url = f"memory:///{request.node.name}"
    fill(url, [mixed_batch(300)])
    return url


def write_late(url: str) -> None:
    """One new record, one replaced, one deleted, by somebody else."""
    with registry.open_target(address.parse(url)) as store:
        store.write(mixed_batch(1, first=9000))
        changed = mixed_batch(1, first=5)
        at = changed.schema.get_field_index(batch.PAYLOAD)
        payload = batch.make(["x"], IdKind.STRING, payloads=[b'{"late":true}']).column(batch.PAYLOAD)
        store.write(changed.set_column(at, changed.schema.field(batch.PAYLOAD), payload))
        store.delete(batch.ids_batch([RecordId(IdKind.STRING, "doc-9")]))


def is_there(url: str) -> bool:
    with registry.open_target(address.parse(url)) as store:
        return store.exists()


def complete(harness: Harness, ref: Ref, accepted: str = "") -> ending.Ended:
    return ending.complete(harness.runner, ref, accepted)


def decommission(harness: Harness, ref: Ref, collection: str, accepted: str = "") -> ending.Ended:
    return ending.decommission(harness.runner, ref, collection, accepted)


def discard(harness: Harness, ref: Ref, accepted: str = "") -> ending.Ended:
    return ending.discard(harness.runner, ref, accepted)


def digest_of(error: pytest.ExceptionInfo[DataDiffer]) -> str:
    """What the advice says to type in order to agree."""
    return error.value.advice.rpartition("--accept-late ")[2]


def test_s22_complete_ends_the_way_back_and_drops_nothing(harness: Harness, docs: str) -> None:
    """A switched migration becomes COMPLETED once; the old store stays whole, and there is no rollback any more."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE)
    ended = complete(harness, ref)
    assert not ended.already
    assert ended.late is not None
    assert (ended.late.rows, bool(ended.late)) == (300, False)
    assert harness.migration(ref).state is State.COMPLETED
    assert len(contents(docs)) == 300
    with pytest.raises(UnsafeRoute, match="COMPLETED"):
        harness.rollback(ref)


@pytest.mark.slow
def test_s22_complete_twice_is_told_and_changes_nothing(harness: Harness, docs: str) -> None:
    """The second time says that it was done, and leaves no trace in the trail."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE)
    complete(harness, ref)
    trail = len(harness.ledger.audit(ref.migration))
    assert complete(harness, ref).already
    assert len(harness.ledger.audit(ref.migration)) == trail


@pytest.mark.slow
@pytest.mark.parametrize("state", ["READY", "ROLLED_BACK", "ABORTED"])
def test_s22_only_a_switched_migration_can_be_completed(harness: Harness, docs: str, state: str) -> None:
    """Any other state is named, with what can be done from there, and stays."""
    ref = harness.start(docs, f"{docs}-new", approve="ask")
    harness.answer = state == "ROLLED_BACK"
    if state == "ROLLED_BACK":
        harness.run(ref)
        harness.rollback(ref)
    else:
        with pytest.raises(Stopped):
            harness.run(ref)
    if state == "ABORTED":
        ending.abort(harness.ledger, ref.migration)
    with pytest.raises(UnsafeRoute, match=state):
        complete(harness, ref)
    assert harness.migration(ref).state == state


def test_s14_late_rows_block_complete_until_a_person_lets_them_go(harness: Harness, docs: str, tmp_path: Path) -> None:
    """What was written behind the switch is listed by name; only the digest of exactly these rows settles it."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE)
    write_late(docs)
    with pytest.raises(DataDiffer, match=r"1 new.*'doc-9000'.*1 changed.*'doc-5'.*1 gone.*'doc-9'") as found:
        complete(harness, ref)
    assert harness.migration(ref).state is State.SWITCHED
    digest = digest_of(found)
    [listed] = (tmp_path / "home").rglob("*.late-in-source.csv")
    rows = {tuple(row) for row in csv.reader(listed.open())}
    assert rows >= {("new", "string", "doc-9000"), ("changed", "string", "doc-5"), ("gone", "string", "doc-9")}
    with registry.open_target(address.parse(docs)) as store:
        store.write(mixed_batch(1, first=9001))
    with pytest.raises(DataDiffer, match="2 new") as again:
        complete(harness, ref, digest)
    assert digest_of(again) != digest
    assert complete(harness, ref, digest_of(again)).late
    assert harness.migration(ref).state is State.COMPLETED


@pytest.mark.slow
def test_s14_a_look_that_sees_half_a_change_asks_by_id(harness: Harness, docs: str, tmp_path: Path) -> None:
    """A record that a pass missed and a point read finds is no late record."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE)
    run_map = harness.runner.map

    def touch_first(step, held, numbers, workers):  # type: ignore[no-untyped-def]
        with registry.open_target(address.parse(docs)) as store:
            store.delete(batch.ids_batch([RecordId(IdKind.STRING, "doc-9")]))
            store.write(mixed_batch(1, first=9000))
            found = run_map(step, held, numbers, workers)
            store.write(mixed_batch(300).slice(9, 1))
            store.delete(batch.ids_batch([RecordId(IdKind.STRING, "doc-9000")]))
        return found

    harness.runner.map = touch_first  # type: ignore[method-assign]
    assert not complete(harness, ref).late


def test_s22_an_open_delta_blocks_complete(harness: Harness, docs: str) -> None:
    """Where no sync writes to the old store, a rollback recorded them: they are named, with what finishes them."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE, reverse="hold")
    number = harness.ledger.reserve_delta(ref.migration, Direction.REVERSE, None)
    receipt = Receipt(number, "deltas/00001.parquet", 1, 10, "0" * 64, "1-" + 32 * "0")
    harness.ledger.record_delta(ref.migration, Direction.REVERSE, number, receipt, {}, None)
    with pytest.raises(UnsafeRoute, match="delta 1") as found:
        complete(harness, ref)
    assert "vecferry rollback" in found.value.advice
    assert harness.migration(ref).state is State.SWITCHED


@pytest.mark.slow
def test_s22_a_hook_call_of_unknown_fate_blocks_complete(harness: Harness, docs: str) -> None:
    """A call whose run died before its answer is named."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE)
    harness.ledger.record_hook_intent(ref.migration, "switch", {"token": 0}, epoch=2, token=None)
    with pytest.raises(UnsafeRoute, match=r"switch \(call 1\)"):
        complete(harness, ref)


@pytest.mark.slow
def test_s22_writes_that_were_never_released_block_complete(harness: Harness, docs: str) -> None:
    """A pause that nobody ended is told, with the command that ends it."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE)
    harness.ledger.pause_writes(harness.migration(ref).route, ref.migration, 60, None, state_to=None)
    with pytest.raises(UnsafeRoute, match="paused") as found:
        complete(harness, ref)
    assert "vecferry unpause" in found.value.advice


def test_s22_a_route_file_that_says_otherwise_blocks_complete(harness: Harness, docs: str, tmp_path: Path) -> None:
    """The observed route has to be the recorded one: whoever follows the file is not left behind."""
    file = tmp_path / "route.json"
    ref = harness.migrate(docs, f"{docs}-new", hooks={"route_file": str(file), "write_timeout_s": 0})
    file.write_text('{"url": "memory:///elsewhere", "epoch": 2, "writes": "open", "route": "x", "workspaces": {}}')
    with pytest.raises(UnsafeRoute, match="differ"):
        complete(harness, ref)
    assert harness.migration(ref).state is State.SWITCHED


@pytest.mark.slow
def test_s22_an_old_store_that_is_gone_is_told_and_may_be_let_go(harness: Harness, docs: str) -> None:
    """Without the old store there is no last look: a person has to say that this was meant."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE)
    with registry.open_target(address.parse(docs)) as store:
        store.drop()
    with pytest.raises(UnsafeRoute, match="cannot be looked at") as found:
        complete(harness, ref)
    assert "--accept-late gone" in found.value.advice
    assert complete(harness, ref, "gone").late is None
    assert harness.migration(ref).state is State.COMPLETED
    assert decommission(harness, ref, address.parse(docs).name).late is None


def test_s23_decommission_drops_the_old_store_alone(harness: Harness, docs: str) -> None:
    """After complete, with its name typed, the old collection goes; the new one stays; the second time is told."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE)
    name = address.parse(docs).name
    with pytest.raises(UnsafeRoute, match="only after `complete`"):
        decommission(harness, ref, name)
    complete(harness, ref)
    with pytest.raises(BadOption, match="is named"):
        decommission(harness, ref, f"{name}-new")
    assert is_there(docs)
    assert decommission(harness, ref, name).dropped == docs
    assert not is_there(docs)
    assert len(contents(f"{docs}-new")) == 300
    assert decommission(harness, ref, name).already
    assert "decommission intended" in [entry.event for entry in harness.ledger.audit(ref.migration)]


def test_s23_a_row_written_after_complete_stops_the_drop(harness: Harness, docs: str) -> None:
    """The last look is right before the drop: what complete did not see yet is not lost."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE)
    complete(harness, ref)
    write_late(docs)
    with pytest.raises(DataDiffer, match="'doc-9000'") as found:
        decommission(harness, ref, address.parse(docs).name)
    assert is_there(docs)
    assert decommission(harness, ref, address.parse(docs).name, digest_of(found)).dropped == docs


@pytest.mark.slow
def test_s23_what_another_migration_or_route_names_is_not_dropped(harness: Harness, docs: str) -> None:
    """A live migration from the old collection, and a route that leads to it, keep it."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE)
    complete(harness, ref)
    name = address.parse(docs).name
    other = harness.start(docs, f"{docs}-other", route="other")
    with pytest.raises(UnsafeRoute, match=f"the migration {other.migration}"):
        decommission(harness, ref, name)
    harness.ledger.claim_route("other", docs, other.migration)
    ending.abort(harness.ledger, other.migration)
    with pytest.raises(UnsafeRoute, match="the route 'other'"):
        decommission(harness, ref, name)
    assert is_there(docs)


@pytest.mark.slow
def test_s23_a_load_or_trial_that_is_done_names_nothing_any_more(harness: Harness, docs: str) -> None:
    """What ends at READY without a switch is no use of the collection that it made or read."""
    harness.migrate(docs, f"{docs}-trial", limit=10, sync=AT_ONCE)
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE, route="another")
    complete(harness, ref)
    assert decommission(harness, ref, address.parse(docs).name).dropped == docs


def test_s23_another_collection_under_the_old_name_is_not_dropped(harness: Harness, docs: str) -> None:
    """What was dropped and made anew with another dimension is not what was recorded, whatever it is called."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE)
    complete(harness, ref)
    with registry.open_target(address.parse(docs)) as store:
        store.drop()
    fill(docs, [mixed_batch(300, dimension=4)], schema(4))
    with pytest.raises(DataDiffer, match="it was dense 8"):
        decommission(harness, ref, address.parse(docs).name)
    assert is_there(docs)


@pytest.mark.slow
def test_s23_an_application_that_went_back_by_hand_keeps_the_old_store(
    harness: Harness, docs: str, tmp_path: Path
) -> None:
    """All that follows the route is looked at once more before the drop, not only at complete."""
    file = tmp_path / "route.json"
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE, hooks={"route_file": str(file), "write_timeout_s": 0})
    complete(harness, ref)
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"url": docs}))
    with pytest.raises(UnsafeRoute, match="file serves"):
        decommission(harness, ref, address.parse(docs).name)
    assert is_there(docs)
    file.write_text(json.dumps(content))
    assert decommission(harness, ref, address.parse(docs).name).dropped == docs


def test_s23_files_are_never_deleted(harness: Harness, tmp_path: Path) -> None:
    """A source made of files is completed without reading it again, and stays where it is."""
    source = f"jsonl://{tmp_path}/docs.jsonl"
    fill(source, [mixed_batch(50)])
    ref = harness.migrate(source, f"qdrant+edge://{tmp_path}/edge/docs", sync=AT_ONCE)
    complete(harness, ref)
    with pytest.raises(StoreRefused, match="never deleted"):
        decommission(harness, ref, "docs.jsonl")
    assert (tmp_path / "docs.jsonl").exists()


@pytest.mark.slow
def test_s14_a_file_that_was_written_behind_the_switch_is_read(harness: Harness, tmp_path: Path) -> None:
    """A changed fingerprint means a look at every record."""
    source = f"jsonl://{tmp_path}/docs.jsonl"
    fill(source, [mixed_batch(50)])
    ref = harness.migrate(source, f"qdrant+edge://{tmp_path}/edge/docs", sync=AT_ONCE)
    lines = (tmp_path / "docs.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "docs.jsonl").write_text("".join(lines[:-1]))
    with pytest.raises(DataDiffer, match=r"1 gone.*'doc-49'"):
        complete(harness, ref)


def test_s23_discard_drops_what_an_aborted_run_left(harness: Harness, docs: str) -> None:
    """A target that was never proven needs no look; its mark says whose it is."""
    ref = harness.start(docs, f"{docs}-new", slice_rows=50)
    run_map = harness.runner.map

    def stop(step, held, numbers, workers):  # type: ignore[no-untyped-def]
        run_map(step, held, numbers[:2], workers)
        raise KeyboardInterrupt

    harness.runner.map = stop  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        harness.run(ref)
    harness.runner.map = run_map  # type: ignore[method-assign]
    with pytest.raises(UnsafeRoute, match="COPYING"):
        discard(harness, ref)
    ending.abort(harness.ledger, ref.migration)
    ended = discard(harness, ref)
    assert (ended.dropped, ended.late) == (f"{docs}-new", None)
    with pytest.raises(NotFound):
        discard(harness, ref)


@pytest.mark.slow
def test_s23_a_trial_is_discarded_once_it_is_aborted(harness: Harness, docs: str) -> None:
    """A trial has no route; its target is looked at all the same, and goes."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE, limit=100)
    ending.abort(harness.ledger, ref.migration)
    assert discard(harness, ref).dropped == f"{docs}-new"
    assert not is_there(f"{docs}-new")


def test_s23_discard_keeps_what_only_the_new_store_has(harness: Harness, docs: str) -> None:
    """Rows that were left behind in the new store are named before it is dropped."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE)
    harness.rollback(ref)
    write_late(f"{docs}-new")
    with pytest.raises(DataDiffer, match=r"1 new.*'doc-9000'.*1 changed.*'doc-5'.*1 gone.*'doc-9'") as found:
        discard(harness, ref)
    assert is_there(f"{docs}-new")
    assert discard(harness, ref, digest_of(found)).dropped == f"{docs}-new"
    assert not is_there(f"{docs}-new")


@pytest.mark.slow
def test_s23_a_collection_of_another_hand_under_the_same_name_is_not_dropped(harness: Harness, docs: str) -> None:
    """Without this migration's mark a collection is somebody else's."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE)
    harness.rollback(ref)
    with registry.open_target(address.parse(f"{docs}-new")) as store:
        store.drop()
    fill(f"{docs}-new", [mixed_batch(3)])
    with pytest.raises(UnsafeRoute, match="mark of nobody"):
        discard(harness, ref)


def test_abort_cuts_off_a_run_and_says_whom(harness: Harness, docs: str) -> None:
    """The run that held the lease is named, and may not go on."""
    ref = harness.start(docs, f"{docs}-new")
    lease = harness.ledger.acquire([migration_resource(ref.migration)], Holder.here(), ttl_s=60)
    found = ending.abort(harness.ledger, ref.migration)
    assert (found.state, found.fenced) == (State.ABORTED, (str(Holder.here()),))
    with pytest.raises(Exception, match="taken over or given back"):
        harness.ledger.check(lease.token, migration_resource(ref.migration))


@pytest.mark.slow
def test_abort_is_refused_once_the_new_store_serves(harness: Harness, docs: str) -> None:
    """After the switch the way back is a rollback."""
    ref = harness.migrate(docs, f"{docs}-new", sync=AT_ONCE)
    with pytest.raises(UnsafeRoute, match="no longer be aborted") as found:
        ending.abort(harness.ledger, ref.migration)
    assert "vecferry rollback" in found.value.advice


def test_s23_discard_waits_until_no_write_of_a_dead_run_can_arrive(harness: Harness, docs: str) -> None:
    """Whoever was cut off may still have a call under way at a server: its time-out passes first."""
    ref = harness.start(docs, f"{docs}-new")
    harness.ledger.acquire([migration_resource(ref.migration)], Holder.here(), ttl_s=60)
    assert unsettled_s(harness.ledger.audit(ref.migration), driver_timeout_s=40) == 0
    ending.abort(harness.ledger, ref.migration)
    assert 30 < unsettled_s(harness.ledger.audit(ref.migration), driver_timeout_s=40) <= 40
