"""Ids that stand more than once, found among any number of records at 16 bytes a record."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.idtable import IdSet, IdTable

__all__ = ["MAX_EXAMPLES", "Duplicates"]

MAX_EXAMPLES = 5
_NAMED_ROWS = 1 << 20


class Duplicates:
    """Counts records whose id was seen before, and names some.

    The ids' texts are kept only of the first million records, for naming what `merge` finds.
    """

    def __init__(self) -> None:
        self.count = 0
        self.examples: list[str] = []
        self._seen = IdSet()
        self._named: list[pa.RecordBatch] = []

    def observe(self, batch: pa.RecordBatch) -> None:
        """Take the ids of one batch."""
        repeated = self._seen.add(sealing.hash_ids(batch))
        self.count += int(repeated.sum())
        self._name(_texts(batch, repeated))
        if sum(known.num_rows for known in self._named) < _NAMED_ROWS:
            self._named.append(columns.ids_of(batch))

    def merge(self, other: Duplicates) -> None:
        """Take everything that another one saw; it must not be used afterwards."""
        known = self._seen.merge(other._seen)
        self.count += other.count + len(known)
        self.examples = (self.examples + other.examples)[:MAX_EXAMPLES]
        if len(known) and len(self.examples) < MAX_EXAMPLES:
            self._name(other._names_of(known))

    def _name(self, names: list[str]) -> None:
        new = [name for name in dict.fromkeys(names) if name not in self.examples]
        self.examples = (self.examples + new)[:MAX_EXAMPLES]

    def _names_of(self, hashes: npt.NDArray[np.uint8]) -> list[str]:
        """What some of these ids are called; their hashes where no text was kept."""
        table = IdTable([hashes])
        known = [text for batch in self._named for text in _texts(batch, ~table.absent(sealing.hash_ids(batch)))]
        return known or [f"the id of hash {row.tobytes().hex()}" for row in hashes[:MAX_EXAMPLES]]


def _texts(batch: pa.RecordBatch, mask: npt.NDArray[np.bool_]) -> list[str]:
    """Some of the ids where the mask is true, as people write them."""
    rows = np.flatnonzero(mask)[:MAX_EXAMPLES]
    return [repr(text) for text in columns.id_texts(batch).take(pa.array(rows)).to_pylist()] if len(rows) else []
