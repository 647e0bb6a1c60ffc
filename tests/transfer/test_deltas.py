"""A delta on its way: nothing is deleted that is there, and nothing is closed that did not arrive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.support.migrating import mixed_batch, schema
from tests.transfer.support import archived, limits, memory, name, one
from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive import Archive, DeltaRows
from vecferry.archive.delta_rows import Before
from vecferry.contract import Target
from vecferry.errors import BadRecord, DataDiffer, RetryLater
from vecferry.idtable import IdTable
from vecferry.mapping import Mapping, Profiler, Rules, decide
from vecferry.model import IdKind, RecordId
from vecferry.testing.rows import rows_of
from vecferry.transfer.delta_making import Absence, Made, Making, make_delta
from vecferry.transfer.deltas import Loaded, load_delta, read_back_delta, require_untouched
from vecferry.transfer.differences import compare, read_candidates
from vecferry.transfer.known import KnownState
from vecferry.transfer.passes import begin_spool, spool_slice
from vecferry.transfer.ways import Forward, Reverse
from vecferry.validation.same_parts import same_parts

ROWS = 40
AT_ONCE = Absence()


class Bench:
    """A source, its archive, and a target that holds the same."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.source = memory([mixed_batch(ROWS)])
        self.archive, _ = archived(folder / "archive", self.source)
        profiler = Profiler()
        profiler.observe(mixed_batch(ROWS))
        both = self.source.capabilities()
        self.mapping: Mapping = decide(self.source.describe(), profiler.profile(), both, both, Rules())
        self.target = memory([mixed_batch(ROWS)])
        self.passes = 0

    def candidates(self) -> list[pa.RecordBatch]:
        """What a pass over the source finds."""
        self.passes += 1
        spool = begin_spool(self.source, self.folder / f"pass-{self.passes}", 100, 1, 0.0)
        for part in spool.view.slices:
            spool_slice(self.source, part.number, spool, limits())
        compare(spool, KnownState(self.archive, self.mapping.forward), self.source.count(), 64)
        return list(read_candidates(spool, 100))

    def make(self, candidates: list[pa.RecordBatch], absence: Absence = AT_ONCE) -> Made:
        """The delta 1 of these."""
        making = Making(self.mapping, schema().vectors, self.target.url, takes_nonfinite=False, absence=absence)
        return make_delta(self.source, candidates, self.archive, 1, making, limits())[1]

    def load(self, store: Target | None = None) -> Loaded:
        """Write it."""
        return load_delta(self.archive, 1, self.way, store or self.target, limits(None, 5.0))

    def read_back(self) -> None:
        """Compare it."""
        read_back_delta(self.archive, 1, self.way, self.target, same_parts({}), limits())

    @property
    def way(self) -> Forward:
        """Into the target."""
        return Forward(self.mapping)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Source and target, equal."""
    return Bench(tmp_path)


def contents(store: Target) -> dict[RecordId, object]:
    """Every record of a store."""
    return dict(rows_of([batch for part in store.slices(1) for batch in store.read(part)]))


def change(store: Target) -> None:
    """A record of each kind."""
    store.write(one(3, document="changed"))
    store.write(mixed_batch(2, first=ROWS))
    store.delete(columns.ids_batch([name(5), name(6)]))


def test_what_changed_is_carried_over(bench: Bench) -> None:
    """S3, S4: new, changed and deleted records are in the target, and read back equal."""
    change(bench.source)
    assert bench.make(bench.candidates()) == Made(new=2, changed=1, gone=2)
    assert bench.load() == Loaded(3, 2)
    bench.read_back()
    assert contents(bench.target) == contents(bench.source)


def test_loading_twice_changes_nothing(bench: Bench) -> None:
    """S3: a delta that a crash left half loaded is loaded again."""
    change(bench.source)
    bench.make(bench.candidates())
    bench.target.write(one(3, document="changed"))
    bench.load()
    bench.load()
    bench.read_back()
    assert contents(bench.target) == contents(bench.source)


def test_a_record_that_came_back_is_not_deleted(bench: Bench) -> None:
    """S5: it is asked for twice; what is there by the second read is left alone, or carried over as it is now."""
    bench.source.delete(columns.ids_batch([name(5), name(6), name(7)]))
    candidates = bench.candidates()

    def meanwhile() -> None:
        bench.source.write(one(5))
        bench.source.write(one(6, document="another"))

    made = bench.make(candidates, Absence(meanwhile))
    assert made == Made(changed=1, gone=1, equal=1)
    bench.load()
    bench.read_back()
    assert contents(bench.target) == contents(bench.source)


def test_a_record_that_the_scan_missed_is_not_deleted(bench: Bench) -> None:
    """S5: candidates are only that; a point read finds the record, so nothing happens to it."""
    bench.source.delete(columns.ids_batch([name(5)]))
    candidates = bench.candidates()
    bench.source.write(one(5))
    assert bench.make(candidates) == Made(equal=1)


def test_noise_of_a_store_is_no_change(bench: Bench) -> None:
    """S4: in a store that does not return the same bits twice, within tolerance is the same, and counted."""
    vector = columns.dense_column(one(3)).values[0]
    bench.source.write(one(3, vector=(vector * np.float32(1 + 1e-6)).tolist()))
    bench.source.write(one(4, vector=(columns.dense_column(one(4)).values[0] * np.float32(1.01)).tolist()))
    noisy = Reverse(schema(), replace(bench.source.capabilities(), returns_same_bits=False))
    candidates = bench.candidates()
    making = Making(bench.mapping, schema().vectors, "", True, noise=same_parts(noisy.tolerances))
    _, made = make_delta(bench.source, candidates, bench.archive, 1, making, limits())
    assert made == Made(changed=1, within_tolerance=1)


def test_absence_is_asked_for_twice(bench: Bench) -> None:
    """S5: between the two reads there is the waiting that was asked for, once for all."""
    bench.source.delete(columns.ids_batch([name(5), name(6)]))
    waits: list[int] = []
    assert bench.make(bench.candidates(), Absence(partial(waits.append, 1))).gone == 2
    assert waits == [1]


def test_a_delete_that_may_be_half_an_update_waits_for_the_next_pass(bench: Bench) -> None:
    """S5: while the new store serves reads, only what an earlier pass had found gone as well is deleted."""
    bench.source.delete(columns.ids_batch([name(5), name(6)]))
    candidates = bench.candidates()
    earlier = IdTable([sealing.hash_ids(columns.ids_batch([name(6)]))])
    assert bench.make(candidates, Absence(before=earlier)) == Made(gone=1, waiting=1)
    assert bench.make(candidates, Absence(before=IdTable([]))) == Made(waiting=2)


def test_a_record_that_was_new_and_is_gone_again_is_nothing(bench: Bench) -> None:
    """What was never carried over needs no tombstone."""
    bench.source.write(mixed_batch(1, first=ROWS))
    candidates = bench.candidates()
    bench.source.delete(columns.ids_batch([name(ROWS)]))
    assert bench.make(candidates) == Made(unknown=1)


def test_what_the_plan_does_not_cover_stops_before_anything_is_written(bench: Bench) -> None:
    """A record of a kind that the target cannot take is named while there is no delta yet."""
    bad = one(3, vector=[float("nan")] * 8)
    bench.source.write(bad)
    with pytest.raises(BadRecord, match="doc-3"):
        bench.make(bench.candidates())
    assert bench.archive.storage.size("deltas/00001.parquet") is None


def test_a_recorded_link_wins_over_the_mapping(bench: Bench) -> None:
    """S2: a record goes to where it is, whatever the mapping would give now."""
    bench.source.write(one(3, document="changed"))
    (candidates,) = bench.candidates()
    elsewhere = columns.make(["somewhere-else"], IdKind.STRING)
    at = candidates.schema.get_field_index("target_id")
    moved = candidates.set_column(at, candidates.schema.field(at), elsewhere.column("id"))
    bench.make([moved])
    bench.load()
    bench.read_back()
    assert bench.target.fetch(elsewhere).column("document").to_pylist() == ["changed"]
    assert bench.target.fetch(columns.ids_batch([name(3)])).column("document").to_pylist() != ["changed"]


SPOILED: dict[str, tuple[Callable[[Target], None], str]] = {
    "a record is missing": (lambda store: store.delete(columns.ids_batch([name(3)])), r"'doc-3' \(missing\)"),
    "a document differs": (lambda store: store.write(one(3, document="x")), r"'doc-3' \(document\)"),
    "a deleted record is there": (lambda store: store.write(one(5)), "still holds 1 records.*'doc-5'"),
}


@pytest.mark.parametrize("what", SPOILED)
def test_what_did_not_arrive_is_named_and_leaves_the_delta_open(bench: Bench, what: str) -> None:
    """S3: nothing is closed that was not read back as it was written."""
    spoil, words = SPOILED[what]
    change(bench.source)
    bench.make(bench.candidates())
    bench.load()
    spoil(bench.target)
    with pytest.raises(DataDiffer, match=words):
        bench.read_back()
    assert bench.archive.storage.size("deltas/00001.hashes.parquet") is None


class Stuttering:
    """A store whose first write takes effect and is not acknowledged."""

    def __init__(self, inner: Target) -> None:
        self._inner, self.calls = inner, 0

    def __getattr__(self, method: str) -> object:
        return getattr(self._inner, method)

    def write(self, batch: pa.RecordBatch) -> None:
        """Done, and lost."""
        self._inner.write(batch)
        self.calls += 1
        if self.calls == 1:
            raise RetryLater("the connection was lost")


def test_a_call_of_unknown_fate_is_told(bench: Bench) -> None:
    """S3: who closes the delta has to wait until that call can take no effect any more."""
    change(bench.source)
    bench.make(bench.candidates())
    assert bench.load(Stuttering(bench.target)).unknown_fate  # type: ignore[arg-type]
    assert not bench.load().unknown_fate


def guard(bench: Bench) -> None:
    """Look whether the target is as this migration left it."""
    look = partial(require_untouched, bench.target, bench.way, same_parts({}), 0.0)
    load_delta(bench.archive, 1, bench.way, bench.target, limits(), look)


def test_a_target_that_serves_reads_is_looked_at_before_it_is_overwritten(bench: Bench) -> None:
    """S15: what stands there is what was known, or what is wanted already; both are ours."""
    change(bench.source)
    bench.make(bench.candidates())
    bench.target.write(one(3, document="changed"))
    bench.target.delete(columns.ids_batch([name(5)]))
    guard(bench)
    bench.read_back()


FOREIGN: dict[str, Callable[[Target], None]] = {
    "somebody changed it": lambda store: store.write(one(3, document="mine")),
    "somebody made it": lambda store: store.write(one(ROWS)),
    "somebody changed what is to be deleted": lambda store: store.write(one(5, document="mine")),
    "somebody deleted it": lambda store: store.delete(columns.ids_batch([name(3)])),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_write_of_somebody_else_is_never_overwritten_unseen(bench: Bench, what: str) -> None:
    """S15: it is named, and nothing of that batch is written."""
    change(bench.source)
    bench.make(bench.candidates())
    FOREIGN[what](bench.target)
    before = contents(bench.target)
    with pytest.raises(DataDiffer, match="written by somebody else"):
        guard(bench)
    assert contents(bench.target) == before


def reverse_delta(archive: Archive, records: pa.RecordBatch, kept: pa.Array | None = None) -> None:
    """A delta of records that came from the target, whose hashes there are all ones."""
    hashes = columns.fixed_binary_array(np.ones((records.num_rows, 48), dtype=np.uint8))
    none = pa.nulls(records.num_rows, pa.binary(48))
    before = Before(records.column("id"), records.column("id_kind"), none, none)
    archive.write_delta(1, schema().vectors, [DeltaRows.upserts(0, records, before, hashes, kept)])


def test_a_reverse_delta_goes_into_the_old_store(bench: Bench) -> None:
    """S16: records of the new store are written to the old one, read back there, and both hashes recorded."""
    records = pa.concat_batches([one(3, document="newer"), mixed_batch(1, first=ROWS)])
    reverse_delta(bench.archive, records)
    way = Reverse(schema(), bench.source.capabilities())
    assert load_delta(bench.archive, 1, way, bench.source, limits()) == Loaded(2, 0)
    read_back_delta(bench.archive, 1, way, bench.source, same_parts(way.tolerances), limits())
    (found,) = bench.archive.read_delta_hashes(1)
    assert found.column("found_hash").to_pylist() == sealing.seal(records).column("source_hash").to_pylist()
    assert set(found.column("target_hash").to_pylist()) == {b"\1" * 48}
    assert contents(bench.source)[name(3)].document == "newer"  # type: ignore[attr-defined]


def test_a_part_in_which_the_old_store_is_ahead_keeps_its_known_hash(bench: Bench) -> None:
    """S16: a late write beside a part that was taken over is still a late write afterwards."""
    records = one(3, document="newer")
    kept = np.zeros((1, 48), dtype=np.uint8)
    kept[:, 16:32] = 7
    reverse_delta(bench.archive, records, columns.fixed_binary_array(kept))
    way = Reverse(schema(), bench.source.capabilities())
    load_delta(bench.archive, 1, way, bench.source, limits())
    read_back_delta(bench.archive, 1, way, bench.source, same_parts({}), limits())
    (found,) = bench.archive.read_delta_hashes(1)
    recorded, sealed = found.column("found_hash")[0].as_py(), sealing.seal(records).column("source_hash")[0].as_py()
    assert recorded == sealed[:16] + b"\7" * 16 + sealed[32:]
