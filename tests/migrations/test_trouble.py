"""What goes wrong around a switch and a way back: each ends in a stated state, writes open, with one clear message."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.migrating import Harness, contents, fill, mixed_batch, write
from tests.support.qdrant_server import QdrantServer
from vecferry.errors import StoreRefused, UnsafeRoute
from vecferry.ledger import State
from vecferry.operations import ending
from vecferry.strategies.runner import ApprovalForm

QUICK = {"sync": {"absence_wait_s": 0}, "hooks": {"write_timeout_s": 0}}


@pytest.fixture
def docs(request: pytest.FixtureRequest) -> str:
    """A source of 60 records that its application may write."""
    url = f"memory:///{request.node.name}"
    fill(url, [mixed_batch(60)])
    return url


def test_a_key_that_expired_while_the_approval_waited_stops_before_the_pause(
    harness: Harness, docs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is paused or switched, the refusal is told, and with the new key the same question goes on."""
    monkeypatch.setenv("NEW_KEY", "of yesterday")
    with QdrantServer(tmp_path / "qdrant", "of yesterday") as server:
        url = f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}"
        target = {"url": url, "api_key": {"env": "NEW_KEY"}}
        ref = harness.start(docs, target, approve="ask", **QUICK)

        def yes_after_the_key_changed(form: ApprovalForm, timeout_s: float) -> bool:
            server.stop()
            server.api_key = "of today"
            server.start()
            return True

        monkeypatch.setattr(harness.runner, "approve", yes_after_the_key_changed)
        with pytest.raises(StoreRefused, match="API key"):
            harness.run(ref)
        assert harness.migration(ref).state is State.READY
        assert harness.released(ref)
        assert harness.route(ref).url == docs
        monkeypatch.setenv("NEW_KEY", "of today")
        harness.run(ref)
        assert harness.migration(ref).state is State.SWITCHED


def test_two_switches_at_once_are_one(harness: Harness, docs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one run waits for its answer another one switches; the first then finds it done."""
    ref = harness.start(docs, f"{docs}-new", approve="ask", **QUICK)
    other = Harness(harness.folder)

    def yes_after_another_run_switched(form: ApprovalForm, timeout_s: float) -> bool:
        other.run(ref)
        return True

    monkeypatch.setattr(harness.runner, "approve", yes_after_another_run_switched)
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.route(ref).epoch == 2
    assert harness.released(ref)
    harness.ledger.verify_audit()


@pytest.mark.slow
def test_s17_a_full_disk_under_the_look_back_leaves_the_new_store_serving(harness: Harness, tmp_path: Path) -> None:
    """There is no room for what is read of both stores: stopped before anything was written or paused."""
    old, new = f"jsonl://{tmp_path}/old.jsonl", f"qdrant+edge://{tmp_path}/edge/docs"
    fill(old, [mixed_batch(300)])
    ref = harness.migrate(old, new, **QUICK)
    before = (tmp_path / "old.jsonl").read_bytes()
    assert harness.roll_back_with_small_files(ref, 1 << 10) == 3
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.released(ref)
    assert (tmp_path / "old.jsonl").read_bytes() == before
    harness.rollback(ref)
    assert harness.migration(ref).state is State.ROLLED_BACK


@pytest.mark.slow
def test_an_archive_that_lost_its_manifest_stops_a_rollback(harness: Harness, docs: str, tmp_path: Path) -> None:
    """Nobody knows any more what changed: the new store goes on to serve, and putting the archive back is enough."""
    ref = harness.migrate(docs, f"{docs}-new", archive=str(tmp_path / "kept"), **QUICK)
    write(f"{docs}-new", mixed_batch(1, first=5000))
    shutil.move(tmp_path / "kept", tmp_path / "away")
    with pytest.raises(UnsafeRoute, match="archive of the migration is gone"):
        harness.rollback(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.released(ref)
    shutil.move(tmp_path / "away", tmp_path / "kept")
    harness.rollback(ref)
    assert "doc-5000" in contents(docs)


def test_a_completed_migration_has_no_way_back(harness: Harness, docs: str) -> None:
    """It is refused with what can be done, and nothing changes."""
    ref = harness.migrate(docs, f"{docs}-new", **QUICK)
    ending.complete(harness.runner, ref)
    with pytest.raises(UnsafeRoute, match="COMPLETED; only a SWITCHED one"):
        harness.rollback(ref)
    assert harness.migration(ref).state is State.COMPLETED
    assert harness.route(ref).url == f"{docs}-new"
