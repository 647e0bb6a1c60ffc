"""Snapshot-restore: pause, digest, snapshot, digest, load, proof, switch; later writes are listed, not moved."""

from __future__ import annotations

import re
import shutil
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.application import SECRET, Application
from tests.support.migrating import Harness, fill, mixed_batch, schema
from vecferry import address, batch
from vecferry.errors import BadOption, DataDiffer, LeaseLost, PlanRefused, Stopped, UnsafeRoute
from vecferry.ledger import State, migration_resource
from vecferry.model import IdKind, RecordId, VerdictState
from vecferry.operations import ending, look, migrations
from vecferry.stores import registry
from vecferry.strategies import steps
from vecferry.strategies.runner import Ref
from vecferry.strategies.snapshots import SnapshotKind, snapshot_of
from vecferry.strategies.work import open_work
from vecferry.transfer import halt
from vecferry.transfer.backup import refuse_damaged
from vecferry.transfer.backup_listing import read_listing

STRATEGY = "snapshot-restore"


@pytest.fixture
def docs(request: pytest.FixtureRequest) -> str:
    """A source of 60 records that its application may write."""
    url = f"memory:///{request.node.name}"
    fill(url, [mixed_batch(60)])
    return url


def write(url: str, *numbers: int) -> None:
    """The application's own write."""
    with registry.open_target(address.parse(url)) as store:
        for number in numbers:
            store.write(mixed_batch(1, first=number))


def whenever(harness: Harness, step: Callable[..., Any], act: Callable[[], None]) -> None:
    """Do something right before a step, or the slices of one, of the next run, once."""
    run, each, left = harness.runner.run, harness.runner.map, iter([act])

    def acted(found: Any) -> None:
        if found is step:
            next(left, lambda: None)()

    def watched(found: Any, ref: Ref, *args: Any, **kwargs: Any) -> Any:
        acted(found)
        return run(found, ref, *args, **kwargs)

    def watched_map(found: Any, ref: Ref, numbers: Any, workers: int) -> Any:
        acted(found)
        return each(found, ref, numbers, workers)

    harness.runner.run = watched  # type: ignore[method-assign]
    harness.runner.map = watched_map  # type: ignore[method-assign]


def states(harness: Harness, ref: Ref) -> list[str]:
    """The states that it went through."""
    return [entry.detail["to"] for entry in harness.ledger.audit(ref.migration) if "to" in entry.detail]


def sheet(harness: Harness, key: str) -> list[tuple[str, ...]]:
    """The rows of the last table of this name."""
    return list(next(one for one in reversed(harness.sheets) if one.key == key).rows)


def test_the_exact_state_under_the_pause_arrives(harness: Harness, docs: str) -> None:
    """Every record is in the new store, proven, and the pause that covered all of it is measured."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY, slice_rows=25)
    verdict = harness.run(ref)
    assert verdict is not None
    assert verdict.state is VerdictState.SAME
    assert states(harness, ref) == [
        "COPYING",
        "CATCHING_UP",
        "VERIFYING",
        "READY",
        "FROZEN",
        "SWITCHING",
        "SWITCHING",
        "SWITCHED",
    ]
    assert harness.records(f"{docs}-new") == harness.records(docs)


def serving_writes(harness: Harness, ref: Ref) -> str:
    """What an application that asks is told of its writes."""
    found = harness.ledger.ask_route(harness.migration(ref).route)
    assert found is not None
    return found.writes


def undone(harness: Harness, ref: Ref, docs: str) -> bool:
    """Whether the old store serves and writes go on in it."""
    return (harness.route(ref).url, serving_writes(harness, ref)) == (docs, "open")


def test_the_pause_covers_all_of_it_and_is_measured(harness: Harness, docs: str) -> None:
    """The writes wait from before the first digest until after the switch, under one pause, whose length is told."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY)
    seen = []
    for step in (steps.begin_digest, steps.export_snapshot, steps.validate_slice, steps.check_serving):
        whenever(
            harness,
            step,
            lambda: seen.append((serving_writes(harness, ref), harness.ledger.pauses(ref.migration)[0].token)),
        )
    harness.run(ref)
    assert {writes for writes, _ in seen} == {"paused"}
    assert len({token for _, token in seen}) == 1
    told = dict(harness.sheets[-1].rows)
    assert told["writes paused"].endswith("the application was asked through the route only")
    assert serving_writes(harness, ref) == "open"


def test_s7_the_question_comes_before_the_copy(harness: Harness, docs: str) -> None:
    """A no leaves nothing but a plan: no pause, no target; the form says what pauses, for how long, and its limit."""
    harness.answer = False
    waits = {"visibility_delay_s": 40}
    ref = harness.start(docs, f"{docs}-new", STRATEGY, approve="ask", pause_limit_s=900, hooks=waits)
    with pytest.raises(Stopped, match="declined; the state stays PLANNED"):
        harness.run(ref)
    text = "\n".join(harness.forms[0].lines)
    assert "every record of" in text
    assert re.search(
        r"writes pause for the whole copy, about 4\d s: last writes end 40\.0 s, .*\(guessed\)$", text, re.M
    )
    assert "after 900 s without a switch all is undone" in text
    assert harness.ledger.pauses(ref.migration) == []
    with registry.open_target(address.parse(f"{docs}-new")) as target:
        assert not target.exists()


@pytest.mark.slow
def test_s7_a_yes_that_was_given_while_nobody_ran_is_found(harness: Harness, docs: str) -> None:
    """`approve` answers in PLANNED, status names it, and the next run pauses by that very yes, once."""

    def nobody(form: object, timeout_s: float) -> bool:
        raise Stopped("nobody is there")

    ref = harness.start(docs, f"{docs}-new", STRATEGY, approve="ask")
    harness.runner._ask = nobody
    with pytest.raises(Stopped):
        harness.run(ref)
    assert look.status(harness.ledger, ref.migration).next_commands[0] == f"vecferry approve {ref.migration}"
    migrations.approve(harness.ledger, ref.migration, yes=True, by="somebody")
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert [one.used_at is not None for one in harness.ledger.approvals(ref.migration)] == [True]


def test_s10_a_source_that_is_written_under_the_pause_is_found_and_named(harness: Harness, docs: str) -> None:
    """A record that changed between the two digests undoes all of it: writes released, the old store serves."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY)
    whenever(harness, steps.export_snapshot, lambda: write(docs, 17, 950))
    with pytest.raises(DataDiffer, match=r"written under the pause: 1 new \(for example 'doc-950'\); 1 changed"):
        harness.run(ref)
    assert undone(harness, ref, docs)
    assert harness.migration(ref).state is State.COPYING


@pytest.mark.slow
def test_a_run_after_a_source_that_changed_takes_a_new_snapshot(harness: Harness, docs: str) -> None:
    """What was exported under the pause that failed counts for nothing; the next one moves what is there then."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY, slice_rows=25)
    whenever(harness, steps.export_snapshot, lambda: write(docs, 950))
    with pytest.raises(DataDiffer):
        harness.run(ref)
    write(docs, 951, 3)
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.records(f"{docs}-new") == harness.records(docs)


def test_what_changed_between_the_plan_and_the_pause_moves_too(harness: Harness, docs: str) -> None:
    """The plan was made before the question; what the old store holds when writes pause is what arrives."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY, approve="ask")

    def change_meanwhile(form: object, timeout_s: float) -> bool:
        write(docs, *range(900, 940))
        return True

    harness.runner._ask = change_meanwhile
    verdict = harness.run(ref)
    assert harness.records(f"{docs}-new") == harness.records(docs)
    assert verdict is not None
    assert not [level.bound for level in verdict.levels if "stayed behind" in level.bound]


@pytest.mark.slow
def test_a_collection_that_shrank_since_the_plan_arrives_as_it_is(harness: Harness, docs: str) -> None:
    """Fewer records than slices were planned for: the parts that nothing is left for are empty."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY, approve="ask", slice_rows=10)

    def delete_meanwhile(form: object, timeout_s: float) -> bool:
        with registry.open_target(address.parse(docs)) as store:
            store.delete(batch.ids_batch([RecordId(IdKind.STRING, f"doc-{number}") for number in range(3, 60)]))
        return True

    harness.runner._ask = delete_meanwhile
    harness.run(ref)
    assert len(harness.records(f"{docs}-new")) == 3


def test_s14_later_writes_are_listed_and_not_moved(harness: Harness, docs: str) -> None:
    """A record that reaches the old store behind the snapshot is named; the new store does not have it."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY)
    whenever(harness, steps.end_switching, lambda: write(docs, 955))
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert "1 new (for example" in dict(harness.sheets[-1].rows)["late in the old store"]
    assert (IdKind.STRING, "doc-955") not in harness.records(f"{docs}-new")


@pytest.fixture
def file(tmp_path: Path) -> str:
    """60 records in a file, for runs in other processes."""
    url = f"jsonl://{tmp_path}/docs.jsonl"
    fill(url, [mixed_batch(60)], schema())
    (tmp_path / "docs.jsonl.vecferry.json").unlink(missing_ok=True)
    return url


def test_files_are_copied_with_checksums_and_read_from_the_copy(harness: Harness, file: str, tmp_path: Path) -> None:
    """The form and the plan say so; the copy lists itself as a backup, and the old file is as it was."""
    before = (tmp_path / "docs.jsonl").read_bytes()
    ref = harness.start(file, f"jsonl://{tmp_path}/new.jsonl", STRATEGY, metric="cosine")
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.records(f"jsonl://{tmp_path}/new.jsonl") == harness.records(file)
    work = open_work(ref)
    copied = snapshot_of(work)
    assert copied.kind is SnapshotKind.FILES
    assert refuse_damaged(read_listing(work.backup_folder).files, Path(str(copied.folder))) is None
    assert (tmp_path / "docs.jsonl").read_bytes() == before
    assert any("1, " in value for name, value in sheet(harness, "snapshot") if name == "files")


@pytest.mark.slow
def test_a_file_that_is_written_under_the_pause_is_found(harness: Harness, file: str, tmp_path: Path) -> None:
    """The copy holds what was there before; the line that came afterwards undoes the move, by its id."""
    ref = harness.start(file, f"jsonl://{tmp_path}/new.jsonl", STRATEGY, metric="cosine")
    line = b'{"id":"late","vector":[1,0,0,0,0,0,0,0],"payload":{}}\n'

    def append() -> None:
        with (tmp_path / "docs.jsonl").open("ab") as lines:
            lines.write(line)

    whenever(harness, steps.export_snapshot, append)
    with pytest.raises(DataDiffer, match="'late'"):
        harness.run(ref)
    assert undone(harness, ref, file)
    harness.run(ref)
    assert (IdKind.STRING, "late") in harness.records(f"jsonl://{tmp_path}/new.jsonl")


def test_rollback_brings_what_the_new_store_received_into_a_copy_beside_the_old_file(
    harness: Harness, file: str, tmp_path: Path
) -> None:
    """The way back is route and merge: the old file stays as it is, its copy has the record of after the switch."""
    new, before = f"jsonl://{tmp_path}/new.jsonl", (tmp_path / "docs.jsonl").read_bytes()
    ref = harness.migrate(file, new, STRATEGY, metric="cosine")
    write(new, 990)
    harness.rollback(ref)
    assert harness.migration(ref).state is State.ROLLED_BACK
    assert (tmp_path / "docs.jsonl").read_bytes() == before
    assert (IdKind.STRING, "doc-990") in harness.records(harness.route(ref).url)
    assert len(harness.records(harness.route(ref).url)) == 61


@pytest.mark.slow
def test_rollback_writes_into_a_database_what_the_new_store_received(harness: Harness, docs: str) -> None:
    """The old store gets the new record by a merge; its own late one, which never moved, is kept."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY)
    whenever(harness, steps.end_switching, lambda: write(docs, 955))
    harness.run(ref)
    write(f"{docs}-new", 990)
    harness.rollback(ref)
    found = harness.records(docs)
    assert {(IdKind.STRING, "doc-955"), (IdKind.STRING, "doc-990")} <= found.keys()
    assert len(found) == 62


def end_pauses(harness: Harness) -> None:
    """As if the time of every pause were over."""
    connection = sqlite3.connect(harness.folder / "ledger.db", isolation_level=None)
    connection.execute("UPDATE vecferry_pauses SET paused_until = paused_at")
    connection.close()


@pytest.mark.slow
def test_a_pause_that_ends_while_copying_never_switches(harness: Harness, docs: str) -> None:
    """Writes may have gone on: the move is undone, although not one of them did."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY)
    whenever(harness, steps.validate_slice, lambda: end_pauses(harness))
    with pytest.raises(UnsafeRoute, match="ended at"):
        harness.run(ref)
    assert undone(harness, ref, docs)
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED


def test_a_snapshot_that_was_overtaken_is_brought_up_to_date_under_the_next_pause(harness: Harness, docs: str) -> None:
    """The pause ended after the proof, the application wrote and deleted: the next run moves what is there then."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY, sync={"absence_wait_s": 0})
    whenever(harness, steps.require_pinned, lambda: end_pauses(harness))
    with pytest.raises(UnsafeRoute, match="ended at"):
        harness.run(ref)
    assert undone(harness, ref, docs)
    write(docs, 7, 960, 961)
    with registry.open_target(address.parse(docs)) as store:
        store.delete(batch.ids_batch([RecordId(IdKind.STRING, "doc-11")]))
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.records(f"{docs}-new") == harness.records(docs)
    assert len(harness.ledger.approvals(ref.migration)) == 2


@pytest.mark.slow
def test_a_snapshot_that_nobody_overtook_is_not_taken_again(harness: Harness, docs: str) -> None:
    """The digest under the new pause is that of the old one: no slice is exported or loaded a second time."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY)
    whenever(harness, steps.require_pinned, lambda: end_pauses(harness))
    with pytest.raises(UnsafeRoute):
        harness.run(ref)
    before = [(row.copied, row.loaded_at) for row in harness.ledger.slices(ref.migration)]
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert [(row.copied, row.loaded_at) for row in harness.ledger.slices(ref.migration)] == before


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Wait for something that another thread does."""
    end_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end_s, f"waited in vain until {what}"
        time.sleep(0.02)


def test_a_long_copy_prolongs_its_pause_and_tells_the_application(harness: Harness, docs: str) -> None:
    """While the run lives the pause is made longer, in the ledger and by a second call of the same token."""
    with Application() as application:
        application.memory.url = docs
        (harness.folder / "secret").write_text(SECRET)
        hook = {"webhook": application.hook, "secret": {"file": str(harness.folder / "secret")}, "timeout_s": 0.5}
        hooks = {"pause": hook, "release": hook, "switch": hook, "read_back": hook, "write_timeout_s": 0}
        ref = harness.start(docs, f"{docs}-new", STRATEGY, hooks={**hooks, "pause_ttl_s": 4})
        paused = application.memory.actions
        whenever(harness, steps.validate_slice, lambda: wait_until(lambda: paused().count("pause") > 1, "told again"))
        harness.run(ref)
        first, second = [call for call in application.memory.calls if call["action"] == "pause"][:2]
        assert first["token"] == second["token"]
        assert second["ttl_s"] == 4
        assert (application.memory.url, application.memory.writes) == (f"{docs}-new", "open")
    assert "pause extended" in [entry.event for entry in harness.ledger.audit(ref.migration)]
    assert sheet(harness, "cutover")[0][1].endswith("the application said that it had paused")


@pytest.mark.slow
def test_a_copy_that_takes_longer_than_was_agreed_to_is_undone(harness: Harness, docs: str) -> None:
    """Before the limit of the pause is over the run stops at its next batch, writes go on, and the result says why."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY, pause_limit_s=1)
    token = partial(harness.ledger.holder, migration_resource(ref.migration))

    def is_halted() -> bool:
        lease = token()
        try:
            halt.check(ref.ledger, lease.token if lease else 0)
        except Stopped:
            return True
        return False

    whenever(harness, steps.validate_slice, lambda: wait_until(is_halted, "the run was halted"))
    with pytest.raises(UnsafeRoute, match="came near its limit of 1 s"):
        harness.run(ref)
    assert undone(harness, ref, docs)
    assert harness.migration(ref).state is State.VERIFYING


@pytest.mark.slow
def test_an_application_that_takes_no_longer_pause_is_not_switched(harness: Harness, docs: str) -> None:
    """It refuses the second call and the third: the run is undone while the pause that it agreed to holds."""
    with Application() as application:
        application.memory.url = docs
        (harness.folder / "secret").write_text(SECRET)
        hook = {"webhook": application.hook, "secret": {"file": str(harness.folder / "secret")}, "timeout_s": 0.5}
        hooks = {"pause": hook, "release": hook, "write_timeout_s": 0, "pause_ttl_s": 4}
        ref = harness.start(docs, f"{docs}-new", STRATEGY, hooks=hooks)

        def refuse() -> None:
            application.memory.faults = {"pause": ["refuse", "refuse"]}
            wait_until(lambda: not application.memory.faults["pause"], "it refused twice")

        whenever(harness, steps.validate_slice, refuse)
        with pytest.raises(Stopped, match="did not confirm that writes are paused"):
            harness.run(ref)
        assert undone(harness, ref, docs)
        assert application.memory.writes == "open"


@pytest.mark.slow
def test_an_abort_under_the_pause_releases_the_writes(harness: Harness, docs: str) -> None:
    """The run loses its lease and stops; the state is ABORTED, the old store serves, the target stays."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY)
    whenever(harness, steps.validate_slice, lambda: ending.abort(harness.ledger, ref.migration) and None)
    with pytest.raises(LeaseLost):
        harness.run(ref)
    assert undone(harness, ref, docs)
    assert harness.migration(ref).state is State.ABORTED


@pytest.mark.slow
def test_a_sync_between_two_attempts_leaves_nothing_for_the_next_pause(harness: Harness, docs: str) -> None:
    """An overtaken snapshot may be brought up to date before the next pause; its digest is then the new one."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY, sync={"absence_wait_s": 0})
    whenever(harness, steps.require_pinned, lambda: end_pauses(harness))
    with pytest.raises(UnsafeRoute):
        harness.run(ref)
    write(docs, 970)
    assert harness.sync(ref).carried == 1
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert len(harness.ledger.deltas(ref.migration)) == 1
    assert harness.records(f"{docs}-new") == harness.records(docs)


@pytest.mark.slow
def test_a_disk_that_is_too_small_for_the_copy_is_seen_before_anybody_is_asked(
    harness: Harness, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody pauses for finding out that there is no room."""
    ref = harness.start(file, f"jsonl://{tmp_path}/new.jsonl", STRATEGY, metric="cosine", approve="ask")
    small = SimpleNamespace(free=1000)
    whenever(harness, steps.preflight_snapshot, lambda: monkeypatch.setattr(shutil, "disk_usage", lambda place: small))
    with pytest.raises(Stopped, match="free"):
        harness.run(ref)
    assert (harness.forms, harness.ledger.pauses(ref.migration)) == ([], [])


@pytest.mark.slow
def test_a_pause_that_a_person_ends_stops_the_copy(harness: Harness, docs: str) -> None:
    """`vecferry unpause` lets writes go on at once; the run finds its pause gone and does not switch."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY)
    whenever(harness, steps.finish_load, lambda: [*harness.ledger.unpause(ref.migration, "somebody")] and None)
    with pytest.raises(UnsafeRoute, match=r"was released at .* by somebody"):
        harness.run(ref)
    assert undone(harness, ref, docs)


def test_a_pause_that_would_be_longer_than_its_limit_is_refused_by_the_plan(
    harness: Harness, docs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the measured rate the plan knows it before anybody is asked."""
    ref = harness.start(docs, f"{docs}-new", STRATEGY, approve="ask", pause_limit_s=5, hooks={"visibility_delay_s": 6})
    with pytest.raises(PlanRefused, match="pause_limit_s allows 5 s"):
        harness.run(ref)
    assert harness.forms == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"limit": 5}, "a trial pauses nobody"),
        ({"cutover": "two-step", "no_read_modify_write": True}, "switches in one step"),
    ],
)
def test_what_the_strategy_does_not_do_is_refused(harness: Harness, docs: str, wrong: Any, says: str) -> None:
    """Options of other strategies are no silent wishes."""
    with pytest.raises(BadOption, match=says):
        harness.start(docs, f"{docs}-new", STRATEGY, **wrong)


def test_a_folder_belongs_to_a_chroma_server(harness: Harness, docs: str, tmp_path: Path) -> None:
    """Another source has none, another strategy does not copy one."""
    with pytest.raises(BadOption, match="belongs to a Chroma server"):
        harness.migrate(docs, f"{docs}-new", STRATEGY, snapshot_folder=str(tmp_path))
    with pytest.raises(BadOption, match="is for a snapshot-restore"):
        harness.start(docs, f"{docs}-new", snapshot_folder=str(tmp_path))
