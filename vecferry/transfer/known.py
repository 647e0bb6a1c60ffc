"""What is known of every record: where it is in the target, and what both sides held when they were read last.

The archive knows it: a record is as its part and the part's `hashes/` say, unless a delta names its id; then it is as
the last delta says that was loaded and read back. A recorded link from an id to its id in the target is kept for
good, whatever the mapping would give now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive import HASHES_SCHEMA, Archive
from vecferry.archive.delta_rows import FOUND_HASH, is_tombstone
from vecferry.archive.hash_rows import TARGET_HASH, TARGET_ID, TARGET_ID_KIND
from vecferry.archive.index import Overlay
from vecferry.idtable import IdTable
from vecferry.model import IDS_ONLY, Digest, Receipt

__all__ = ["ARCHIVED_HASH", "KNOWN_SCHEMA", "LIVE", "Held", "KnownState", "target_ids"]

ARCHIVED_HASH, LIVE = "archived_hash", "live"

KNOWN_SCHEMA = pa.schema(
    [*HASHES_SCHEMA, pa.field(ARCHIVED_HASH, pa.binary(columns.HASHES_BYTES)), pa.field(LIVE, pa.bool_())]
)
"""One row a record: ids, and hashes of what the source (`source_hash`) and the target (`target_hash`) held.

`target_id` is where it is or was in the target, `target_hash` null where it is not there (any more). `archived_hash`
is that of the archived record: another one where a store gave back other bits than were written into it. `live` is
false for a record that the source has not any more.
"""

_BATCH_ROWS = 10_000
_REVERSE = "reverse"
Link = Callable[[pa.RecordBatch], pa.RecordBatch]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Held:
    """How many records the source and the target hold by what is known, and the digest of the known state."""

    source_rows: int
    target_rows: int
    digest: Digest


class KnownState:
    """The known state of one migration.

    `link(ids)` gives ids in the target for ids whose place was not recorded yet (`Mapping.forward`).
    Memory: 24 bytes a row of the deltas, and one part's ids where a part has records that did not travel.
    """

    def __init__(self, archive: Archive, link: Link) -> None:
        self._archive, self._link = archive, link

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Every record once, in batches of `KNOWN_SCHEMA`. Raises ArchiveDamaged."""
        overlay = self._archive.overlay()
        for part in self._archive.manifest().parts:
            for batch in self._of_part(part.rows):
                kept = batch.filter(pa.array(overlay.absent(sealing.hash_ids(batch)))) if len(overlay) else batch
                if kept.num_rows:
                    yield kept
        for number in overlay.numbers:
            yield from self._of_delta(number, overlay)

    def returned(self) -> Iterator[pa.RecordBatch]:
        """The records of which a way back has the last word, in batches of `KNOWN_SCHEMA`. Raises ArchiveDamaged."""
        overlay = self._archive.overlay()
        for delta in self._archive.manifest().deltas:
            if delta.direction == _REVERSE:
                yield from self._of_delta(delta.rows.number, overlay)

    def _of_part(self, part: Receipt) -> Iterator[pa.RecordBatch]:
        if not self._archive.has_hashes(part.number):
            yield from self._not_proven(part.number, None)
            return
        proven = 0
        for batch in self._archive.hash_batches(part.number):
            proven += batch.num_rows
            yield _known(batch)
        if proven < part.rows:
            travelled = IdTable(map(sealing.hash_ids, self._archive.hash_batches(part.number)))
            yield from self._not_proven(part.number, travelled)

    def _not_proven(self, number: int, travelled: IdTable | None) -> Iterator[pa.RecordBatch]:
        """Records that nobody read back: they stayed behind, or nothing was validated yet."""
        for batch in self._archive.read_part(number, _BATCH_ROWS, IDS_ONLY):
            if travelled is None:
                yield _unproven(batch, self._link(columns.ids_of(batch)))
                continue
            left = travelled.absent(sealing.hash_ids(batch))
            if left.any():
                yield _unproven(batch.filter(pa.array(left)), None)

    def _of_delta(self, number: int, overlay: Overlay) -> Iterator[pa.RecordBatch]:
        start = 0
        for batch in self._archive.read_delta_hashes(number):
            last = overlay.last(number, start, sealing.hash_ids(batch))
            start += batch.num_rows
            if last.any():
                yield _known(batch.filter(pa.array(last)))

    def find(self, ids: pa.RecordBatch, *, in_target: bool = False) -> pa.RecordBatch:
        """What is known of these ids (of the target, with `in_target`), in any order; unknown ones are absent.

        Reads the whole known state: ask for many ids at once.
        """
        wanted = IdTable([sealing.hash_ids(ids)])
        found = []
        for batch in self.batches():
            placed = batch.filter(batch.column(TARGET_ID).is_valid()) if in_target else batch
            here = ~wanted.absent(sealing.hash_ids(target_ids(placed) if in_target else placed))
            if here.any():
                found.append(placed.filter(pa.array(here)))
        return pa.concat_batches(found) if found else pa.RecordBatch.from_pylist([], schema=KNOWN_SCHEMA)

    def held(self) -> Held:
        """Counts and digest."""
        source = target = 0
        for batch in self.batches():
            source += int(pc.sum(batch.column(LIVE)).as_py() or 0)
            target += batch.num_rows - batch.column(TARGET_HASH).null_count
        return Held(source, target, self._archive.manifest().current)


def target_ids(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The ids in the target of a batch of known records; null where there is none."""
    arrays = [batch.column(TARGET_ID), batch.column(TARGET_ID_KIND)]
    return pa.RecordBatch.from_arrays(arrays, names=[columns.ID, columns.ID_KIND])


def _known(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows of a file of hashes, of a part or of a delta."""
    archived = source = batch.column(columns.HASHES)
    gone = np.zeros(batch.num_rows, dtype=np.bool_)
    if FOUND_HASH in batch.schema.names:
        source, gone = pc.coalesce(batch.column(FOUND_HASH), archived), is_tombstone(batch)
    names = (columns.ID, columns.ID_KIND, TARGET_ID, TARGET_ID_KIND)
    arrays = [*(batch.column(name) for name in names), source, batch.column(TARGET_HASH), archived, pa.array(~gone)]
    return pa.RecordBatch.from_arrays(arrays, schema=KNOWN_SCHEMA)


def _unproven(batch: pa.RecordBatch, links: pa.RecordBatch | None) -> pa.RecordBatch:
    """Rows of a part that nobody read back; without `links` they have no place in the target."""
    rows, archived = batch.num_rows, batch.column(columns.HASHES)
    kinds = KNOWN_SCHEMA.field(TARGET_ID_KIND).type
    placed = [pa.nulls(rows, pa.string()), pa.nulls(rows, kinds)]
    if links is not None:
        placed = [links.column(columns.ID), links.column(columns.ID_KIND)]
    there = pa.nulls(rows, pa.binary(columns.HASHES_BYTES))
    ids = [batch.column(columns.ID), batch.column(columns.ID_KIND)]
    live = pa.array(np.ones(rows, dtype=np.bool_))
    return pa.RecordBatch.from_arrays([*ids, *placed, archived, there, archived, live], schema=KNOWN_SCHEMA)
