"""How long will a copy take? A sample of the old store goes the whole way, into a scratch collection beside the target.

Nothing else may be written before somebody has agreed. A store that takes no scratch collection is not measured.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from vecferry import batch as columns
from vecferry import failpoints, sealing
from vecferry.address import Address, above
from vecferry.contract import Reader, Target
from vecferry.errors import StoreRefused, TargetNotEmpty, VecferryError
from vecferry.model import ALL_PARTS
from vecferry.stores import registry
from vecferry.strategies.snapshots import Rates
from vecferry.strategies.work import Work
from vecferry.transfer.read import read_slice
from vecferry.transfer.ruled import under_rules
from vecferry.validation.compare import compare_rows

__all__ = ["measured"]

_ROWS, _SECONDS = 2_000, 2.0
_SCRATCH = "scratch_of"
T = TypeVar("T")


def measured(work: Work) -> Rates:
    """Seconds a record for each part of the way."""
    sample, read_s = _sample(work)
    rows = sum(batch.num_rows for batch in sample)
    if not rows:
        return Rates()
    part_s = sum(_timed(partial(_as_part, batch))[1] for batch in sample)
    public = work.config.target.public()
    if registry.holds_files(public.scheme):  # there it is the archive's work once more
        return Rates(rows, read_s / rows, part_s / rows, part_s / rows, read_s / rows)
    taken = _on_scratch(work, sample)
    if isinstance(taken, str):
        return Rates(rows, read_s / rows, part_s / rows, read_s / rows, read_s / rows, taken)
    return Rates(rows, read_s / rows, part_s / rows, taken[0] / rows, taken[1] / rows)


def _timed(act: Callable[[], T]) -> tuple[T, float]:
    begun = time.perf_counter()
    found = act()
    return found, time.perf_counter() - begun


def _sample(work: Work) -> tuple[list[pa.RecordBatch], float]:
    """The first records, and the seconds that reading and hashing them took."""
    source, found, rows, taken_s = work.source(), list[pa.RecordBatch](), 0, 0.0
    for part in work.plan.slices:
        batches = iter(read_slice(source, part, ALL_PARTS, min(work.config.batch_rows, _ROWS)))
        while rows < _ROWS and taken_s < _SECONDS:
            batch, seconds = _timed(partial(_read_one, batches))
            taken_s += seconds
            if batch is None:
                break
            found.append(batch)
            rows += batch.num_rows
    return found, taken_s


def _read_one(batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch | None:
    batch = next(batches, None)
    if batch is not None:
        sealing.hash_ids(batch)
        sealing.hash_parts(batch)
    return batch


def _as_part(batch: pa.RecordBatch) -> None:
    """Written as the archive writes it, and read once more."""
    out = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_batches([batch]), out, compression="zstd")
    pq.read_table(pa.BufferReader(out.getvalue()))


def _on_scratch(work: Work, sample: list[pa.RecordBatch]) -> tuple[float, float] | str:
    """Seconds for writing the sample, and for reading it back and comparing it. The collection is dropped again.

    Or why there is none: a quota, rights, a name that is taken.
    """
    work.release()
    place, mark = _scratch(work), {_SCRATCH: work.ref.migration}
    with under_rules(registry.open_target(place), work.config) as target:
        if target.exists() and target.mark() == mark:
            target.drop()  # a run died here
        try:
            target.create(replace(work.plan.mapping.target_schema, features=()), mark)  # an alias is no scratch
        except (StoreRefused, TargetNotEmpty) as error:
            return str(error)
        failpoints.reached("snapshot.scratch_made")
        try:
            target.begin_load()
            write_s = sum(_timed(partial(_write, work, target, batch))[1] for batch in sample)
            target.finish_load()
            target.close()
            with under_rules(registry.open_target(place, Reader.PUBLIC), work.config) as reader:
                fetch_s = sum(_timed(partial(_compare, work, reader, batch))[1] for batch in sample)
        finally:
            _drop(target)
    return write_s, fetch_s


def _scratch(work: Work) -> Address:
    """A name that is this migration's alone, short enough and plain enough for every engine."""
    named = hashlib.sha256(work.ref.migration.encode()).hexdigest()[:12]
    return registry.address_in(above(work.config.target.address()), f"vecferry_scratch_{named}")


def _write(work: Work, target: Target, batch: pa.RecordBatch) -> None:
    mapping = work.plan.mapping
    target.write(mapping.forward(mapping.travelling(batch)))


def _compare(work: Work, reader: Target, batch: pa.RecordBatch) -> None:
    mapping = work.plan.mapping
    expected = mapping.expected(mapping.travelling(batch))
    actual = reader.fetch(columns.ids_of(expected))
    compare_rows(expected, actual, mapping.target_schema.vectors, mapping.tolerances)
    sealing.hash_parts(actual)


def _drop(target: Target) -> None:
    try:
        target.drop()
    except VecferryError as error:
        raise StoreRefused(
            f"the scratch collection {target.url} could not be dropped again: {error}",
            advice="nothing was paused or switched; drop it by hand",
        ) from error
