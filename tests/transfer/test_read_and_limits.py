"""Reading the slices of a plan, the first rows of a trial, and the check of free space."""

from __future__ import annotations

import shutil
from collections import namedtuple
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.support.migrating import mixed_batch
from tests.transfer.support import SCHEMA, memory
from vecferry import address, plain
from vecferry.errors import Stopped
from vecferry.mapping import Profiler, Rules, decide
from vecferry.model import IDS_ONLY, Slice
from vecferry.stores import memory as memory_store
from vecferry.transfer import space
from vecferry.transfer.plan import MAX_SLICES, Plan, cut, limited
from vecferry.transfer.read import read_slice

ROWS = 200
STORE = memory([mixed_batch(ROWS)])


def ids(slices: tuple[Slice, ...], batch_rows: int) -> list[str]:
    return [
        text
        for part in slices
        for batch in read_slice(STORE, part, IDS_ONLY, batch_rows)
        for text in batch.column("id").to_pylist()
    ]


@settings(deadline=None, max_examples=examples(40))
@given(limit=st.integers(1, ROWS + 20), slices=st.integers(1, 5), batch_rows=st.integers(1, ROWS))
def test_a_trial_reads_the_first_rows_of_all_slices_in_their_order(limit: int, slices: int, batch_rows: int) -> None:
    """However the slices and batches are cut, exactly the first rows come, and the stored plan reads the same."""
    parts = tuple(STORE.slices(slices))
    everything = ids(parts, 50)
    trial = limited(parts, limit)
    assert ids(trial, batch_rows) == everything[:limit]
    stored = plain.from_plain(Slice, plain.to_plain(trial[0]))
    assert ids((stored,), batch_rows) == everything[:limit]


def test_a_trial_reads_no_batch_more_than_it_needs() -> None:
    """Ten rows of a large source cost one batch, not the source."""
    opened = []

    class Counting(memory_store.MemoryStore):
        def read(self, *arguments, **options):  # type: ignore[no-untyped-def]
            for batch in super().read(*arguments, **options):
                opened.append(batch.num_rows)
                yield batch

    store = Counting(STORE.url, address.parse(STORE.url).collection())
    (trial,) = limited(tuple(store.slices(4)), 20)
    assert sum(batch.num_rows for batch in read_slice(store, trial, IDS_ONLY, 10)) == 20
    assert sum(opened) == 20


def test_a_plan_has_enough_slices_for_its_workers_and_never_too_many() -> None:
    """Slices follow the rows wanted in each, keep all workers busy, and stay below what a flow run bears."""
    assert len(cut(STORE, 1_000_000, 100_000, workers=2)) == 10
    assert len(cut(STORE, 40_000, 100_000, workers=4)) == 8
    assert len(cut(STORE, 100, 100_000, workers=4)) == 1
    assert len(cut(STORE, 0, 100_000, workers=4)) == 1
    assert len(cut(STORE, 10**9, 100_000, workers=4)) == MAX_SLICES


# Space


@pytest.fixture(scope="module")
def plan() -> Plan:
    profiler = Profiler()
    profiler.observe(mixed_batch(100))
    exact = memory_store.open_target(address.parse("memory:///x")).capabilities()
    mapping = decide(SCHEMA, profiler.profile(), exact, exact, Rules())
    return Plan(SCHEMA, mapping, 1_000_000, "", ())


def disk(monkeypatch: pytest.MonkeyPatch, free_bytes: int) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2 * free_bytes, free_bytes, free_bytes))


def profile_of(batch: pa.RecordBatch):  # type: ignore[no-untyped-def]
    profiler = Profiler()
    profiler.observe(batch)
    return profiler.profile()


SERVER = address.parse("qdrant://127.0.0.1:6334/docs")


def test_a_disk_that_is_too_small_stops_the_run_before_it_starts(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says which disk, how much is free and how much is needed."""
    needed = space.estimate_bytes(plan.schema, plan.rows, profile_of(mixed_batch(100)).payload.size_bytes)
    assert needed > plan.rows * 8 * 4
    disk(monkeypatch, needed // 2)
    with pytest.raises(Stopped, match="GB free, about") as raised:
        space.require(plan, profile_of(mixed_batch(100)), tmp_path / "not" / "yet" / "there", SERVER)
    assert str(tmp_path) in str(raised.value)
    assert "--archive" in raised.value.advice


def test_a_disk_with_room_is_enough_for_the_archive_and_not_for_a_target_beside_it(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target in a folder of the same disk counts as well; one on a server does not."""
    profile = profile_of(mixed_batch(100))
    needed = space.estimate_bytes(plan.schema, plan.rows, profile.payload.size_bytes)
    disk(monkeypatch, int(needed * 1.5) + (64 << 20))
    space.require(plan, profile, tmp_path, SERVER)
    with pytest.raises(Stopped):
        space.require(plan, profile, tmp_path, address.parse(f"qdrant+edge://{tmp_path}/edge/docs"))


def test_the_copies_of_a_source_made_of_files_need_room_as_well(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup stands beside the archive, on the same disk."""
    profile = profile_of(mixed_batch(100))
    needed = space.estimate_bytes(plan.schema, plan.rows, profile.payload.size_bytes)
    disk(monkeypatch, int(needed * 1.5) + (64 << 20))
    space.require(plan, profile, tmp_path, SERVER, backup_bytes=needed // 4)
    with pytest.raises(Stopped):
        space.require(plan, profile, tmp_path, SERVER, backup_bytes=needed)
