"""What a reverse delta stands on: what the old store held when it was made, and what one left open may have written.

A delta of a dead run is never loaded again: the old store may have been written since. It stays as an intent, which
tells the next merge what in the old store is ours, until that merge's own delta takes its place. What this run wrote
and closed is ours as well, should a network deliver it twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive import Archive, DeltaRows
from vecferry.archive.delta_rows import KEPT_HASH
from vecferry.idtable import IdTable
from vecferry.ledger import Direction
from vecferry.transfer.merge import Intent, stale_parts

__all__ = ["Intents", "Seen"]

Hashes = npt.NDArray[np.uint8]
_BATCH_ROWS = 1000
_HASH_BYTES = 16


class Intents:
    """The deltas of these numbers, by id; read on first use. `closed` says of each whether it was closed.

    Memory: 24 bytes a row, the rows lie in nameless files.
    """

    def __init__(self, archive: Archive, closed: Mapping[int, bool], folder: Path) -> None:
        self._archive, self._closed, self._folder = archive, closed, folder
        self._deltas: list[_Laid] | None = None

    def of(self, ids: pa.RecordBatch) -> tuple[Intent, ...]:
        """What they say of some records."""
        if self._deltas is None:
            self._deltas = [_Laid(self._archive, number, self._folder) for number in self._closed]
        hashes, both = sealing.hash_ids(ids), zip(self._deltas, self._closed.values(), strict=True)
        return tuple(_intent(rows, closed=closed) for delta, closed in both for rows in delta.find(hashes))


class _Laid:
    def __init__(self, archive: Archive, number: int, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"intent-{number:05d}.arrow"
        path.unlink(missing_ok=True)
        ids: list[Hashes] = []
        sink: pa.RecordBatchFileWriter | None = None
        for rows in archive.read_delta(number, _BATCH_ROWS):
            sink = sink or pa.ipc.new_file(str(path), rows.batch.schema)
            sink.write_batch(rows.batch)
            ids.append(sealing.hash_ids(rows.batch))
        self._table, self._batches = IdTable(ids), list[pa.RecordBatch]()
        if sink is not None:
            sink.close()
            with pa.memory_map(str(path)) as mapped, pa.ipc.open_file(mapped) as file:
                self._batches = [file.get_batch(at) for at in range(file.num_record_batches)]
            path.unlink()
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])

    def find(self, hashes: Hashes) -> Iterator[DeltaRows]:
        """The rows of these ids: one batch, or none."""
        at = self._table.find(hashes)
        at = np.sort(at[at >= 0])
        borders = np.searchsorted(at, self._starts)
        found = [
            batch.take(pa.array(at[first:last] - start))
            for batch, start, first, last in zip(self._batches, self._starts, borders, borders[1:], strict=False)
            if last > first
        ]
        if found:
            yield DeltaRows(pa.concat_batches(found))


def _intent(rows: DeltaRows, *, closed: bool) -> Intent:
    gone = rows.gone()
    written = rows.filter(~gone)
    kept = written.column(KEPT_HASH)
    stale = np.zeros((len(written), len(sealing.PART_ORDER)), dtype=np.bool_)
    stale[kept.is_valid().to_numpy(zero_copy_only=False)] = stale_parts(columns.fixed_binary(kept.drop_null()))
    records = columns.drop_hashes(written.records())
    return Intent(Direction.REVERSE, records, rows.filter(gone).ids(), stale, closed)


class Seen:
    """What the old store held of the records of one delta when they were merged: part hashes by id, zeros for nothing.

    Memory: 88 bytes a record.
    """

    def __init__(self, ids: Hashes, hashes: Hashes) -> None:
        self._table, self._hashes = IdTable([ids]), hashes

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `save` wrote."""
        both = np.load(path)
        return cls(both[:, :_HASH_BYTES], both[:, _HASH_BYTES:])

    @staticmethod
    def save(path: Path, found: Sequence[Hashes]) -> None:
        """Write blocks that `row_hashes` gave."""
        path.parent.mkdir(parents=True, exist_ok=True)
        width = _HASH_BYTES + columns.HASHES_BYTES
        np.save(path, np.concatenate([np.zeros((0, width), dtype=np.uint8), *found]))

    @staticmethod
    def row_hashes(ids: pa.RecordBatch, old: pa.RecordBatch) -> Hashes:
        """`(n, 64) uint8`: for each id its hash and those of its parts among the records `old`."""
        names = sealing.hash_ids(ids)
        return np.concatenate([names, hashes_among(ids, old)], axis=1)

    def of(self, ids: pa.RecordBatch) -> Hashes:
        """`(n, 48) uint8`. Raises KeyError for an id that the delta has not."""
        at = self._table.find(sealing.hash_ids(ids))
        if (at < 0).any():
            raise KeyError("a record of the delta was not merged")
        return self._hashes[at]


def hashes_among(ids: pa.RecordBatch, records: pa.RecordBatch) -> Hashes:
    """`(n, 48) uint8`: part hashes of these records in the order of the ids; zeros for one that is not there."""
    at = IdTable([sealing.hash_ids(records)]).find(sealing.hash_ids(ids))
    found = np.zeros((ids.num_rows, columns.HASHES_BYTES), dtype=np.uint8)
    found[at >= 0] = sealing.hash_parts(records.take(pa.array(at[at >= 0])))
    return found
