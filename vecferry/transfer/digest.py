"""All records of a collection as one number: what a snapshot is compared by."""

from __future__ import annotations

from collections.abc import Callable

from vecferry import sealing
from vecferry.contract import Source
from vecferry.model import ALL_PARTS, Digest

__all__ = ["digest_of"]


def digest_of(source: Source, batch_rows: int, moved: Callable[[int], None]) -> Digest:
    """The digest of every record as stored, from one full read. `moved` is told the rows of each batch."""
    total = Digest()
    for part in source.slices(1):
        for batch in source.read(part, ALL_PARTS, batch_rows):
            total += sealing.digest(sealing.seal(batch))
            moved(batch.num_rows)
    return total
