"""Complete does not wait for a sync (S1, S6): it cuts off one that is under way, and nothing stays open behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.migrating import Harness, contents, fill, mixed_batch, write
from tests.support.tenants import start
from vecferry.errors import LeaseLost, LockHeld, UnsafeRoute
from vecferry.ledger import Holder, State, migration_resource
from vecferry.operations import ending
from vecferry.operations.sync import sync
from vecferry.strategies import steps
from vecferry.strategies.runner import LocalRunner, Ref

pytestmark = pytest.mark.slow

QUICK = {"sync": {"absence_wait_s": 0, "driver_timeout_s": 0}, "hooks": {"write_timeout_s": 0}}
KILLED = -9


@pytest.fixture
def docs(request: pytest.FixtureRequest) -> str:
    """A source of 60 records in the memory store."""
    url = f"memory:///{request.node.name}"
    fill(url, [mixed_batch(60)])
    return url


def is_held(harness: Harness, held: Ref) -> bool:
    """Whether nobody took this run's migration over."""
    lease = harness.ledger.holder(migration_resource(held.migration))
    return lease is not None and lease.token == held.token


@contextmanager
def sync_under_way(
    harness: Harness, ref: Ref, monkeypatch: pytest.MonkeyPatch, step: Callable[..., Any]
) -> Iterator[list[BaseException]]:
    """A sync in another thread that has come to this step, and goes on once it was cut off; what it raised."""
    begun, over = threading.Event(), threading.Event()
    caught: list[BaseException] = []

    def held_up(held: Ref, *args: Any, **kwargs: Any) -> Any:
        begun.set()
        while is_held(harness, held):
            assert not over.is_set()
        return step(held, *args, **kwargs)

    def run() -> None:
        try:
            sync(LocalRunner(lambda form, timeout_s: True, lambda sheet: None), ref)
        except LeaseLost as error:
            caught.append(error)

    with monkeypatch.context() as patched:
        patched.setattr(steps, step.__name__, held_up)
        thread = threading.Thread(target=run)
        thread.start()
        assert begun.wait(20)
    try:
        yield caught
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("step", [steps.begin_return, steps.settle_return], ids=["reading", "recorded"])
def test_s6_complete_cuts_off_a_sync_and_finishes_what_it_had_recorded(
    harness: Harness, docs: str, monkeypatch: pytest.MonkeyPatch, step: Callable[..., Any]
) -> None:
    """It goes on once the sync has ended. What that had recorded is in the old store, and is not late."""
    new = f"{docs}-new"
    ref = harness.migrate(docs, new, **QUICK)
    write(new, mixed_batch(3, first=500), delete=("doc-9",))
    with sync_under_way(harness, ref, monkeypatch, step) as caught:
        ended = ending.complete(harness.runner, ref)
    assert len(caught) == 1
    assert not ended.late
    assert harness.migration(ref).state is State.COMPLETED
    assert harness.ledger.holder(f"sync:{ref.migration}") is None
    assert not harness.ledger.deltas(ref.migration, open_only=True)
    assert (contents(docs) == contents(new)) is (step is steps.settle_return)


def test_s6_no_sync_holds_a_workspace_that_is_switched(harness: Harness, old: str, new: str) -> None:
    """What it received goes back by a rollback alone, so that `complete` of all of them meets no sync."""
    ref = start(harness, old, new)
    harness.run(ref)
    trail = [len(harness.ledger.audit(one.child)) for one in harness.ledger.workspaces(ref.migration)]
    assert harness.sync(ref).carried == 0
    assert [len(harness.ledger.audit(one.child)) for one in harness.ledger.workspaces(ref.migration)] == trail


@pytest.mark.parametrize("point", ["delta.batch_written", "return.loaded"])
def test_s3_complete_finishes_a_sync_that_was_killed(harness: Harness, point: str) -> None:
    """What it had written is no late record of anybody."""
    old, new = f"chroma+path://{harness.folder}/old/docs", f"jsonl://{harness.folder}/new.jsonl"
    fill(old, [mixed_batch(40)])
    ref = harness.migrate(old, new, metric="cosine", **QUICK)
    write(new, mixed_batch(3, first=500), delete=("doc-9",))
    assert harness.sync_until_killed(ref, f"{point}=kill") == KILLED
    assert not ending.complete(harness.runner, ref).late
    assert harness.records(old).keys() == harness.records(new).keys()
    assert harness.migration(ref).state is State.COMPLETED


def test_s22_what_a_brake_holds_stays_open_and_complete_says_so(
    harness: Harness, docs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More deletes than a sync may carry unasked are no more carried by complete; the migration stays SWITCHED."""
    new = f"{docs}-new"
    brakes = {"sync": QUICK["sync"] | {"max_deletes": 2, "max_delete_percent": 0}}
    ref = harness.migrate(docs, new, **(QUICK | brakes))
    write(new, mixed_batch(1, first=500))
    with sync_under_way(harness, ref, monkeypatch, steps.settle_return):
        write(new, delete=("doc-1", "doc-2", "doc-3"))
        with pytest.raises(UnsafeRoute, match="3 deletes") as caught:
            ending.complete(harness.runner, ref)
    assert "vecferry sync" in caught.value.advice
    assert harness.migration(ref).state is State.SWITCHED
    harness.sync(ref, allow_deletes=3)
    ending.complete(harness.runner, ref)
    assert contents(docs) == contents(new)


def test_s1_complete_cuts_off_no_other_run(harness: Harness, docs: str) -> None:
    """A rollback that is at work is not cut off."""
    ref = harness.migrate(docs, f"{docs}-new", **QUICK)
    lease = harness.ledger.acquire([migration_resource(ref.migration)], Holder.here(), ttl_s=60)
    with pytest.raises(LockHeld):
        ending.complete(harness.runner, ref)
    harness.ledger.release(lease)
