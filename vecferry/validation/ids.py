"""V1 and V2: exact counts, and the full set of ids on both sides."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.idtable import IdTable
from vecferry.model import Finding, Level

__all__ = ["compare_counts", "unexpected_ids"]

MAX_EXAMPLES = 20


def unexpected_ids(expected: IdTable, batches: Iterable[pa.RecordBatch]) -> tuple[int, list[Finding]]:
    """V2's other half: ids that stand in the target and were not expected, counted, with examples."""
    count = 0
    examples: list[Finding] = []
    for batch in batches:
        absent = expected.absent(sealing.hash_ids(batch))
        count += int(absent.sum())
        names = columns.record_ids(batch.filter(pa.array(absent)))[: MAX_EXAMPLES - len(examples)]
        examples += [Finding(Level.IDS, "unexpected", "nothing of this id was moved", str(name)) for name in names]
    return count, examples


def compare_counts(expected: int, found: int) -> list[Finding]:
    """V1."""
    if expected == found:
        return []
    return [Finding(Level.COUNT, "count", f"the target holds {found:,} records, expected are {expected:,}")]
