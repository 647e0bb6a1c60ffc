"""V1 and V2: exact counts, and the full set of ids on both sides."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.model import Finding, Level

__all__ = ["IdSet", "compare_counts", "unexpected_ids"]

MAX_EXAMPLES = 20
Halves = npt.NDArray[np.uint64]


class IdSet:
    """A set of ids as sorted 16-byte hashes: 16 bytes an id, so ten million ids take 160 MB."""

    def __init__(self, hashes: Iterable[npt.NDArray[np.uint8]]) -> None:
        """`hashes` are blocks of `(n, 16) uint8`."""
        blocks = [_halves(block) for block in hashes]
        high = np.concatenate([block[0] for block in blocks]) if blocks else np.empty(0, np.uint64)
        low = np.concatenate([block[1] for block in blocks]) if blocks else np.empty(0, np.uint64)
        order = np.lexsort((low, high))
        self._high, self._low = high[order], low[order]

    def __len__(self) -> int:
        return len(self._high)

    def absent(self, hashes: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
        """`(n,) bool`: which of these `(n, 16) uint8` hashes are not in the set."""
        high, low = _halves(hashes)
        first = np.searchsorted(self._high, high, side="left")
        last = np.searchsorted(self._high, high, side="right")
        found = np.zeros(len(high), dtype=bool)
        # Almost always one candidate a hash; the loop ends after the longest run of equal first halves.
        for step in range(int((last - first).max(initial=0))):
            at = first + step
            inside = at < last
            found[inside] |= self._low[at[inside]] == low[inside]
        return ~found


def _halves(block: npt.NDArray[np.uint8]) -> tuple[Halves, Halves]:
    pairs = np.ascontiguousarray(block).view(">u8").reshape(-1, 2).astype(np.uint64)
    return pairs[:, 0], pairs[:, 1]


def unexpected_ids(expected: IdSet, batches: Iterable[pa.RecordBatch]) -> tuple[int, list[Finding]]:
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
