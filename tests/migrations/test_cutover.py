"""The cutover by its steps: pause, last look, one transaction, what follows it, and what is done about each failure."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.application import Application, hooks_of
from tests.support.migrating import Harness, fill, mixed_batch, schema
from vecferry import address, batch
from vecferry.contract import Target
from vecferry.errors import DataDiffer, Stopped, UnsafeRoute
from vecferry.ledger import Direction, Serving, State
from vecferry.model import IdKind, RecordId
from vecferry.stores import registry
from vecferry.strategies import steps
from vecferry.strategies.cutover_file import read_statement
from vecferry.strategies.runner import Ref
from vecferry.strategies.work import open_work

KILLED = -9


@pytest.fixture
def docs(request: pytest.FixtureRequest) -> str:
    """A source of 60 records that its application may write."""
    url = f"memory:///{request.node.name}"
    fill(url, [mixed_batch(60)])
    return url


@pytest.fixture
def file(tmp_path: Path) -> str:
    """60 records in a file, for runs in other processes."""
    url = f"jsonl://{tmp_path}/docs.jsonl"
    fill(url, [mixed_batch(60)], schema())
    (tmp_path / "docs.jsonl.vecferry.json").unlink(missing_ok=True)
    return url


def write(url: str, *numbers: int) -> None:
    """The application's own write."""
    with registry.open_target(address.parse(url)) as store:
        for number in numbers:
            store.write(mixed_batch(1, first=number))


def delete(url: str, *numbers: int) -> None:
    """The application's own delete."""
    with registry.open_target(address.parse(url)) as store:
        store.delete(batch.ids_batch([RecordId(IdKind.STRING, f"doc-{number}") for number in numbers]))


def whenever(harness: Harness, step: Callable[..., Any], act: Callable[[], None], times: int = 1) -> None:
    """Do something right before a step of the next run, so many times."""
    run, left = harness.runner.run, iter(range(times))

    def watched(found: Any, ref: Ref, *args: Any, **kwargs: Any) -> Any:
        if found is step and next(left, None) is not None:
            act()
        return run(found, ref, *args, **kwargs)

    harness.runner.run = watched  # type: ignore[method-assign]


def serving(harness: Harness, ref: Ref) -> Serving:
    """What an application that asks is told."""
    found = harness.ledger.ask_route(harness.migration(ref).route)
    assert found is not None
    return found


def end_pauses(harness: Harness) -> None:
    """As if the time of every pause were over."""
    connection = sqlite3.connect(harness.folder / "ledger.db", isolation_level=None)
    connection.execute("UPDATE vecferry_pauses SET paused_until = paused_at")
    connection.close()


def states(harness: Harness, ref: Ref) -> list[str]:
    """The states in the order in which they were entered."""
    return [entry.detail["to"] for entry in harness.ledger.audit(ref.migration) if "to" in entry.detail]


def undone(harness: Harness, ref: Ref, source: str) -> bool:
    """Whether everything is as it was before the pause."""
    now = serving(harness, ref)
    return (harness.migration(ref).state, now.url, now.writes, now.epoch) == (State.READY, source, "open", 1)


def test_s12_a_switch_goes_through_every_state_and_releases_last(
    harness: Harness, docs: str, application: Application
) -> None:
    """READY, FROZEN, SWITCHING, SWITCHED; the application is paused, told, and released last of all."""
    application.memory.url = docs
    ref = harness.migrate(docs, f"{docs}-new", hooks=hooks_of(application, harness.folder))
    wanted = ["COPYING", "CATCHING_UP", "VERIFYING", "READY", "FROZEN", "SWITCHING", "SWITCHING", "SWITCHED"]
    assert states(harness, ref) == wanted
    told = [action for action in application.memory.actions() if action != "read_back"]
    assert told == ["pause", "switch", "release"]
    assert (application.memory.url, application.memory.writes) == (f"{docs}-new", "open")
    assert dict(harness.sheets[-1].rows)["writes paused"].endswith("the application said that it had paused")


def test_s10_two_still_passes_under_the_pause_come_before_the_switch(harness: Harness, docs: str) -> None:
    """The last two passes began after the pause, found nothing and saw the same."""
    ref = harness.migrate(docs, f"{docs}-new")
    pause = harness.ledger.pause(harness.migration(ref).route)
    assert pause is not None
    last = harness.ledger.passes(ref.migration, Direction.FORWARD)[-2:]
    assert all(one.started_at >= pause.paused_at and one.differences == 0 for one in last)
    assert last[0].digest == last[1].digest


def test_s4_files_are_read_once_under_the_pause_and_then_known_by_their_fingerprint(
    harness: Harness, file: str
) -> None:
    """The second pass over files that did not change reads nothing; one that changed is read."""
    ref = harness.migrate(file, "memory:///s4-new", metric="cosine")
    read = [one.note.get("unread", False) for one in harness.ledger.passes(ref.migration, Direction.FORWARD)]
    assert read == [False, True]


def test_s10_late_writes_under_the_pause_are_carried_over(harness: Harness, docs: str) -> None:
    """A write that lands while passes run is found by the next one; the new store has it when the route moves."""
    target = f"{docs}-new"
    ref = harness.start(docs, target, sync={"absence_wait_s": 0})
    whenever(harness, steps.is_settled, lambda: write(docs, 3, 900))
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.records(target) == harness.records(docs)


@pytest.mark.slow
def test_s10_a_source_that_is_never_still_is_not_switched(harness: Harness, docs: str) -> None:
    """Somebody who does not mind the pause is found out; everything is undone, and writes are released."""
    ref = harness.start(docs, f"{docs}-new")
    numbers = iter(range(1000, 2000))
    whenever(harness, steps.is_settled, lambda: write(docs, next(numbers)), times=100)
    with pytest.raises(DataDiffer, match="still being written"):
        harness.run(ref)
    assert undone(harness, ref, docs)


def _lose(store: Target) -> None:
    store.delete(batch.ids_batch([RecordId(IdKind.STRING, "doc-7")]))


def _add(store: Target) -> None:
    store.write(mixed_batch(1, first=777))


def _alter(store: Target) -> None:
    altered = mixed_batch(60).slice(3, 1)
    store.write(altered.set_column(0, altered.schema.field(0), batch.ids_batch([_CARRIED]).column(0)))


_CARRIED = RecordId(IdKind.STRING, "doc-900")


@pytest.mark.parametrize(
    ("damage", "named"), [(_lose, "59 records|60 records|61 records"), (_add, "doc-777"), (_alter, "doc-900")]
)
def test_s10_a_new_store_that_differs_is_not_switched_to(
    harness: Harness, docs: str, damage: Callable[[Target], None], named: str
) -> None:
    """A lost record, a foreign one, or one that was carried over and then altered is seen before the route moves."""
    target = f"{docs}-new"
    ref = harness.start(docs, target)
    whenever(harness, steps.preflight_switch, lambda: write(docs, 900))

    def spoil() -> None:
        with registry.open_target(address.parse(target)) as store:
            damage(store)

    whenever(harness, steps.check_new_store, spoil)
    with pytest.raises(DataDiffer, match=named):
        harness.run(ref)
    assert undone(harness, ref, docs)


def test_s7_a_last_delta_beyond_what_was_approved_is_not_switched(harness: Harness, docs: str) -> None:
    """The form said how much may be carried over under the pause; more of it undoes the switch."""
    ref = harness.start(docs, f"{docs}-new", max_final_delta=2)
    whenever(harness, steps.is_settled, lambda: write(docs, 901, 902, 903))
    with pytest.raises(UnsafeRoute, match="allows a last delta of 2 rows, not 3"):
        harness.run(ref)
    assert undone(harness, ref, docs)
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED


def test_s12_a_pause_that_is_over_undoes_the_switch(harness: Harness, docs: str) -> None:
    """Writes may have gone on, so the route does not move; the next run asks and pauses anew."""
    ref = harness.start(docs, f"{docs}-new")
    whenever(harness, steps.commit_switch, lambda: end_pauses(harness))
    with pytest.raises(UnsafeRoute, match="ended at"):
        harness.run(ref)
    assert undone(harness, ref, docs)
    assert states(harness, ref)[-4:] == ["FROZEN", "SWITCHING", "FROZEN", "READY"]
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert [one.used_at is not None for one in harness.ledger.approvals(ref.migration)] == [True, True]


def test_s9_a_run_that_is_interrupted_under_the_pause_undoes_it(harness: Harness, docs: str) -> None:
    """Ctrl-C, or the end of a flow run, leaves nobody paused."""
    ref = harness.start(docs, f"{docs}-new")

    def interrupt() -> None:
        raise KeyboardInterrupt

    whenever(harness, steps.is_settled, interrupt)
    with pytest.raises(KeyboardInterrupt):
        harness.run(ref)
    assert undone(harness, ref, docs)


def test_s9_an_application_that_refuses_to_pause_is_not_switched(
    harness: Harness, docs: str, application: Application
) -> None:
    """The state goes back to READY, and whatever the application did, it is told to go on."""
    application.memory.url, application.memory.faults = docs, {"pause": ["refuse"]}
    ref = harness.start(docs, f"{docs}-new", hooks=hooks_of(application, harness.folder))
    with pytest.raises(Stopped, match="did not confirm that writes are paused"):
        harness.run(ref)
    assert undone(harness, ref, docs)
    harness.run(ref)
    assert (application.memory.url, application.memory.writes) == (f"{docs}-new", "open")


def test_s8_a_store_that_is_gone_is_seen_before_anything_pauses(harness: Harness, docs: str) -> None:
    """The new store was dropped while the question waited: refused, READY, and never paused."""
    target = f"{docs}-new"
    ref = harness.start(docs, target)

    def drop() -> None:
        with registry.open_target(address.parse(target)) as store:
            store.drop()

    whenever(harness, steps.preflight_switch, drop)
    with pytest.raises(UnsafeRoute, match="is gone"):
        harness.run(ref)
    assert undone(harness, ref, docs)
    assert harness.ledger.pauses(ref.migration) == []


def test_s8_a_full_disk_is_seen_before_anything_pauses(
    harness: Harness, docs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the passes have no room, nobody is paused for finding that out."""
    ref = harness.start(docs, f"{docs}-new")

    def fill_the_disk() -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=1000))

    whenever(harness, steps.preflight_switch, fill_the_disk)
    with pytest.raises(Stopped, match="free, about"):
        harness.run(ref)
    assert undone(harness, ref, docs)
    assert harness.ledger.pauses(ref.migration) == []


def test_s11_the_archive_keeps_what_the_switch_stands_on(harness: Harness, docs: str) -> None:
    """The cutover file names the migration and the epoch of the new route, and every record."""
    ref = harness.migrate(docs, f"{docs}-new")
    archive = open_work(ref).archive
    said = read_statement(archive)
    assert (said.migration, said.route_epoch) == (ref.migration, harness.route(ref).epoch)
    assert sum(rows.num_rows for rows in archive.read_cutover()) == 60


def test_s14_a_write_behind_the_switch_is_listed(harness: Harness, docs: str) -> None:
    """What the old store receives after the last look is named; the switch stays."""
    ref = harness.start(docs, f"{docs}-new")
    whenever(harness, steps.release_writes, lambda: write(docs, 955))
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert "1 new (for example" in dict(harness.sheets[-1].rows)["late in the old store"]


def test_s12_a_failed_check_after_the_switch_holds_the_pause_for_a_person(harness: Harness, docs: str) -> None:
    """The store that serves lost a record: writes stay paused, and resume checks again once it is mended."""
    target = f"{docs}-new"
    ref = harness.start(docs, target)
    whenever(harness, steps.check_serving, lambda: delete(target, 5))
    with pytest.raises(UnsafeRoute, match="it holds 59 records, known are 60"):
        harness.run(ref)
    assert (harness.migration(ref).state, serving(harness, ref).writes) == (State.SWITCHED, "paused")
    with registry.open_target(address.parse(target)) as store:
        store.write(mixed_batch(60).slice(5, 1))
    harness.run(ref)
    assert serving(harness, ref).writes == "open"


@pytest.mark.slow
def test_s12_a_failed_check_goes_back_where_the_approver_chose_so(harness: Harness, docs: str) -> None:
    """With on_check_failed rollback the old store serves again before writes are released."""
    target = f"{docs}-new"
    ref = harness.start(docs, target, on_check_failed="rollback", sync={"absence_wait_s": 0})

    def answers_nothing(*args: object) -> str:
        return "it does not answer"

    run = harness.runner.run

    def failing(found: Any, held: Ref, *args: Any, **kwargs: Any) -> Any:
        return answers_nothing() if found is steps.check_serving else run(found, held, *args, **kwargs)

    harness.runner.run = failing  # type: ignore[method-assign]
    with pytest.raises(UnsafeRoute, match="The route went back"):
        harness.run(ref)
    now = serving(harness, ref)
    assert (harness.migration(ref).state, now.url, now.writes) == (State.ROLLED_BACK, docs, "open")


@pytest.mark.slow
@pytest.mark.parametrize("point", ["cutover.unswitched", pytest.param("cutover.undone", marks=pytest.mark.slow)])
def test_s13_an_undoing_that_dies_is_finished_by_the_next_run(harness: Harness, file: str, point: str) -> None:
    """A run killed before the transaction, and the one that undoes it killed too: the third one switches."""
    ref = harness.start(file, f"jsonl://{harness.folder}/new.jsonl", metric="cosine")
    assert harness.run_until_killed(ref, "cutover.before_switch=kill") == KILLED
    assert harness.migration(ref).state is State.SWITCHING
    assert harness.run_until_killed(ref, f"{point}=kill") == KILLED
    harness.run(ref)
    assert (harness.migration(ref).state, serving(harness, ref).writes) == (State.SWITCHED, "open")


def hook_points(*points: str) -> list[Any]:
    """One in the short run."""
    return [pytest.param(point, marks=() if point == "hooks.called" else pytest.mark.slow) for point in points]


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    hook_points("hooks.file_written", "hooks.intended", "hooks.called", "hooks.recorded", "ledger.hook_intended"),
)
@pytest.mark.parametrize(
    "number", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(3, marks=pytest.mark.slow)]
)
def test_s13_a_run_killed_around_a_call_is_finished_by_the_next(
    harness: Harness, file: str, application: Application, point: str, number: int
) -> None:
    """Pause, switch or release under way when the run died: the application ends on the new store, released.

    A switch of unknown fate that a read-back does not see is made by a person, never a second time.
    """
    application.memory.url = file
    target = f"jsonl://{harness.folder}/new.jsonl"
    ref = harness.start(
        file,
        target,
        metric="cosine",
        hooks=hooks_of(application, harness.folder, route_file=str(harness.folder / "route.json")),
    )
    assert harness.run_until_killed(ref, f"{point}=kill@{number}") == KILLED
    if number == 2 and point in ("hooks.intended", "ledger.hook_intended"):  # it may have been called, and is not now
        with pytest.raises(UnsafeRoute, match="may or may not have switched"):
            harness.run(ref)
        application.memory.url, application.memory.epoch = target, 2
    harness.run(ref)
    assert (harness.migration(ref).state, serving(harness, ref).writes) == (State.SWITCHED, "open")
    assert (application.memory.url, application.memory.writes) == (target, "open")
    assert harness.records(target) == harness.records(file)


def test_s13_writes_of_an_application_that_was_never_told_are_carried_over_first(
    harness: Harness, file: str, application: Application
) -> None:
    """The route moved, the run died, the pause ended, and the application wrote to the old store: looked at again."""
    application.memory.url = file
    target = f"jsonl://{harness.folder}/new.jsonl"
    ref = harness.start(
        file,
        target,
        metric="cosine",
        hooks=hooks_of(application, harness.folder),
        sync={"absence_wait_s": 0, "driver_timeout_s": 0},
    )
    assert harness.run_until_killed(ref, "cutover.switched=kill") == KILLED
    end_pauses(harness)
    application.memory.writes = "open"
    with Path(address.parse(file).file).open("ab") as lines:
        lines.write(b'{"id":"late","vector":[1,0,0,0,0,0,0,0],"payload":{}}\n')
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert (IdKind.STRING, "late") in harness.records(target)
    assert (application.memory.url, application.memory.writes) == (target, "open")


def test_s13_an_application_that_half_followed_is_left_to_a_person(
    harness: Harness, file: str, application: Application
) -> None:
    """A switch call of unknown fate, the pause over, the application on the old store: listed, nothing changed."""
    application.memory.url = file
    ref = harness.start(
        file, f"jsonl://{harness.folder}/new.jsonl", metric="cosine", hooks=hooks_of(application, harness.folder)
    )
    assert harness.run_until_killed(ref, "hooks.called=kill@2") == KILLED
    end_pauses(harness)
    application.memory.url, application.memory.epoch = file, None
    before = harness.ledger.audit(ref.migration)[-1].number
    with pytest.raises(UnsafeRoute, match="what follows the route differs: hook serves"):
        harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHING
    told = [entry.event for entry in harness.ledger.audit(ref.migration) if entry.number > before]
    assert set(told) <= {"lease taken", "lease released"}
