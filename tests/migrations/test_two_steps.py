"""Reads first, writes later (S15): watched between the two, and sent back without a pause."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.application import Application, hooks_of
from tests.support.migrating import Harness, contents, fill, mixed_batch, write
from vecferry import batch
from vecferry.errors import BadOption, DataDiffer, PlanRefused, Stopped, UnsafeRoute
from vecferry.ledger import State
from vecferry.ledger.database import Database
from vecferry.model import IdKind, RecordId
from vecferry.operations import ending, migrations
from vecferry.strategies import steps
from vecferry.strategies.runner import Ref

KILLED = -9
TWO = {
    "cutover": "two-step",
    "no_read_modify_write": True,
    "sync": {"absence_wait_s": 0, "driver_timeout_s": 0},
    "hooks": {"write_timeout_s": 0},
}


@pytest.fixture
def docs(request: pytest.FixtureRequest) -> str:
    """A source of 60 records in the memory store."""
    url = f"memory:///{request.node.name}"
    fill(url, [mixed_batch(60)])
    return url


def hooked(harness: Harness, application: Application, **more: Any) -> dict[str, Any]:
    """Every hook is that application's."""
    return {"hooks": hooks_of(application, harness.folder, timeout_s=5, **more)}


def edited(record: str, payload: str = '{"edited":true}') -> Any:
    """One record of the source with another payload."""
    row = mixed_batch(1, first=int(record.removeprefix("doc-")))
    made = batch.make(["x"], IdKind.STRING, payloads=[payload.encode()]).column(batch.PAYLOAD)
    return row.set_column(row.schema.get_field_index(batch.PAYLOAD), row.schema.field(batch.PAYLOAD), made)


def routed(harness: Harness, ref: Ref) -> tuple[State, str, str, str]:
    """State, and where reads and writes go, and whether they wait."""
    now = harness.ledger.ask_route(harness.migration(ref).route)
    assert now is not None
    return harness.migration(ref).state, now.reads_url, now.url, now.writes


def watching(harness: Harness, source: str, target: str, **options: Any) -> Ref:
    """A migration whose reads are new, and whose second question was not answered."""
    ref = harness.start(source, target, **(TWO | {"approve": "ask"} | options))
    answers = iter([True])

    def once(form: Any, timeout_s: float) -> bool:
        harness.forms.append(form)
        return next(answers, False)

    harness.runner._ask = once  # type: ignore[method-assign]
    with pytest.raises(Stopped, match="the state stays READS_NEW"):
        harness.run(ref)
    harness.runner._ask = harness._ask  # type: ignore[method-assign]
    return ref


def whenever(harness: Harness, step: Callable[..., Any], act: Callable[[], None]) -> None:
    """Do something once, right before this step."""
    run, left = harness.runner.run, [act]

    def watched(found: Any, held: Ref, *args: Any, **kwargs: Any) -> Any:
        if found is step and left:
            left.pop()()
        return run(found, held, *args, **kwargs)

    harness.runner.run = watched  # type: ignore[method-assign]


def test_s15_reads_go_first_and_writes_after_a_second_yes(
    harness: Harness, docs: str, application: Application
) -> None:
    """Between the two questions reads are new, writes old, nobody is paused; the application is told of each."""
    application.memory.url, new = docs, f"{docs}-new"
    ref = watching(harness, docs, new, **hooked(harness, application))
    assert routed(harness, ref) == (State.READS_NEW, new, docs, "open")
    assert (application.memory.reads, application.memory.url) == (new, docs)
    assert [form.title[:9] for form in harness.forms] == ["Let the r", "Switch 't"]
    assert any("reads go there since" in line for line in harness.forms[1].lines)
    assert harness.sheets[-1].key == "watch"
    harness.run(ref)
    assert routed(harness, ref) == (State.SWITCHED, new, new, "open")
    told = [action for action in application.memory.actions() if action != "read_back"]
    assert told == ["reads", "pause", "switch", "release"]
    assert (application.memory.reads, application.memory.url) == ("", new)
    harness.ledger.verify_audit()


@pytest.mark.slow
def test_s15_passes_go_on_forward_and_an_absence_needs_two_of_them(harness: Harness, docs: str) -> None:
    """While reads are new a changed record is carried at once, and a deleted one when the next pass misses it too."""
    new = f"{docs}-new"
    ref = watching(harness, docs, new)
    write(docs, mixed_batch(2, first=500), edited("doc-3"), delete=("doc-9",))
    done = harness.sync(ref).made
    assert done is not None
    assert (done.new, done.changed, done.gone, done.waiting) == (2, 1, 0, 1)
    assert "doc-9" in contents(new)
    assert harness.sync(ref).carried == 1
    assert contents(new) == contents(docs)
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED


@pytest.mark.slow
def test_s15_a_record_that_is_deleted_and_inserted_again_is_never_missed_by_readers(
    harness: Harness, docs: str
) -> None:
    """An update that is a delete and an insert, with a pass in between, leaves the old version to be read."""
    new = f"{docs}-new"
    ref = watching(harness, docs, new)
    write(docs, delete=("doc-9",))
    harness.sync(ref)
    write(docs, edited("doc-9"))
    assert harness.sync(ref).carried == 1
    assert contents(new)["doc-9"].payload == b'{"edited":true}'


def test_s15_an_application_that_writes_where_it_reads_is_found_before_it_is_overwritten(
    harness: Harness, docs: str
) -> None:
    """The pass that would overwrite its record stops, naming it, and what it wrote stands."""
    new = f"{docs}-new"
    ref = watching(harness, docs, new)
    write(docs, edited("doc-3"))
    write(new, mixed_batch(5).slice(4, 1).set_column(0, "id", batch.ids_batch([RecordId(IdKind.STRING, "doc-3")])[0]))
    before = contents(new)["doc-3"]
    with pytest.raises(DataDiffer, match=r"somebody else.*doc-3"):
        harness.sync(ref)
    assert contents(new)["doc-3"] == before


@pytest.mark.slow
def test_s15_what_no_pass_would_overwrite_is_found_under_the_pause(harness: Harness, docs: str) -> None:
    """A record that only the new store saw change stops the switch: back in READS_NEW, writes released."""
    new = f"{docs}-new"
    ref = watching(harness, docs, new)
    write(new, edited("doc-3"))
    with pytest.raises(DataDiffer, match=r"while it served reads alone.*doc-3"):
        harness.run(ref)
    assert routed(harness, ref) == (State.READS_NEW, new, docs, "open")


@pytest.mark.slow
def test_s15_an_undone_switch_leaves_reads_where_they_were(harness: Harness, docs: str) -> None:
    """A difference under the pause goes back to READS_NEW; abort is refused until reads are sent back."""
    new = f"{docs}-new"
    ref = watching(harness, docs, new)
    whenever(harness, steps.check_new_store, lambda: write(new, delete=("doc-7",)))
    with pytest.raises(DataDiffer):
        harness.run(ref)
    assert routed(harness, ref) == (State.READS_NEW, new, docs, "open")
    with pytest.raises(UnsafeRoute, match="can no longer be aborted") as caught:
        ending.abort(harness.ledger, ref.migration)
    assert f"vecferry rollback {ref.migration}" in caught.value.advice
    harness.rollback(ref)
    assert ending.abort(harness.ledger, ref.migration).state is State.ABORTED


def test_s15_reads_are_sent_back_without_a_pause(harness: Harness, docs: str, application: Application) -> None:
    """`rollback` in READS_NEW: the application reads from the old store again; twice is once; and forward again."""
    application.memory.url, new = docs, f"{docs}-new"
    ref = watching(harness, docs, new, **hooked(harness, application))
    with pytest.raises(UnsafeRoute, match="carries no record"):
        harness.foresee(ref)
    harness.rollback(ref)
    assert routed(harness, ref) == (State.READY, docs, docs, "open")
    assert application.memory.reads == docs
    assert [call.get("reason") for call in application.memory.calls if call["action"] == "reads"] == [
        "cutover",
        "rollback",
    ]
    with pytest.raises(UnsafeRoute, match="only a SWITCHED one"):
        harness.rollback(ref)
    harness.run(ref)
    assert routed(harness, ref) == (State.SWITCHED, new, new, "open")


@pytest.mark.slow
def test_s7_both_questions_can_be_answered_while_nobody_runs(harness: Harness, docs: str) -> None:
    """`vecferry approve` in READY and in READS_NEW; no yes counts for both."""
    new = f"{docs}-new"
    ref = harness.start(docs, new, **(TWO | {"approve": "ask"}))

    def nobody(form: Any, timeout_s: float) -> bool:
        raise Stopped("nobody is here")

    harness.runner._ask = nobody  # type: ignore[method-assign]
    for state in (State.READY, State.READS_NEW):
        with pytest.raises(Stopped, match="nobody is here"):
            harness.run(ref)
        assert harness.migration(ref).state is state
        migrations.approve(harness.ledger, ref.migration, yes=True, by="ann")
    harness.run(ref)
    assert routed(harness, ref) == (State.SWITCHED, new, new, "open")
    assert [one.used_at is not None for one in harness.ledger.approvals(ref.migration)] == [True, True]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"no_read_modify_write": False}, "--no-read-modify-write"),
        ({"reads_alias": "live-reads"}, "leave --reads-alias out"),
    ],
)
def test_s15_what_cannot_go_in_two_steps_is_refused_by_the_plan(
    harness: Harness, docs: str, options: dict[str, Any], reason: str
) -> None:
    """Without the declaration, or with an alias that no store has: refused with the reason, and nothing moved."""
    ref = harness.start(docs, f"{docs}-new", **(TWO | options))
    with pytest.raises(PlanRefused, match=reason):
        harness.run(ref)
    assert harness.migration(ref).state is State.PLANNED


@pytest.mark.slow
def test_s15_ids_that_change_need_an_application_that_maps_them(harness: Harness, docs: str) -> None:
    """Text ids become UUIDs in Qdrant: refused, unless the application is declared to know both.

    Between two stores that hold the same UUIDs for them nothing has to be declared.
    """
    target = f"qdrant+edge://{harness.folder}/edge/docs"
    with pytest.raises(PlanRefused, match="--application-maps-ids"):
        harness.run(harness.start(docs, target, **TWO))
    ref = harness.migrate(docs, target, route="mapped", **TWO, application_maps_ids=True)
    assert routed(harness, ref) == (State.SWITCHED, target, target, "open")
    with pytest.raises(PlanRefused, match="--application-maps-ids"):  # the texts come back, and were UUIDs meanwhile
        harness.run(harness.start(target, f"{docs}-back", route="back", **TWO))
    other = f"qdrant+edge://{harness.folder}/edge/other"
    again = harness.migrate(target, other, route="again", **TWO)
    assert routed(harness, again) == (State.SWITCHED, other, other, "open")


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    ["reads.before", "reads.moved", "hooks.intended", "hooks.called", "hooks.recorded"],
)
def test_s13_reads_that_were_moving_when_the_run_died_arrive_with_the_next(
    harness: Harness, application: Application, point: str
) -> None:
    """Killed anywhere around the first step: resume reads back what happened, and the switch comes to its end."""
    old, new = f"jsonl://{harness.folder}/old.jsonl", f"jsonl://{harness.folder}/new.jsonl"
    fill(old, [mixed_batch(30)])
    application.memory.url = old
    ref = harness.start(old, new, metric="cosine", **(TWO | hooked(harness, application)))
    assert harness.run_until_killed(ref, f"{point}=kill") == KILLED
    if point == "hooks.intended":  # it may have been called, and is not now
        with pytest.raises(UnsafeRoute, match=r"Let the application read from|may or may not"):
            harness.run(ref)
        application.memory.reads, application.memory.epoch = new, 2
    harness.run(ref)
    assert routed(harness, ref) == (State.SWITCHED, new, new, "open")
    assert harness.records(new) == harness.records(old)
    assert not harness.ledger.open_hook_intents(ref.migration)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["reads.returned", "hooks.intended", "hooks.called", "reads.back"])
def test_s13_reads_that_were_on_their_way_back_get_there(
    harness: Harness, application: Application, point: str
) -> None:
    """Killed while reads went back: nothing leads forward before the same command has finished it."""
    old, new = f"jsonl://{harness.folder}/old.jsonl", f"jsonl://{harness.folder}/new.jsonl"
    fill(old, [mixed_batch(30)])
    application.memory.url = old
    ref = watching(harness, old, new, metric="cosine", **hooked(harness, application))
    assert harness.roll_back_until_killed(ref, f"{point}=kill") == KILLED
    if point != "reads.back":
        with pytest.raises(UnsafeRoute, match="on their way back"):
            harness.run(ref)
        if point == "hooks.intended":
            application.memory.reads, application.memory.epoch = old, 3
        harness.rollback(ref)
    assert routed(harness, ref) == (State.READY, old, old, "open")
    assert application.memory.reads == old
    assert not harness.ledger.open_hook_intents(ref.migration)


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    [
        "ledger.paused",
        "cutover.checked",
        "look.ended",
        "cutover.before_switch",
        "cutover.switched",
        "hooks.called=kill@3",
        "cutover.ended",
        "cutover.unswitched",
    ],
)
def test_s13_a_second_step_that_was_cut_off_is_undone_to_new_reads_or_led_on(
    harness: Harness, application: Application, point: str
) -> None:
    """Killed anywhere behind the second yes: reads never go back, the next run ends SWITCHED, and no record is lost."""
    old, new = f"jsonl://{harness.folder}/old.jsonl", f"jsonl://{harness.folder}/new.jsonl"
    file = harness.folder / "route.json"
    fill(old, [mixed_batch(30)])
    application.memory.url = old
    ref = watching(harness, old, new, metric="cosine", **hooked(harness, application, route_file=str(file)))
    assert (json.loads(file.read_text())["reads"], json.loads(file.read_text())["url"]) == (new, old)
    write(old, mixed_batch(2, first=500))
    if point == "cutover.unswitched":
        assert harness.run_until_killed(ref, "cutover.before_switch=kill") == KILLED
    assert harness.run_until_killed(ref, point if "=" in point else f"{point}=kill") == KILLED
    state, reads, _, _ = routed(harness, ref)
    assert reads == new
    assert state in (State.FROZEN, State.SWITCHING, State.SWITCHED)
    harness.run(ref)
    assert routed(harness, ref) == (State.SWITCHED, new, new, "open")
    assert (application.memory.url, application.memory.writes) == (new, "open")
    assert harness.records(new) == harness.records(old)
    harness.ledger.verify_audit()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_s15_passes_under_an_application_that_writes_the_old_store_stay_close(
    harness: Harness, docs: str, seed: int
) -> None:
    """While reads are new and writes go on, no pass takes its own records for somebody else's; the switch finds all."""
    new, dice = f"{docs}-new", random.Random(seed)
    loose = {"max_deletes": 1000, "max_changes": 100_000, "absence_wait_s": 0, "driver_timeout_s": 0}
    ref = watching(harness, docs, new, sync=loose)
    stop = threading.Event()

    def application() -> None:
        while not stop.is_set():
            name = f"doc-{dice.randrange(80)}"
            if dice.random() < 0.3:
                write(docs, delete=(name,))
            else:
                write(docs, edited(name, f'{{"n":{dice.randrange(1000)}}}'))

    thread = threading.Thread(target=application)
    thread.start()
    try:
        carried = [harness.sync(ref).carried for _ in range(4)]
    finally:
        stop.set()
        thread.join()
    assert any(carried)
    harness.run(ref)
    assert routed(harness, ref) == (State.SWITCHED, new, new, "open")
    assert contents(new) == contents(docs)


def pass_by(monkeypatch: pytest.MonkeyPatch, seconds_s: float) -> None:
    """From now on every ledger's clock is ahead of this machine's."""
    monkeypatch.setattr(Database, "_now", lambda self, connection: datetime.now(UTC) + timedelta(seconds=seconds_s))


def test_s15_writes_do_not_follow_before_the_reads_were_watched(
    harness: Harness, docs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A yes that comes early switches nothing and is kept; from the moment that the form names it is good."""
    new = f"{docs}-new"
    ref = watching(harness, docs, new, min_watch_s=3600)
    since = harness.route(ref).changed_at
    ends = f"{since + timedelta(hours=1, seconds=1):%Y-%m-%d %H:%M:%S} UTC"  # rounded up to a whole second
    assert "3,600 s after the reads" in harness.forms[0].lines[-2]
    assert any(f"before {ends} a switch is refused" in line for line in harness.forms[1].lines)
    assert any(f"{since:%Y-%m-%d %H:%M:%S} UTC" in line for line in harness.forms[1].lines)
    assert ends in dict(harness.sheets[-1].rows)["writes may follow"]
    with pytest.raises(UnsafeRoute, match=ends):
        harness.run(ref)
    assert routed(harness, ref) == (State.READS_NEW, new, docs, "open")
    assert harness.ledger.pauses(ref.migration) == []
    write(docs, mixed_batch(1, first=500))
    asked = len(harness.forms)
    pass_by(monkeypatch, 3602)
    harness.run(ref)
    assert routed(harness, ref) == (State.SWITCHED, new, new, "open")
    assert len(harness.forms) == asked
    assert "doc-500" in contents(new)


@pytest.mark.slow
def test_s15_without_a_question_the_run_ends_during_the_watch(
    harness: Harness, docs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With approve: auto each run catches up and says when the next one may switch; that one does."""
    new = f"{docs}-new"
    ref = harness.start(docs, new, min_watch_s=3600, **TWO)
    for number in (500, 501):
        with pytest.raises(Stopped, match="watched for 3,") as caught:
            harness.run(ref)
        assert f"UTC on vecferry resume {ref.migration}" in caught.value.advice
        assert routed(harness, ref) == (State.READS_NEW, new, docs, "open")
        write(docs, mixed_batch(1, first=number))
    assert "doc-500" in contents(new)
    pass_by(monkeypatch, 3602)
    harness.run(ref)
    assert routed(harness, ref) == (State.SWITCHED, new, new, "open")
    assert "doc-501" in contents(new)


@pytest.mark.slow
def test_s15_reads_that_went_back_are_watched_anew(
    harness: Harness, docs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was watched before they went back does not count."""
    ref = watching(harness, docs, f"{docs}-new", min_watch_s=3600)
    harness.rollback(ref)
    pass_by(monkeypatch, 3602)
    with pytest.raises(UnsafeRoute, match="reads are watched until"):
        harness.run(ref)
    pass_by(monkeypatch, 7300)
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED


def test_s15_a_watch_needs_two_steps(harness: Harness, docs: str) -> None:
    """Otherwise there is nothing between which time could pass."""
    with pytest.raises(BadOption, match="--cutover two-step"):
        harness.start(docs, f"{docs}-new", min_watch_s=60)
