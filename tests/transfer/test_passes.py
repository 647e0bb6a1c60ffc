"""A pass: what is laid aside is whole or not there, and it is the collection that was planned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tests.support.migrating import mixed_batch, schema
from tests.transfer.support import limits, memory
from vecferry import sealing
from vecferry.contract import Target
from vecferry.errors import DataDiffer, RetryLater, Stopped
from vecferry.model import DType, Metric, VectorField
from vecferry.transfer import fence
from vecferry.transfer.pace import Pace
from vecferry.transfer.passes import begin_spool, open_spool, require_same_collection, require_unmoved, spool_slice

ROWS = 90


class Interrupted:
    """A store that goes away in the middle of its first read."""

    def __init__(self, inner: Target) -> None:
        self._inner, self.reads = inner, 0
        self.url = inner.url

    def read(self, *args: object, **options: object) -> Iterator[pa.RecordBatch]:
        """Half of it, then nothing; all of it from then on."""
        self.reads += 1
        batches = list(self._inner.read(*args, **options))  # type: ignore[arg-type]
        yield batches[0]
        if self.reads == 1:
            raise RetryLater("the connection was lost")
        yield from batches[1:]


def test_all_ids_and_hashes_are_laid_aside(tmp_path: Path) -> None:
    """S4: each record of each slice once, with the hashes that an export would have."""
    store = memory([mixed_batch(ROWS)])
    spool = begin_spool(store, tmp_path / "pass", 30, 2, 0.0)
    for part in spool.view.slices:
        spool_slice(store, part.number, spool, limits())
    found = pa.concat_batches(list(open_spool(tmp_path / "pass").batches())).sort_by("id")
    wanted = sealing.seal(mixed_batch(ROWS)).select(found.schema.names).sort_by("id")
    assert found.to_pylist() == wanted.to_pylist()
    assert sum(item.rows for item in spool.slices()) == store.count() == ROWS


def test_a_pass_keeps_the_pace_and_counts_its_rows(tmp_path: Path) -> None:
    """A production source is spared by a pass as it was during the copy."""
    store, waits, moved = memory([mixed_batch(ROWS)]), list[float](), list[int]()
    spool = begin_spool(store, tmp_path / "pass", ROWS, 1, 0.0)
    paced = replace(limits(moved), batch_rows=30, pace=Pace(30, lambda: 0.0, waits.append))
    spool_slice(store, 0, spool, paced)
    assert sum(moved) == ROWS
    assert waits == [1.0, 2.0]


def test_a_slice_that_was_cut_off_is_read_anew(tmp_path: Path) -> None:
    """A fault that passes leaves each row once, and rows that were counted are counted once."""
    store, moved = memory([mixed_batch(ROWS)]), list[int]()
    spool = begin_spool(store, tmp_path / "pass", ROWS, 1, 0.0)
    flaky = Interrupted(store)
    found = spool_slice(flaky, 0, spool, limits(moved, 5.0))  # type: ignore[arg-type]
    assert (found.rows, flaky.reads, sum(moved)) == (ROWS, 2, ROWS)
    assert sum(batch.num_rows for batch in spool.batches()) == ROWS


def test_what_a_dead_pass_left_is_worth_nothing(tmp_path: Path) -> None:
    """A pass that begins in the folder of another one finds it empty."""
    store = memory([mixed_batch(ROWS)])
    spool = begin_spool(store, tmp_path / "pass", ROWS, 1, 0.0)
    spool_slice(store, 0, spool, limits())
    again = begin_spool(store, tmp_path / "pass", ROWS, 1, 0.0)
    with pytest.raises(Stopped, match="slice 0"):
        again.slices()


def test_a_folder_without_a_pass_says_that_it_begins_anew(tmp_path: Path) -> None:
    """What was removed in between is no crash."""
    with pytest.raises(Stopped, match="begins anew"):
        open_spool(tmp_path / "nothing")


def test_files_that_were_replaced_are_seen(tmp_path: Path) -> None:
    """S4: the fingerprint from before the first row must still hold after the last one."""
    store = memory([mixed_batch(ROWS)])
    view = begin_spool(store, tmp_path / "pass", ROWS, 1, 0.0).view
    assert require_unmoved(store, view, 0.0) == ROWS
    with pytest.raises(DataDiffer, match="written to while they were read"):
        require_unmoved(store, replace(view, fingerprint="before"), 0.0)


OTHERS = {
    "dimension": VectorField("", dimension=9, metric=Metric.COSINE),
    "metric": VectorField("", dimension=8, metric=Metric.DOT),
    "number type": VectorField("", dtype=DType.FLOAT16, dimension=8, metric=Metric.COSINE),
    "name": VectorField("other", dimension=8, metric=Metric.COSINE),
}


@pytest.mark.parametrize("what", OTHERS)
def test_an_altered_collection_is_told(what: str) -> None:
    """S4: another vector than was planned for ends the pass before the first row."""
    found = replace(schema(), vectors=(OTHERS[what],))
    with pytest.raises(DataDiffer, match="vector ''"):
        require_same_collection("x", schema(), found, "", "")


def test_what_a_store_does_not_say_is_no_difference() -> None:
    """S4: an emptied collection may have forgotten its dimension, files record no metric."""
    found = replace(schema(), vectors=(VectorField(""),))
    require_same_collection("x", schema(), found, "", "")
    require_same_collection("x", schema(), schema(), "", "an identity that was not known then")


def test_another_identity_is_another_collection() -> None:
    """S4: the same name and vectors do not make it the same."""
    with pytest.raises(DataDiffer, match="another collection"):
        require_same_collection("x", schema(), schema(), "one", "two")


def test_a_fence_asks_whether_it_may_go_on() -> None:
    """A run that lost its lease does not sit out a long wait."""
    slept, asked = list[float](), list[int]()
    fence.wait(2.5, lambda: asked.append(1), slept.append)
    assert (slept, len(asked)) == ([1.0, 1.0, 0.5], 3)
