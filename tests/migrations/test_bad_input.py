"""Bad input and a bad world: one clear error that says what to do, nothing half-written taken for whole."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from tests.support.migrating import Harness, contents, fill, mixed_batch
from tests.support.qdrant_server import QdrantServer
from vecferry import address
from vecferry.errors import (
    ArchiveDamaged,
    BadOption,
    BadRecord,
    ConfigError,
    DataDiffer,
    DataError,
    LockHeld,
    RetryLater,
    StoreRefused,
    UnsafeRoute,
    VecferryError,
)
from vecferry.ledger import Holder, State, migration_resource
from vecferry.operations import ending
from vecferry.stores import registry
from vecferry.strategies import steps


@pytest.fixture
def docs(request: pytest.FixtureRequest) -> str:
    """A source of 300 records."""
    url = f"memory:///{request.node.name}"
    fill(url, [mixed_batch(300)])
    return url


def test_an_unreachable_server_is_a_fault_that_may_pass(harness: Harness, docs: str) -> None:
    """Nobody listens: the run stops with exit code 3 and names the address."""
    with pytest.raises(RetryLater, match=r"127\.0\.0\.1") as caught:
        harness.migrate(docs, "qdrant://127.0.0.1:9/docs?rest_port=9")
    assert caught.value.exit_code == 3


def test_a_server_that_comes_back_is_used_without_a_word(harness: Harness, docs: str, tmp_path: Path) -> None:
    """Calls that fail for a while are made again; the verdict is same."""
    with QdrantServer(tmp_path / "qdrant") as server:
        target = f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}"
        server.faults.fail("upsert", times=2)
        ref = harness.migrate(docs, target, retry_budget_s=30)
        assert harness.migration(ref).state is State.SWITCHED


def test_a_wrong_key_is_refused_and_named(
    harness: Harness, docs: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error speaks of the key, is not retried, and does not show the key."""
    monkeypatch.setenv("WRONG_KEY", "not-the-key")
    with QdrantServer(tmp_path / "qdrant", api_key="the-key") as server:
        url = f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}"
        with pytest.raises(StoreRefused, match="key") as caught:
            harness.migrate(docs, {"url": url, "api_key": {"env": "WRONG_KEY"}}, retry_budget_s=30)
    assert "not-the-key" not in str(caught.value) + caught.value.advice


def test_a_secret_in_a_url_is_refused(harness: Harness, docs: str) -> None:
    """A key written into the URL would stand in logs: BadOption says where it belongs."""
    with pytest.raises(BadOption, match="secret"):
        harness.migrate(docs, "qdrant://127.0.0.1:6334/docs?api_key=abc")


@pytest.mark.slow
def test_a_source_server_sees_no_write(harness: Harness, tmp_path: Path) -> None:
    """Migrating from a server leaves nothing but reads in its log; a rollback asks once whether it may write."""
    with QdrantServer(tmp_path / "qdrant") as server:
        base = f"qdrant://127.0.0.1:{server.grpc_port}"
        source = f"{base}/docs?rest_port={server.rest_port}"
        harness.migrate(fill_new("memory:///for-server"), source, route="first")
        server.requests.clear()
        ref = harness.migrate(source, "memory:///from-server", route="second", reverse="hold")
        assert list(server.requests)
        assert not server.requests.writes("docs")
        before = contents(source)
        harness.rollback(ref)
        assert [request.method for request in server.requests.writes("docs")] == ["delete_points"]
        assert contents(source) == before


def fill_new(url: str) -> str:
    """A filled collection."""
    fill(url, [mixed_batch(120)])
    return url


def test_one_row_of_another_dimension_is_named(harness: Harness, tmp_path: Path) -> None:
    """A line with three numbers among lines with two is an error with its line number; no target appears."""
    points = tmp_path / "points.jsonl"
    lines = [f'{{"id": {number}, "vector": [1.0, 2.0], "payload": {{}}}}' for number in range(5)]
    lines[3] = '{"id": 3, "vector": [1.0, 2.0, 3.0], "payload": {}}'
    points.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=r"4|id 3"):
        harness.migrate(f"jsonl://{points}", f"qdrant+edge://{tmp_path}/edge/docs", metric="cosine")
    assert not (tmp_path / "edge" / "docs").exists()


def test_an_unreadable_payload_is_named(harness: Harness, tmp_path: Path) -> None:
    """Broken JSON is an error with the file and line."""
    points = tmp_path / "points.jsonl"
    points.write_text('{"id": 1, "vector": [1.0], "payload": {}}\n{"id": 2, "vector": [1.0], "payload": {"a": }}\n')
    with pytest.raises(BadRecord, match=r"points\.jsonl.*2"):
        harness.migrate(f"jsonl://{points}", f"qdrant+edge://{tmp_path}/edge/docs", metric="cosine")


def test_a_full_disk_stops_the_run_and_resume_goes_on(harness: Harness, tmp_path: Path) -> None:
    """No room for a part: exit code 3, no half file is taken for a part, and the resumed run ends SWITCHED."""
    source = f"jsonl://{tmp_path}/source.jsonl"
    fill(source, [mixed_batch(300)])
    ref = harness.start(source, f"qdrant+edge://{tmp_path}/edge/docs")
    assert harness.run_with_small_files(ref, 8 << 10) == 3
    assert harness.migration(ref).state in (State.PLANNED, State.COPYING)
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED


def test_two_runs_of_one_migration_exclude_each_other(harness: Harness, docs: str) -> None:
    """While one run holds the lease, another one is told who holds it."""
    ref = harness.start(docs, f"{docs}-new")
    lease = harness.ledger.acquire([migration_resource(ref.migration)], Holder.here(), ttl_s=60)
    with pytest.raises(LockHeld):
        harness.run(ref)
    harness.ledger.release(lease)
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED


def test_an_aborted_run_stops_at_its_next_batch(harness: Harness, docs: str) -> None:
    """Abort fences the run that is working: it may not record another slice."""
    ref = harness.start(docs, f"{docs}-new", slice_rows=50)
    run_map = harness.runner.map

    def abort_first(step, held, numbers, workers):  # type: ignore[no-untyped-def]
        if step is steps.copy_slice:
            ending.abort(harness.ledger, ref.migration)
        return run_map(step, held, numbers, workers)

    harness.runner.map = abort_first  # type: ignore[method-assign]
    with pytest.raises(VecferryError):
        harness.run(ref)
    assert harness.migration(ref).state is State.ABORTED
    with pytest.raises(UnsafeRoute, match="cannot go on"):
        harness.run(ref)


@pytest.mark.slow
def test_discard_drops_only_what_no_route_names(harness: Harness, docs: str) -> None:
    """A target that serves is kept; after the rollback it can be discarded, once."""
    target = f"{docs}-new"
    ref = harness.migrate(docs, target)
    with pytest.raises(UnsafeRoute):
        ending.discard(harness.runner, ref)
    harness.rollback(ref)
    assert ending.discard(harness.runner, ref).dropped == target
    with registry.open_target(address.parse(target)) as store:
        assert not store.exists()
    with pytest.raises(ConfigError):
        ending.discard(harness.runner, ref)


def test_a_changed_part_of_the_archive_is_seen(harness: Harness, docs: str, tmp_path: Path) -> None:
    """One flipped byte in a part stops the load; nothing of that part is taken for whole."""
    ref = harness.start(docs, f"{docs}-new", archive=str(tmp_path / "archive"))
    run_map = harness.runner.map

    def damage_then(step, held, numbers, workers):  # type: ignore[no-untyped-def]
        if step is steps.validate_slice:
            part = next((tmp_path / "archive").rglob("parts/*.parquet"))
            content = bytearray(part.read_bytes())
            content[len(content) // 3] ^= 1
            part.write_bytes(content)
        return run_map(step, held, numbers, workers)

    harness.runner.map = damage_then  # type: ignore[method-assign]
    with pytest.raises(ArchiveDamaged):
        harness.run(ref)


def test_a_pickled_numpy_file_is_never_loaded(harness: Harness, tmp_path: Path) -> None:
    """An object array, which only pickle can read, is refused."""
    np.save(tmp_path / "vectors.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(VecferryError, match=r"object|pickle"):
        harness.migrate(f"numpy://{tmp_path}/vectors.npy", "memory:///pickled", metric="cosine")


@pytest.mark.slow
def test_slices_are_copied_by_several_threads(harness: Harness, docs: str) -> None:
    """Two workers copy at the same time, and every record still arrives once."""
    names: set[str] = set()
    ref = harness.start(docs, f"{docs}-new", slice_rows=20, workers=2)
    run_map = harness.runner.map

    def watch(step, held, numbers, workers):  # type: ignore[no-untyped-def]
        def named(inner, number):  # type: ignore[no-untyped-def]
            names.add(threading.current_thread().name)
            return step(inner, number)

        return run_map(named, held, numbers, workers)

    harness.runner.map = watch  # type: ignore[method-assign]
    harness.run(ref)
    assert len(contents(f"{docs}-new")) == 300
    assert len(names) > 1


@pytest.mark.slow
def test_a_relative_place_means_the_same_from_every_folder(
    harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started in one folder, rolled back from another: the ledger holds absolute places."""
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    fill("jsonl:points.jsonl", [mixed_batch(20)])
    ref = harness.migrate("jsonl:points.jsonl", "qdrant+edge:edge/docs", archive="archive")
    monkeypatch.chdir(tmp_path / "elsewhere")
    harness.run(ref)
    harness.rollback(ref)
    assert harness.route(ref).url == f"jsonl://{tmp_path}/here/points.jsonl"
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.slow
def test_a_target_that_was_dropped_before_the_end_is_filled_anew(harness: Harness, tmp_path: Path) -> None:
    """Slices that were loaded into a target that is gone are loaded again; nothing is taken for done."""
    source, target = f"jsonl://{tmp_path}/source.jsonl", f"qdrant+edge://{tmp_path}/edge/docs"
    fill(source, [mixed_batch(300)])
    ref = harness.start(source, target, slice_rows=60)
    assert harness.run_until_killed(ref, "copy.slice_recorded=kill@3") == -9
    with registry.open_target(address.parse(target)) as store:
        store.drop()
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert len(contents(target)) == 300


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("numpy:///data/vectors.npy", "vectors"),
        ("qdrant://127.0.0.1:6334/v1.0", "v1.0"),
        ("qdrant+edge:///data/my%20docs", "my docs"),
        ("jsonl:///data/dump.v2.jsonl", "dump.v2"),
    ],
)
def test_the_route_is_named_like_the_source(harness: Harness, url: str, name: str) -> None:
    """The logical name is the collection's own; a file's without its ending."""
    ref = harness.start(url, "memory:///named")
    assert harness.migration(ref).route == name


def test_a_source_that_grows_under_an_export_is_told(harness: Harness, docs: str, tmp_path: Path) -> None:
    """An export that holds another number of records than the inventory counted is not called whole."""
    ref = harness.start(docs, f"archive://{tmp_path}/archive/docs", "export", archive=str(tmp_path / "archive"))
    run_map = harness.runner.map

    def grow_first(step, held, numbers, workers):  # type: ignore[no-untyped-def]
        with registry.open_target(address.parse(docs)) as store:
            store.write(mixed_batch(2, first=8000))
        return run_map(step, held, numbers, workers)

    harness.runner.map = grow_first  # type: ignore[method-assign]
    with pytest.raises(DataDiffer, match="300 records were counted, 302 were exported"):
        harness.run(ref)
