"""After the switch (S6, S16, S17): the old store follows the new one or is left alone, and a rollback is foreseen."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.migrations.test_two_steps import edited, write
from tests.support.migrating import Harness, contents, fill, mixed_batch
from vecferry.errors import LeaseLost, PlanRefused, StoreRefused, UnsafeRoute
from vecferry.ledger import State
from vecferry.operations import ending
from vecferry.operations.sync import sync
from vecferry.stores import memory
from vecferry.strategies import steps
from vecferry.strategies.runner import LocalRunner, Ref

QUICK = {"sync": {"absence_wait_s": 0, "driver_timeout_s": 0}, "hooks": {"write_timeout_s": 0}}
KILLED = -9


@pytest.fixture
def docs(request: pytest.FixtureRequest) -> str:
    """A source of 60 records in the memory store."""
    url = f"memory:///{request.node.name}"
    fill(url, [mixed_batch(60)])
    return url


def figures(harness: Harness, ref: Ref) -> Any:
    """What the last sync kept."""
    return harness.ledger.fact(ref.migration, "rollback figures")


def test_s6_a_sync_after_the_switch_carries_to_the_old_store_what_the_new_one_received(
    harness: Harness, docs: str
) -> None:
    """New, changed and deleted records are in the old store; a rollback then finds nothing left to carry."""
    new = f"{docs}-new"
    ref = harness.migrate(docs, new, **QUICK)
    before = contents(docs)
    write(new, mixed_batch(2, first=500), edited("doc-3", '{"n":1}'), delete=("doc-9",))
    done = harness.sync(ref)
    assert done.carried == 4
    assert contents(docs) == contents(new)
    assert all(contents(docs)[name] == before[name] for name in before.keys() - {"doc-3", "doc-9"})
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.sync(ref).carried == 0
    returned = harness.rollback(ref)
    assert [returned[word] for word in ("new", "changed", "deleted", "kept")] == [0] * 4
    assert harness.route(ref).url == docs
    harness.ledger.verify_audit()


@pytest.mark.slow
def test_s6_on_hold_nothing_is_written_and_the_figures_are_kept(harness: Harness, docs: str) -> None:
    """With reverse: hold a sync looks at both stores; the old one stays as it is until a rollback."""
    new = f"{docs}-new"
    ref = harness.migrate(docs, new, reverse="hold", **QUICK)
    write(new, mixed_batch(2, first=500), delete=("doc-9",))
    before = contents(docs)
    assert harness.sync(ref).carried == 0
    assert contents(docs) == before
    found = figures(harness, ref)
    assert (found["would_be"]["new"], found["would_be"]["deleted"], found["carried"]) == (2, 1, None)
    assert (harness.rollback(ref)["new"], len(contents(docs))) == (2, 61)


@pytest.mark.slow
def test_s6_files_are_never_followed_into(harness: Harness, tmp_path: Path) -> None:
    """A source made of files holds by itself, says what a copy would be, and refuses to be told to follow."""
    old, new = f"jsonl://{tmp_path}/old.jsonl", f"memory:///{tmp_path.name}-new"
    fill(old, [mixed_batch(30)])
    before = (tmp_path / "old.jsonl").read_bytes()
    with pytest.raises(PlanRefused, match="never edited"):
        harness.run(harness.start(old, f"{new}-2", reverse="follow", route="other", metric="cosine"))
    ref = harness.migrate(old, new, metric="cosine", **QUICK)
    write(new, mixed_batch(1, first=500))
    harness.sync(ref)
    assert (tmp_path / "old.jsonl").read_bytes() == before
    found = figures(harness, ref)
    assert (found["reverse"], found["copies_files"], found["would_be"]["new"]) == ("hold", True, 1)
    assert found["leads_to"] == f"jsonl://{tmp_path}/old-{ref.migration}.jsonl"


@pytest.mark.slow
def test_s16_a_conflict_stays_as_it_is_and_the_rest_is_carried(harness: Harness, docs: str) -> None:
    """Nothing of the record that both sides changed is written; it is named, and listed to be decided."""
    new = f"{docs}-new"
    ref = harness.migrate(docs, new, **QUICK)
    write(docs, edited("doc-7", '{"side":"old"}'))
    write(new, edited("doc-7", '{"side":"new"}'), mixed_batch(1, first=500))
    done = harness.sync(ref)
    assert done.back is not None
    assert "doc-7" in str(done.back.problem)
    assert contents(docs)["doc-7"].payload == b'{"side":"old"}'
    assert "doc-500" in contents(docs)
    listed = Path(figures(harness, ref)["listed"]["conflicts"])
    head, line = listed.read_text().splitlines()
    listed.write_text(f"{head}\n{json.dumps(json.loads(line) | {'decision': 'new'})}\n")
    assert (done.carried, figures(harness, ref)["would_be"]["conflicts"]) == (1, 1)
    harness.rollback(ref, conflicts=listed)
    assert contents(docs)["doc-7"].payload == b'{"side":"new"}'


@pytest.mark.slow
def test_s16_a_late_write_of_the_old_store_is_kept_by_every_sync(harness: Harness, docs: str) -> None:
    """What only the old store received is listed, and no pass takes it away."""
    ref = harness.migrate(docs, f"{docs}-new", **QUICK)
    write(docs, mixed_batch(1, first=600), edited("doc-4", '{"late":1}'))
    for _ in range(2):
        harness.sync(ref)
        assert figures(harness, ref)["would_be"]["kept"] == 2
    assert contents(docs)["doc-4"].payload == b'{"late":1}'
    assert "doc-600" in contents(docs)


@pytest.mark.slow
def test_s5_brakes_hold_a_sync_back_and_count_over_all_of_them(harness: Harness, docs: str) -> None:
    """Deletes of several syncs add up; what is beyond needs a person, by the command that is shown."""
    new = f"{docs}-new"
    brakes = {"sync": {"absence_wait_s": 0, "max_deletes": 10, "max_delete_percent": 0}}
    ref = harness.migrate(docs, new, **(QUICK | brakes))
    write(new, delete=tuple(f"doc-{number}" for number in range(8)))
    assert harness.sync(ref).carried == 8
    write(new, delete=tuple(f"doc-{number}" for number in range(8, 12)))
    with pytest.raises(UnsafeRoute, match="4 deletes, and 8 since") as caught:
        harness.sync(ref)
    assert f"vecferry sync {ref.migration} --allow-deletes 4" in caught.value.advice
    assert len(contents(docs)) == 52
    assert harness.sync(ref, allow_deletes=4).carried == 4
    assert contents(docs) == contents(new)
    for first in (12, 20):  # what syncs carried does not count against a rollback, which is a yes of its own
        write(new, delete=tuple(f"doc-{number}" for number in range(first, first + 8)))
        carried = harness.sync(ref).carried if first == 12 else harness.rollback(ref)["deleted"]
        assert carried == 8


@pytest.mark.slow
def test_s17_the_figures_are_a_table_of_their_own_for_each_migration(harness: Harness, docs: str) -> None:
    """Every sync after the switch shows them under the same key, with pause, seconds, rights and where it leads."""
    ref = harness.migrate(docs, f"{docs}-new", **QUICK)
    harness.sync(ref)
    shown = harness.sheets[-1]
    assert shown.key == f"rollback-{ref.migration}"
    words = dict(shown.rows)
    assert words["would serve"] == docs
    assert words["rights of the old store"] == "asked by this sync"
    assert "writes would pause for about" in words
    assert harness.foresee(ref).found.counts.numbers() == figures(harness, ref)["would_be"]


@pytest.mark.slow
def test_s6_a_sync_ends_with_the_way_back_and_waits_for_a_switch_to_be_over(harness: Harness, docs: str) -> None:
    """Under a pause that a failed check holds nothing is carried; nor after the rollback, nor after complete."""
    new = f"{docs}-new"
    ref = harness.start(docs, new, **QUICK)
    run = harness.runner.run

    def failing(found: Any, held: Ref, *args: Any, **kwargs: Any) -> Any:
        return "it does not answer" if found is steps.check_serving else run(found, held, *args, **kwargs)

    harness.runner.run = failing  # type: ignore[method-assign]
    with pytest.raises(UnsafeRoute):
        harness.run(ref)
    harness.runner.run = run  # type: ignore[method-assign]
    write(new, delete=("doc-1",))
    assert "never released" in harness.sync(ref).skipped
    assert "doc-1" in contents(docs)
    harness.rollback(ref)
    assert "ROLLED_BACK" in harness.sync(ref).skipped
    other = harness.migrate(docs, f"{docs}-other", route="other", **QUICK)
    ending.complete(harness.runner, other)
    assert "COMPLETED" in harness.sync(other).skipped


@pytest.mark.slow
def test_s8_rights_that_the_old_store_refuses_are_seen_before_the_pause(
    harness: Harness, docs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is to follow it is asked before the pause: refused, READY, nobody was paused. On hold it is not."""

    def refused(*args: object) -> None:
        raise StoreRefused("no rights to write")

    ref = harness.start(docs, f"{docs}-new", **QUICK)
    monkeypatch.setattr(memory.MemoryStore, "delete", refused)
    with pytest.raises(UnsafeRoute, match="takes no writes") as caught:
        harness.run(ref)
    assert "--reverse hold" in caught.value.advice
    assert harness.migration(ref).state is State.READY
    assert harness.ledger.pauses(ref.migration) == []
    held = harness.migrate(docs, f"{docs}-other", route="other", reverse="hold", **QUICK)
    assert harness.migration(held).state is State.SWITCHED


@pytest.mark.slow
def test_s7_the_form_says_what_becomes_of_the_old_store(harness: Harness, docs: str) -> None:
    """Following is named with its first touch; on hold nothing is written."""
    lines = {}
    for reverse in ("follow", "hold"):
        ref = harness.start(docs, f"{docs}-{reverse}", route=reverse, reverse=reverse, approve="ask")
        harness.run(ref)
        lines[reverse] = "\n".join(harness.forms[-1].lines)
    assert "writes to the old store what the new one received" in lines["follow"]
    assert "the first touch of it" in lines["follow"]
    assert "nothing is written to the old store before a rollback" in lines["hold"]


@pytest.mark.slow
def test_s6_a_rollback_cuts_off_a_sync_that_is_under_way(harness: Harness, docs: str) -> None:
    """The sync stops at its next batch without another write, and the rollback goes on once it has ended."""
    new = f"{docs}-new"
    ref = harness.migrate(docs, new, **QUICK)
    write(new, mixed_batch(3, first=500))
    begun, rolled = threading.Event(), threading.Event()
    caught: list[BaseException] = []
    slow = LocalRunner(lambda form, timeout_s: True, lambda sheet: None)
    run = slow.run

    def held_up(found: Any, held: Ref, *args: Any, **kwargs: Any) -> Any:
        if found is steps.settle_return:
            begun.set()
            while harness.ledger.holder(f"migration:{ref.migration}").token == held.token:  # type: ignore[union-attr]
                assert not rolled.is_set()
        return run(found, held, *args, **kwargs)

    slow.run = held_up  # type: ignore[method-assign]

    def cut_off() -> None:
        try:
            sync(slow, ref)
        except LeaseLost as error:
            caught.append(error)

    thread = threading.Thread(target=cut_off)
    thread.start()
    assert begun.wait(20)
    done = harness.rollback(ref)
    rolled.set()
    thread.join()
    assert len(caught) == 1
    assert done["new"] == 3
    assert harness.migration(ref).state is State.ROLLED_BACK
    assert {"doc-500", "doc-501", "doc-502"} <= contents(docs).keys()
    assert harness.ledger.holder(f"sync:{ref.migration}") is None


@pytest.mark.slow
@pytest.mark.parametrize("point", ["return.written", "delta.batch_written", "return.loaded", "figures.kept"])
def test_s3_a_sync_that_was_killed_is_finished_by_the_next_or_by_a_rollback(
    harness: Harness, tmp_path: Path, point: str
) -> None:
    """What it had written is no late write of anybody, for the next sync as for a rollback."""
    old, new = f"chroma+path://{tmp_path}/old/docs", f"jsonl://{tmp_path}/new.jsonl"
    fill(old, [mixed_batch(40)])
    ref = harness.migrate(old, new, metric="cosine", **QUICK)
    write(new, mixed_batch(3, first=500), delete=("doc-9",))
    assert harness.sync_until_killed(ref, f"{point}=kill") == KILLED
    harness.sync(ref)
    assert figures(harness, ref)["would_be"]["kept"] == 0
    assert harness.records(old).keys() == harness.records(new).keys()
    write(new, mixed_batch(1, first=600))
    assert harness.sync_until_killed(ref, f"{point}=kill") == KILLED
    done = harness.rollback(ref)
    assert done["kept"] == 0
    assert harness.records(old).keys() == harness.records(new).keys()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_s6_syncs_under_an_application_that_writes_lose_nothing(harness: Harness, docs: str, seed: int) -> None:
    """While the new store is written without a rest, syncs follow, and a rollback brings exactly what it holds."""
    new, dice = f"{docs}-new", random.Random(seed)
    loose = {"max_deletes": 1000, "max_changes": 100_000, "absence_wait_s": 0, "driver_timeout_s": 0}
    ref = harness.migrate(docs, new, sync=loose, hooks={"write_timeout_s": 0})
    stop = threading.Event()

    def application() -> None:
        while not stop.is_set():
            name = f"doc-{dice.randrange(80)}"
            if dice.random() < 0.3:
                write(new, delete=(name,))
            else:
                write(new, edited(name, f'{{"n":{dice.randrange(1000)}}}'))

    thread = threading.Thread(target=application)
    thread.start()
    try:
        carried = [harness.sync(ref).carried for _ in range(4)]
    finally:
        stop.set()
        thread.join()
    assert any(carried)
    held = contents(new)
    harness.rollback(ref)
    assert contents(docs) == held
    assert not harness.ledger.deltas(ref.migration, open_only=True)
