"""Going forward again after a way back: the records of which it has the last word are carried over once more.

The new store may hold another version of them: one that lost a conflict, or parts that only the old store had changed.
Nobody need find out which; each is written as the old store has it now, and read back. Then a delta forward has the
last word.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive.hash_rows import TARGET_HASH
from vecferry.idtable import IdTable
from vecferry.transfer.delta_making import AGAIN
from vecferry.transfer.differences import CANDIDATES_SCHEMA, CHANGE, SEEN_HASH, read_candidates
from vecferry.transfer.known import ARCHIVED_HASH, LIVE, KnownState
from vecferry.transfer.passes import Spool

__all__ = ["candidates", "count_returned"]


def count_returned(known: KnownState) -> int:
    """How many records are to be carried over once more."""
    return sum(int(_held(batch).sum()) for batch in known.returned())


def candidates(spool: Spool, known: KnownState, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """What the last comparison of a spool found, and behind it what is carried over once more.

    In batches of `CANDIDATES_SCHEMA`, each id once. Memory: the ids of what was found, where anything returned.
    """
    yield from read_candidates(spool, batch_rows)
    returned = filter(len, (batch.filter(pa.array(_held(batch))) for batch in known.returned()))
    first = next(returned, None)
    if first is None:
        return
    found = IdTable(map(sealing.hash_ids, read_candidates(spool, batch_rows)))
    for batch in (first, *returned):
        left = batch.filter(pa.array(found.absent(sealing.hash_ids(batch))))
        if left.num_rows:
            yield _candidates(left)


def _held(known: pa.RecordBatch) -> np.ndarray:
    """`(n,) bool`: records that either store has, by what is known."""
    held: np.ndarray = pc.or_(known.column(LIVE), known.column(TARGET_HASH).is_valid()).to_numpy(zero_copy_only=False)
    return held


def _candidates(known: pa.RecordBatch) -> pa.RecordBatch:
    """As candidates that the old store had in no known version; what is gone there counts as found gone just now."""
    rows, live = known.num_rows, known.column(LIVE)
    unlike = columns.fixed_binary_array(np.zeros((rows, columns.HASHES_BYTES), dtype=np.uint8))
    archived = known.column(ARCHIVED_HASH)
    changes = {
        CHANGE: pa.array([AGAIN] * rows),
        columns.HASHES: unlike,
        ARCHIVED_HASH: pc.if_else(live, archived, pa.scalar(None, archived.type)),
        LIVE: pa.array(np.ones(rows, dtype=np.bool_)),
        SEEN_HASH: pa.nulls(rows, CANDIDATES_SCHEMA.field(SEEN_HASH).type),
    }
    arrays = [changes[name] if name in changes else known.column(name) for name in CANDIDATES_SCHEMA.names]
    typed = [array.cast(field.type) for array, field in zip(arrays, CANDIDATES_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(typed, schema=CANDIDATES_SCHEMA)
