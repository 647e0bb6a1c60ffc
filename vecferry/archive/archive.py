"""One collection's archive: the verbs that fill it, read it and check it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import failpoints, sealing
from vecferry.archive import cutover, deltas, layout, manifest, reader, writer
from vecferry.archive.delta_rows import DeltaHashRows, DeltaRows, is_tombstone
from vecferry.archive.deltas import WrittenDelta
from vecferry.archive.hash_rows import HASHES_SCHEMA, HashRows
from vecferry.archive.index import IdIndex, Overlay
from vecferry.archive.manifest import Changes, Manifest
from vecferry.archive.storage import LocalStorage, Storage
from vecferry.archive.verifier import Verification, Verifier
from vecferry.errors import ArchiveDamaged, NotFound, TargetNotEmpty
from vecferry.model import ALL_PARTS, IDS_ONLY, JsonObject, Part, Receipt, VectorField

__all__ = ["Archive", "file_sha256", "verify"]

Hashes = npt.NDArray[np.uint8]

_BLOCK_BYTES = 1 << 20
_ID_BATCH_ROWS = 10_000


class Archive:
    """The archive of one collection. Parts may be written and read by several threads and processes at once;
    `commit` is for one run alone (its lease sees to that).
    """

    def __init__(self, storage: Storage, collection: str) -> None:
        self.storage = storage
        self.collection = collection
        self._index: tuple[int, IdIndex] | None = None
        self._overlay: tuple[int, Overlay] | None = None
        self._index_lock = threading.Lock()

    @property
    def place(self) -> str:
        """The collection's folder, for messages."""
        return self.storage.place()

    # Making and finding

    @classmethod
    def create(cls, folder: Path, collection: str, plan: JsonObject) -> Archive:
        """Start an archive: its plan is written before anything else. Starting the same plan again goes on with it.

        A plan that nothing followed is replaced. Raises TargetNotEmpty when the folder holds parts of another plan
        or other files, Stopped or StoreRefused when it cannot be written.
        """
        archive = cls(_storage(folder, collection), collection)
        text = manifest.plan_bytes(collection, plan)
        files = archive.storage.files()
        if not set(files) - {layout.PLAN}:
            archive.storage.put(layout.PLAN, text)
        elif layout.PLAN not in files or not archive._has_plan(text):
            raise TargetNotEmpty(
                f"{archive.place} holds the archive of another run, or other files",
                advice="name another folder, or remove this one if nobody needs it",
            )
        return archive

    def _has_plan(self, text: bytes) -> bool:
        """Whether the archive was started with this plan, by this or an earlier version."""
        there = self.storage.read(layout.PLAN)
        place = self.storage.place(layout.PLAN)
        return there == text or manifest.parse_plan(there, place) == manifest.parse_plan(text, place)

    @classmethod
    def open(cls, folder: Path, collection: str) -> Archive:
        """An archive that was started. Raises NotFound, naming the collections that are there."""
        archive = cls(_storage(folder, collection), collection)
        if archive.storage.size(layout.PLAN) is None and not archive.has_manifest():
            known = ", ".join(map(repr, cls.collections(folder)))
            advice = f"it holds {known}" if known else "it holds no archive at all: is it the right folder?"
            raise NotFound(f"{folder} holds no archive of the collection {collection!r}", advice=advice)
        return archive

    @classmethod
    def collections(cls, folder: Path) -> list[str]:
        """Names of the collections whose archives are in a folder, sorted; folders of other things are passed over."""
        root = LocalStorage(folder)
        found = [_name_of(root.below(name), name) for name in root.folders()]
        return sorted(name for name in found if name is not None)

    def plan(self) -> JsonObject:
        """The plan that the archive was started with. Raises ArchiveDamaged."""
        return manifest.parse_plan(self.storage.read(layout.PLAN), self.storage.place(layout.PLAN))[1]

    # Filling

    def write_part(self, number: int, arrow_schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Receipt:
        """Write the records of one slice, sealed; a part that is there already is replaced.

        `arrow_schema` is that of the batches, `batch.arrow_schema(vectors)`. The same rows give the same bytes.
        Memory: one row group (10,000 rows or 64 MiB) and one batch, and 16 bytes a record.
        Raises BadRecord for a record that does not fit the schema or an id that comes twice, Stopped or
        StoreRefused when the file cannot be written. The part is visible only once it is whole.
        """
        return writer.write_part(self.storage, number, arrow_schema, batches)

    def write_hashes(self, number: int, rows: Iterable[HashRows]) -> Receipt:
        """Write ids and hashes of one slice, replacing what was there. Errors as for `write_part`."""
        return writer.write_hashes(self.storage, number, rows)

    def write_delta(self, number: int, vectors: Sequence[VectorField], rows: Iterable[DeltaRows]) -> WrittenDelta:
        """Write what one pass found changed, each id once. Errors as for `write_part`.

        `vectors` are those of the parts. Memory: one row group and one batch, and 16 bytes a row.
        """
        return deltas.write_delta(self.storage, number, vectors, rows)

    def write_delta_hashes(self, number: int, rows: Iterable[DeltaHashRows]) -> Receipt:
        """Write what was read back of a delta once it was loaded. Errors as for `write_part`."""
        return deltas.write_delta_hashes(self.storage, number, rows)

    def write_cutover(self, statement: JsonObject, rows: Iterable[pa.RecordBatch]) -> Receipt:
        """Write what a switch stands on: batches of `HASHES_SCHEMA`, each id once, and which switch it is.

        Errors as for `write_part`; memory 16 bytes a row. `commit` lists it.
        """
        return cutover.write_cutover(self.storage, statement, rows)

    def commit(self, changes: Changes) -> Manifest:
        """Replace the manifest by its next generation. The first one needs `changes.schema` (ValueError).

        Raises ArchiveDamaged when a part that the changes list is not there at its size, or, with
        `complete=True`, when any is not.
        """
        if self.has_manifest():
            new = self.manifest().changed(changes)
        else:
            plan_sha256 = hashlib.sha256(self.storage.read(layout.PLAN)).hexdigest()
            new = Manifest.first(self.collection, plan_sha256, changes)
        listed = [part.rows for part in new.parts] if new.complete else changes.parts
        of_deltas = [receipt for delta in changes.deltas for receipt in (delta.rows, delta.hashes)]
        of_cutover = [] if changes.cutover is None else [changes.cutover]
        self._refuse_absent([*listed, *changes.hashes, *of_deltas, *of_cutover])
        self.storage.put(layout.MANIFEST, new.to_bytes())
        failpoints.reached("archive.committed")
        return new

    def _refuse_absent(self, receipts: Iterable[Receipt]) -> None:
        for receipt in receipts:
            if self.storage.size(receipt.path) != receipt.size_bytes:
                raise ArchiveDamaged(
                    f"{self.storage.place(receipt.path)} is not there at its {receipt.size_bytes} bytes",
                    advice="`vecferry resume ID` writes it again while the migration is not complete",
                )

    # Reading

    def has_manifest(self) -> bool:
        """Whether anything was committed."""
        return self.storage.size(layout.MANIFEST) is not None

    def manifest(self) -> Manifest:
        """The manifest as it is now. Raises ArchiveDamaged when it is missing, changed, or of another collection."""
        if not self.has_manifest():
            raise ArchiveDamaged(
                f"{self.place} has no manifest: its export did not finish",
                advice="`vecferry resume ID` goes on with it",
            )
        place = self.storage.place(layout.MANIFEST)
        found = Manifest.parse(self.storage.read(layout.MANIFEST), place)
        if found.collection != self.collection:
            raise ArchiveDamaged(
                f"{place} is of the collection {found.collection!r}, not {self.collection!r}",
                advice="a collection's folder keeps its name: was it renamed or copied over another?",
            )
        return found

    def read_part(
        self, number: int, batch_rows: int = 1000, parts: frozenset[Part] = ALL_PARTS
    ) -> Iterator[pa.RecordBatch]:
        """The sealed records of a part in batches of at most `batch_rows`, in the order of writing.

        Needs no manifest. Page checksums are verified, the records have to add up to the file's digest and,
        where all their parts are read, each is held against its hash. Raises ArchiveDamaged when the file is
        missing, cut or changed.
        """
        return reader.read_part(self.storage, number, batch_rows, parts)

    def read_hashes(self, number: int) -> HashRows:
        """Ids and hashes of a part, about 200 bytes a record. Raises ArchiveDamaged, also when none were written."""
        return HashRows.of(reader.read_hashes(self.storage, number, _ID_BATCH_ROWS))

    def hash_batches(self, number: int) -> Iterator[pa.RecordBatch]:
        """Ids and hashes of a part in batches of `HASHES_SCHEMA`. Raises ArchiveDamaged, also when there are none."""
        return reader.read_hashes(self.storage, number, _ID_BATCH_ROWS)

    def has_hashes(self, number: int) -> bool:
        """Whether ids and hashes of a part were written."""
        return self.storage.size(layout.hashes_path(number)) is not None

    def read_delta(self, number: int, batch_rows: int = 1000) -> Iterator[DeltaRows]:
        """The rows of a delta, in the order of `seq`. Needs no manifest. Raises ArchiveDamaged as `read_part` does."""
        return deltas.read_delta(self.storage, number, batch_rows)

    def read_delta_hashes(self, number: int) -> Iterator[pa.RecordBatch]:
        """What was read back of a delta, in batches of `DELTA_HASHES_SCHEMA`. Raises ArchiveDamaged."""
        return deltas.read_delta_hashes(self.storage, number, _ID_BATCH_ROWS)

    def read_cutover(self) -> Iterator[pa.RecordBatch]:
        """Rows of the cutover file, in batches of `HASHES_SCHEMA`. Raises ArchiveDamaged, also where there is none."""
        return cutover.read_cutover(self.storage, _ID_BATCH_ROWS)

    def cutover_statement(self) -> JsonObject:
        """What the cutover file says of its switch. Raises ArchiveDamaged, also when there is none."""
        return cutover.read_statement(self.storage)

    def written_to_target(self, batch_rows: int) -> Iterator[pa.RecordBatch]:
        """Every version of a record that was to be written to the target, from all parts and deltas that are there.

        Sealed, in the source's terms. It needs no manifest, and takes what that does not list. Raises ArchiveDamaged.
        """
        for path in self.storage.files():
            part, delta = layout.part_number(path), layout.delta_number(path)
            if part is not None:
                yield from self.read_part(part, batch_rows)
            elif delta is not None:
                for rows in self.read_delta(delta, batch_rows):
                    yield rows.filter(~rows.gone() & ~rows.from_target()).records()

    def part_numbers(self) -> list[int]:
        """Numbers of the parts that the manifest lists, ascending. Raises ArchiveDamaged."""
        return [part.rows.number for part in self.manifest().parts]

    def target_rows(self) -> Iterator[HashRows]:
        """Ids and hashes of all records as they were last read back from the target, deltas included, in blocks.

        Memory: one part's hashes, and 24 bytes a row of the deltas. Raises ArchiveDamaged.
        """
        overlay = self.overlay()
        for number in self.part_numbers():
            rows = self.read_hashes(number)
            yield rows.filter(overlay.absent(rows.id_hashes())) if len(overlay) else rows
        for number in overlay.numbers:
            start = 0
            for batch in self.read_delta_hashes(number):
                last = overlay.last(number, start, sealing.hash_ids(batch)) & ~is_tombstone(batch)
                start += batch.num_rows
                yield HashRows.of([batch.select(HASHES_SCHEMA.names)]).filter(last)

    def target_id_hashes(self) -> Iterator[Hashes]:
        """Hashes of all ids that were last found in the target, `(m, 16) uint8` for each block of `target_rows`."""
        for rows in self.target_rows():
            yield rows.target_id_hashes()

    def overlay(self) -> Overlay:
        """Which ids the manifest's deltas name, and which delta says last what became of each."""
        current = self.manifest()
        with self._index_lock:
            if self._overlay is None or self._overlay[0] != current.generation:
                numbers = [delta.rows.number for delta in current.deltas]
                self._overlay = (current.generation, Overlay(numbers, self._delta_ids))
            return self._overlay[1]

    def _delta_ids(self, number: int) -> Iterator[Hashes]:
        for batch in self.read_delta_hashes(number):
            yield sealing.hash_ids(batch)

    def fetch(self, ids: pa.RecordBatch, parts: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        """The sealed records of these ids as the archive knows them last, in any order. Raises ArchiveDamaged.

        The first call reads all ids (24 bytes a record stay in memory until the next commit).
        """
        current, wanted = self.manifest(), sealing.hash_ids(ids)
        found: list[pa.RecordBatch] = []
        if current.deltas:
            overlay = self.overlay()
            for number, rows in overlay.find(wanted).items():
                found += deltas.take_records(self.storage, number, rows, parts)
            wanted = wanted[overlay.absent(wanted)]
        places = self._index_of(current).find(wanted)
        found += [reader.take_rows(self.storage, number, rows, parts) for number, rows in places.items()]
        if found:
            return pa.concat_batches(found)
        return pa.RecordBatch.from_pylist([], schema=columns.arrow_schema(current.schema.vectors, parts, sealed=True))

    def _index_of(self, current: Manifest) -> IdIndex:
        with self._index_lock:
            if self._index is None or self._index[0] != current.generation:
                numbers = [part.rows.number for part in current.parts]
                self._index = (current.generation, IdIndex((number, self._ids(number)) for number in numbers))
            return self._index[1]

    def _ids(self, number: int) -> Iterator[Hashes]:
        for batch in self.read_part(number, _ID_BATCH_ROWS, IDS_ONLY):
            yield sealing.hash_ids(batch)

    # Checking

    def confirm(self, receipt: Receipt) -> None:
        """Raise ArchiveDamaged unless the receipt's file is there with its size and SHA-256."""
        self._refuse_absent([receipt])
        if file_sha256(self.storage, receipt.path) != receipt.sha256:
            raise ArchiveDamaged(
                f"{self.storage.place(receipt.path)} was changed after it was written (SHA-256 differs)",
                advice="restore the file from a copy, or export this collection again",
            )


def verify(archive: Archive, deep: bool) -> Verification:
    """All that is wrong with an archive: files and checksums, and with `deep` every record, id and digest.

    Raises ArchiveDamaged only when the manifest itself cannot be read.
    """
    storage = archive.storage
    files = storage.files()
    verifier = Verifier(archive.manifest(), files)
    for path in verifier.expected():
        if path not in files:
            continue
        verifier.checksum(path, file_sha256(storage, path))
        if path != layout.PLAN:
            if deep:
                _feed_rows(verifier, archive, path)
            verifier.end(path)
    return verifier.result()


def file_sha256(storage: Storage, path: str) -> str:
    """SHA-256 of a file in hex, read in blocks. Raises ArchiveDamaged when it cannot be read."""
    found = hashlib.sha256()
    with storage.open(path) as file:
        while block := file.read(_BLOCK_BYTES):
            found.update(block)
    return found.hexdigest()


def _feed_rows(verifier: Verifier, archive: Archive, path: str) -> None:
    records = layout.holds_records(path)
    if layout.is_delta(path):
        read = deltas.read_delta_rows if records else deltas.read_delta_hash_rows
    else:
        read = reader.read_rows if records else reader.read_hash_rows
    try:
        for batch in read(archive.storage, path, _ID_BATCH_ROWS):
            verifier.rows(path, batch)
    except ArchiveDamaged as error:
        verifier.unreadable(path, str(error))


def _storage(folder: Path, collection: str) -> LocalStorage:
    return LocalStorage(folder).below(layout.folder_name(collection))


def _name_of(storage: Storage, folder: str) -> str | None:
    """The collection whose archive is in a folder, or None."""
    name = layout.collection_name(folder)
    if storage.size(layout.PLAN) is None:
        return name if storage.size(layout.MANIFEST) is not None else None
    if name is not None:
        return name
    return manifest.parse_plan(storage.read(layout.PLAN), storage.place(layout.PLAN))[0]
