"""V1 and V2: exact counts, and the full set of ids on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.idtable import IdSet, IdTable
from vecferry.model import Finding, Level

__all__ = ["compare_counts", "compare_ids"]

MAX_EXAMPLES = 20


def compare_ids(expected: IdTable, batches: Iterable[pa.RecordBatch], *, missing: int = 0) -> tuple[int, list[Finding]]:
    """V2's other half: all ids that the target lists, against the expected ones; differences counted, with examples.

    An id may be unexpected, be listed twice, or not be listed although it is found when asked for.
    `missing` of the expected ones are known not to be there, and are not counted again.
    """
    listed = IdSet()
    differences, unlisted = 0, len(expected) - missing
    examples: list[Finding] = []
    for batch in batches:
        hashes = sealing.hash_ids(batch)
        unexpected, known = expected.absent(hashes), listed.add(hashes)
        repeated = known & ~unexpected
        differences += int(unexpected.sum() + repeated.sum())
        unlisted -= int((~(known | unexpected)).sum())
        examples += _findings(batch, unexpected, "unexpected", "nothing of this id was moved")
        examples += _findings(batch, repeated, "repeated", "the target lists this id more than once")
        del examples[MAX_EXAMPLES:]
    if unlisted > 0:
        detail = f"{unlisted:,} records are found when asked for by id, and do not come when all are read"
        return differences + unlisted, [Finding(Level.IDS, "not listed", detail), *examples]
    return differences, examples


def _findings(batch: pa.RecordBatch, mask: npt.NDArray[np.bool_], kind: str, detail: str) -> Iterator[Finding]:
    rows = np.flatnonzero(mask)[:MAX_EXAMPLES]
    if len(rows):
        for name in columns.record_ids(columns.ids_of(batch).take(pa.array(rows))):
            yield Finding(Level.IDS, kind, detail, str(name))


def compare_counts(expected: int, found: int) -> list[Finding]:
    """V1."""
    if expected == found:
        return []
    return [Finding(Level.COUNT, "count", f"the target holds {found:,} records, expected are {expected:,}")]
