"""The way back, bit for bit: what nobody touched since it was moved is given back from the archive.

A store may round payload floats or keep unit vectors. The archive of the migration that filled it has the
original bits, and the hashes of what was read back then. Where the hash of a part is still the same, the
original takes its place; where it differs, somebody wrote it, and what stands there now counts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import plain, sealing
from vecferry.align import align
from vecferry.archive import HASHES_SCHEMA, Archive, HashRows
from vecferry.contract import Source
from vecferry.errors import ArchiveDamaged, NotFound
from vecferry.idtable import IdTable
from vecferry.mapping import Mapping
from vecferry.model import ALL_PARTS, IDS_ONLY, JsonObject, Part, Slice
from vecferry.transfer.decoded import DecodedSource, mapping_of, needed_parts, only_parts

__all__ = ["OriginalSource", "in_original_terms"]

Mask = npt.NDArray[np.bool_]


def in_original_terms(source: Source) -> Source:
    """The source itself where it bears no mark; else its records as they were before they were encoded.

    With the archive of the migration that made it, untouched parts come back bit for bit; without, decoded.
    """
    mark = source.describe().mark
    mapping = mapping_of(mark)
    if mark is None or mapping is None:
        return source
    archive = _archive_of(mark, mapping)
    if archive is None:
        return DecodedSource(source, mapping, f"the archive {mark.get('archive')} is not here: values stay as stored")
    return OriginalSource(source, mapping, archive)


def _archive_of(mark: JsonObject, mapping: Mapping) -> Archive | None:
    """The archive that a mark names, if it is here, whole, and of that very migration."""
    try:
        archive = Archive.open(Path(str(mark.get("archive"))), mapping.source_schema.name)
        manifest = archive.manifest()
    except (NotFound, ArchiveDamaged):
        return None
    proven = all(part.hashes is not None for part in manifest.parts)
    return archive if proven and manifest.raw.get("migration") == mark["migration"] else None


class OriginalSource(DecodedSource):
    """A marked collection with its archive.

    Slices follow the archive's parts (the ids of a part, fetched from the store), then its deltas, then the store's
    own slices for the records that were written since.
    """

    def __init__(self, inner: Source, mapping: Mapping, archive: Archive) -> None:
        super().__init__(inner, mapping, f"untouched records come back bit for bit from {archive.place}")
        self._archive = archive
        self._numbers = [part.rows.number for part in archive.manifest().parts]
        self._overlay = archive.overlay()
        self._lock = threading.Lock()
        self._ids: IdTable | None = None
        self._proven: _Proven | None = None

    def slices(self, n: int) -> list[Slice]:
        """Groups of parts, then everything else."""
        groups = [group.tolist() for group in np.array_split(self._numbers, max(1, min(n, len(self._numbers))))]
        rows = {part.rows.number: part.rows.rows for part in self._archive.manifest().parts}
        known = [({"parts": group}, sum(rows[number] for number in group)) for group in groups if group]
        deltas = [({"deltas": list(self._overlay.numbers)}, len(self._overlay))] if len(self._overlay) else []
        rest = [({"rest": plain.to_plain(item)}, 0) for item in self.inner.slices(1)]
        return [Slice(number, bounds, count) for number, (bounds, count) in enumerate([*known, *deltas, *rest])]

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        """Records in original terms; rows that were deleted from the store since are absent."""
        if "rest" in part.bounds:
            yield from self._read_rest(plain.from_plain(Slice, part.bounds["rest"]), columns, batch_rows)
            return
        for number in part.bounds.get("parts", ()):
            yield from self._read_part(number, columns, batch_rows)
        for number in part.bounds.get("deltas", ()):
            yield from self._read_delta(number, columns, batch_rows)

    def _read_part(self, number: int, wanted: frozenset[Part], batch_rows: int) -> Iterator[pa.RecordBatch]:
        known, start = self._archive.read_hashes(number), 0
        travelled = IdTable([known.id_hashes()])
        for originals in self._archive.read_part(number, batch_rows, needed_parts(wanted)):
            left_behind = travelled.absent(sealing.hash_ids(originals))
            originals = originals.filter(pa.array(~left_behind))
            rows = known.slice(start, originals.num_rows)
            start += originals.num_rows
            if len(self._overlay):
                still = self._overlay.absent(rows.id_hashes())
                rows, originals = rows.filter(still), originals.filter(pa.array(still))
            yield from self._fetched(rows, originals, wanted)

    def _read_delta(self, number: int, wanted: frozenset[Part], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """The records whose last word a delta has, where the store holds them."""
        known = HashRows.of(batch.select(HASHES_SCHEMA.names) for batch in self._archive.read_delta_hashes(number))
        start = 0
        for delta in self._archive.read_delta(number, batch_rows):
            rows = known.slice(start, len(delta))
            last = self._overlay.last(number, start, rows.id_hashes()) & rows.in_target()
            start += len(delta)
            names = _names_of(delta.records(), needed_parts(wanted))
            yield from self._fetched(rows.filter(last), delta.filter(last).records().select(names), wanted)

    def _fetched(self, rows: HashRows, originals: pa.RecordBatch, wanted: frozenset[Part]) -> Iterator[pa.RecordBatch]:
        if not len(rows):
            return
        found = self.inner.fetch(rows.target_ids(), needed_parts(wanted))
        if found.num_rows:
            yield self._restored(rows, originals, found, wanted)

    def _restored(
        self, rows: HashRows, originals: pa.RecordBatch, found: pa.RecordBatch, wanted: frozenset[Part]
    ) -> pa.RecordBatch:
        """Originals where the stored part is untouched, decoded values elsewhere; deleted rows left out."""
        there = align(rows.target_ids(), found)
        originals = originals.filter(pa.array(there.found))
        decoded, recorded = self.mapping.backward(there.actual), rows.target_hashes()[there.found]
        return _mixed(there.actual, decoded, originals, recorded, wanted)

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        """Records by their original ids, with the same bits that `read` gives.

        The first call reads all hashes (96 bytes a record stay in memory).
        """
        raw = self.inner.fetch(self.mapping.forward(ids), needed_parts(columns))
        decoded, proven = self.mapping.backward(raw), self._known_hashes()
        at = proven.ids.find(sealing.hash_ids(decoded))
        known = at >= 0
        fresh = only_parts(decoded.filter(pa.array(~known)), columns)
        if not known.any():
            return fresh
        raw, decoded = raw.filter(pa.array(known)), decoded.filter(pa.array(known))
        originals = align(_ids_of(decoded), self._archive.fetch(_ids_of(decoded), needed_parts(columns))).actual
        return pa.concat_batches([_mixed(raw, decoded, originals, proven.hashes[at[known]], columns), fresh])

    def _known_hashes(self) -> _Proven:
        with self._lock:
            if self._proven is None:
                self._proven = _Proven.of(self._archive)
            return self._proven

    def _read_rest(self, inner: Slice, wanted: frozenset[Part], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Records of the store that the archive does not know; the others' ids are read, and nothing else."""
        known = self._known_ids()
        for ids in self.inner.read(inner, IDS_ONLY, batch_rows):
            new = known.absent(sealing.hash_ids(ids))
            if not new.any():
                continue
            found = self.inner.fetch(columns.ids_of(ids).filter(pa.array(new)), needed_parts(wanted))
            if found.num_rows:
                yield only_parts(self.mapping.backward(found), wanted)

    def _known_ids(self) -> IdTable:
        with self._lock:
            if self._ids is None:
                self._ids = IdTable(self._archive.target_id_hashes())
            return self._ids


@dataclass(frozen=True, slots=True)
class _Proven:
    """Records that were found in the target, by their ids in the source, and the hashes `(n, 48)` of what was there."""

    ids: IdTable
    hashes: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, archive: Archive) -> _Proven:
        blocks = [rows.filter(rows.in_target()) for rows in archive.target_rows()]
        none = np.zeros((0, columns.HASHES_BYTES), dtype=np.uint8)
        return cls(
            IdTable(rows.id_hashes() for rows in blocks),
            np.concatenate([none, *(rows.target_hashes() for rows in blocks)]),
        )


def _mixed(
    actual: pa.RecordBatch,
    decoded: pa.RecordBatch,
    originals: pa.RecordBatch,
    recorded: npt.NDArray[np.uint8],
    wanted: frozenset[Part],
) -> pa.RecordBatch:
    """Originals where a part of `actual` has the hash that was recorded, `decoded` elsewhere; rows in one order."""
    same = {part: _same(actual, recorded, part) for part in needed_parts(wanted)}
    text = same[Part.PAYLOAD] & same[Part.DOCUMENT]
    masks = {columns.PAYLOAD: text, columns.DOCUMENT: text}
    masks |= {columns.column_name(name): same[Part.VECTORS] for name in columns.vector_names(decoded)}
    schema = only_parts(decoded, wanted).schema
    arrays = [
        _choose(masks[name], originals.column(name), decoded.column(name)) if name in masks else originals.column(name)
        for name in schema.names
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _ids_of(batch: pa.RecordBatch) -> pa.RecordBatch:
    return columns.ids_of(batch)


def _names_of(records: pa.RecordBatch, parts: frozenset[Part]) -> list[str]:
    """The columns of a sealed batch that hold these parts."""
    names: list[str] = columns.arrow_schema(columns.fields_of(records.schema), parts, sealed=True).names
    return names


def _same(actual: pa.RecordBatch, recorded: npt.NDArray[np.uint8], part: Part) -> Mask:
    """`(n,) bool`: rows whose part has the hash that was recorded when it was proven."""
    same: Mask = (sealing.hash_part(actual, part) == sealing.of_part(recorded, part)).all(axis=1)
    return same


def _choose(mask: Mask, yes: pa.Array, no: pa.Array) -> pa.Array:
    """`yes` where the mask is true, `no` elsewhere, without touching single values where all agree."""
    if mask.all():
        return yes
    if not mask.any():
        return no
    rows = np.arange(len(mask))
    return pa.concat_arrays([yes, no]).take(pa.array(np.where(mask, rows, rows + len(mask))))
