"""How long will a copy take? A sample of the old store goes the whole way, into a scratch collection beside the target.

Nothing else may be written before somebody has agreed. A store that takes no scratch collection is not measured.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from vecferry import batch as columns
from vecferry import failpoints, sealing
from vecferry.address import Address, above
from vecferry.contract import Reader, Source, Target
from vecferry.errors import StoreRefused, TargetNotEmpty, VecferryError
from vecferry.model import ALL_PARTS, Slice
from vecferry.stores import registry
from vecferry.strategies.snapshots import Rates
from vecferry.strategies.strangers import all_ids
from vecferry.strategies.work import Work
from vecferry.transfer import handles
from vecferry.transfer.read import read_slice
from vecferry.transfer.ruled import under_rules
from vecferry.validation.compare import compare_rows

__all__ = ["measured"]

_ROWS, _SECONDS = 4_000, 2.0
_SCRATCH = "scratch_of"
T = TypeVar("T")
Given = TypeVar("Given")


@dataclass(frozen=True, slots=True)
class _Served:
    """Seconds that the sample took in the new store."""

    open_s: float
    write_s: float
    ready_s: float
    compare_s: float
    list_s: float


def measured(work: Work) -> Rates:
    """Seconds a record for each part of the way, and those that opening a store takes."""
    handles.release(work.config.source.address())
    _, open_old_s = _timed(lambda: work.source().count())
    sample, read_s = _sample(work)
    rows = sum(batch.num_rows for batch in sample)
    if not rows:
        return Rates(open_old_s=open_old_s)
    parts, part_s = _timed(partial(_in_lanes, _as_part, sample, _lanes(work)))
    read_s = max(read_s / rows, 1 / (work.config.max_rows_per_s or math.inf))
    known = Rates(rows, sum(batch.nbytes for batch in sample) / rows, read_s, part_s / rows, open_old_s=open_old_s)
    taken = _on_scratch(work, parts)
    if isinstance(taken, str):
        return replace(known, write_s=read_s, compare_s=read_s, list_s=read_s, open_new_s=open_old_s, unknown=taken)
    return replace(
        known,
        write_s=taken.write_s / rows,
        compare_s=taken.compare_s / rows,
        list_s=taken.list_s / rows,
        open_new_s=taken.open_s,
        ready_s=taken.ready_s,
    )


def _lanes(work: Work, bears: int = _ROWS) -> int:
    """How many slices the copy moves at once, where a store bears so many."""
    return max(1, min(work.config.workers, len(work.plan.slices), bears))


def _in_lanes(act: Callable[[Given], T], items: Sequence[Given], lanes: int) -> list[T]:
    with ThreadPoolExecutor(lanes) as pool:
        return list(pool.map(act, items))


def _timed(act: Callable[[], T]) -> tuple[T, float]:
    begun = time.perf_counter()
    found = act()
    return found, time.perf_counter() - begun


def _sample(work: Work) -> tuple[list[pa.RecordBatch], float]:
    """The first records of as many slices as are read at once, and the seconds that reading and hashing them took."""
    source, slices = work.source(), work.plan.slices
    lanes = _lanes(work, source.capabilities().parallel_reads)
    chosen = [slices[at * len(slices) // lanes] for at in range(lanes)] if slices else []
    read = partial(_first, source, math.ceil(_ROWS / lanes), work.config.batch_rows)
    found, seconds = _timed(partial(_in_lanes, read, chosen, lanes))
    return [batch for batches in found for batch in batches], seconds


def _first(source: Source, rows: int, batch_rows: int, part: Slice) -> list[pa.RecordBatch]:
    found, left, until = list[pa.RecordBatch](), rows, time.perf_counter() + _SECONDS
    for batch in read_slice(source, part, ALL_PARTS, min(batch_rows, rows)):
        sealing.hash_ids(batch)
        sealing.hash_parts(batch)
        found.append(batch)
        left -= batch.num_rows
        if left <= 0 or time.perf_counter() > until:
            break
    return found


def _as_part(batch: pa.RecordBatch) -> pa.Buffer:
    """Written as the archive writes it."""
    out = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_batches([batch]), out, compression="zstd")
    return out.getvalue()


def _from_part(part: pa.Buffer) -> pa.RecordBatch:
    (batch,) = pq.read_table(pa.BufferReader(part)).combine_chunks().to_batches()
    return batch


def _on_scratch(work: Work, parts: list[pa.Buffer]) -> _Served | str:
    """What the sample takes in a collection of its own, which is dropped again.

    Or why there is none: a quota, rights, a name that is taken, files.
    """
    if registry.holds_files(work.config.target.public().scheme):
        return "a target that is made of files is not written for a trial"
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
            return _served(work, target, place, parts)
        finally:
            _drop(target)


def _served(work: Work, target: Target, place: Address, parts: list[pa.Buffer]) -> _Served:
    target.begin_load()
    write = partial(_write, work, target)
    writers = _lanes(work, target.capabilities().parallel_writes)
    _, write_s = _timed(partial(_in_lanes, write, parts, writers))
    _, ready_s = _timed(target.finish_load)
    target.close()
    reader, open_s = _timed(partial(_opened, work, place))
    with reader:
        _, compare_s = _timed(partial(_in_lanes, partial(_compare, work, reader), parts, _lanes(work)))
        _, list_s = _timed(lambda: sum(len(sealing.hash_ids(batch)) for batch in all_ids(reader)))
    return _Served(open_s, write_s, ready_s, compare_s, list_s)


def _opened(work: Work, place: Address) -> Target:
    reader = under_rules(registry.open_target(place, Reader.PUBLIC), work.config)
    reader.count()
    return reader


def _scratch(work: Work) -> Address:
    """A name that is this migration's alone, short enough and plain enough for every engine."""
    named = hashlib.sha256(work.ref.migration.encode()).hexdigest()[:12]
    return registry.address_in(above(work.config.target.address()), f"vecferry_scratch_{named}")


def _write(work: Work, target: Target, part: pa.Buffer) -> None:
    mapping = work.plan.mapping
    target.write(mapping.forward(mapping.travelling(_from_part(part))))


def _compare(work: Work, reader: Target, part: pa.Buffer) -> None:
    mapping = work.plan.mapping
    expected = mapping.expected(mapping.travelling(_from_part(part)))
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
