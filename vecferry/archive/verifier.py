"""What is wrong with an archive, found without I/O: the caller feeds what it read, in a stated order.

1. `Verifier(manifest, files)`: the manifest, and every file that is there with its size;
2. for each file of `expected()`, in that order, if it is there: `checksum(path, sha256)`, then, to look at the rows
   too, `rows(path, batch)` for each batch, or `unreadable(path, reason)`; then `end(path)`;
3. `result()`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns
from vecferry import hashing, sealing
from vecferry.archive import layout
from vecferry.archive.delta_rows import is_tombstone
from vecferry.archive.deltas import Shift, shift_of
from vecferry.archive.manifest import Manifest
from vecferry.idtable import IdSet
from vecferry.model import Digest, Receipt, VectorField, VectorKind

__all__ = ["Damage", "DamageKind", "Verification", "Verifier"]

_MOST_PER_FILE = 10

Mask = npt.NDArray[np.bool_]


class DamageKind(StrEnum):
    """What can be wrong with an archive."""

    INCOMPLETE = "incomplete"
    """The manifest says that not every slice is there yet."""
    MISSING = "missing"
    """The manifest lists a file that is not there."""
    EXTRA = "extra"
    """A file is there that the manifest does not list."""
    SIZE = "size"
    """A file was cut, or grew."""
    CHANGED = "changed"
    """A file's SHA-256 is not the one in the manifest."""
    UNREADABLE = "unreadable"
    """A file cannot be read as Parquet, or fails a page checksum."""
    ROWS = "rows"
    """A file holds another number of records than its receipt says."""
    DIGEST = "digest"
    """The ids or hashes of a file do not add up to its digest."""
    RECORD = "record"
    """A record's values do not have the hash that stands beside them."""
    BORDERS = "borders"
    """The smallest or largest id of a file is not the one in its receipt."""
    SCHEMA = "schema"
    """A part's or delta's vectors are not those of the collection's schema."""
    STRANGERS = "strangers"
    """A file of hashes is about records that its part or delta does not hold so."""
    REPEATED_ID = "repeated id"
    """An id stands in the archive more than once."""


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is wrong: its kind, the file, and the record where it is one record's."""

    kind: DamageKind
    path: str
    detail: str
    record_id: str | None = None

    def __str__(self) -> str:
        return f"{self.path}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found and how much was looked at. `rows` is 0 where the rows were not read."""

    damages: tuple[Damage, ...]
    files: int
    size_bytes: int
    rows: int

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.damages


@dataclass(slots=True)
class _Open:
    """The file that is being fed."""

    receipt: Receipt
    read: bool = False
    rows: int = 0
    digest: Digest = field(default_factory=Digest)
    shift: Shift = field(default_factory=Shift)
    borders: tuple[bytes, bytes] | None = None

    def widen(self, batch: pa.RecordBatch) -> None:
        """Let the borders hold the ids of a batch."""
        found = pc.min_max(batch.column(columns.ID).cast(pa.binary())).as_py()
        if batch.num_rows:
            low, high = self.borders or (found["min"], found["max"])
            self.borders = min(low, found["min"]), max(high, found["max"])

    def id_borders(self) -> list[str | None]:
        """The smallest and the largest id."""
        return [None, None] if self.borders is None else [border.decode() for border in self.borders]


class Verifier:
    """Collects what is wrong. Raises ValueError when it is fed out of order."""

    def __init__(self, manifest: Manifest, files: Mapping[str, int]) -> None:
        self._files = dict(files)
        self._receipts = {receipt.path: receipt for receipt in _receipts(manifest)}
        self._shifts = {delta.rows.path: Shift(delta.added, delta.removed) for delta in manifest.deltas}
        self._plan_sha256 = manifest.plan_sha256
        self._damages: list[Damage] = []
        self._left = self.expected()
        self._open: _Open | None = None
        self._ids = IdSet()
        # The records of the part or delta that was read last, for its file of hashes, which comes next.
        self._records = IdSet()
        self._records_of: int | None = None
        self._checked = self._rows = 0
        if not manifest.complete:
            self._found(
                DamageKind.INCOMPLETE, layout.MANIFEST, "not every slice of the plan has arrived in the archive"
            )
        self._fields = {field.name: field for field in manifest.schema.vectors}
        self._compare_files()
        self._compare_digests(manifest)

    def expected(self) -> list[str]:
        """The files to feed, in order: the plan, parts and deltas, each before its hashes, and the cutover file."""
        return [layout.PLAN, *self._receipts]

    def checksum(self, path: str, sha256: str) -> None:
        """The SHA-256 of the next file. Files that are not there are passed over."""
        if self._open is not None or path not in self._left:
            raise ValueError(f"{path} was fed out of order")
        del self._left[: self._left.index(path) + 1]
        self._checked += 1
        known = self._plan_sha256 if path == layout.PLAN else self._receipts[path].sha256
        if sha256 != known:
            self._found(DamageKind.CHANGED, path, "its bytes are not those that were written (SHA-256 differs)")
        if path != layout.PLAN:
            self._open = _Open(self._receipts[path])
        if layout.holds_records(path):
            self._records, self._records_of = IdSet(), None

    def rows(self, path: str, batch: pa.RecordBatch) -> None:
        """The next rows of the file: a sealed batch of a part, or a batch of a delta or of a file of hashes."""
        opened = self._opened(path)
        if not opened.read and layout.holds_records(path):
            self._compare_vectors(path, batch)
        opened.read = True
        opened.rows += batch.num_rows
        ids, hashes = sealing.hash_ids(batch), columns.stored_hashes(batch)
        opened.digest += hashing.digest(ids, hashes)
        opened.widen(batch)
        records = hashing.hash_rows(np.concatenate([ids, hashes], axis=1), 0)
        if layout.holds_records(path):
            self._rows += batch.num_rows
            self._records.add(records)
            if path in self._shifts:
                opened.shift += shift_of(batch)
                self._check_delta(path, batch)
            else:
                self._check_records(path, batch)
                again = self._ids.add(ids)
                self._name(DamageKind.REPEATED_ID, path, batch, again, "stands in the archive more than once")
        elif path != layout.CUTOVER and self._records_of == opened.receipt.number:
            strangers = self._records.absent(records)
            self._name(DamageKind.STRANGERS, path, batch, strangers, "does not stand so in its part")

    def unreadable(self, path: str, reason: str) -> None:
        """The file could not be read, or not to its end."""
        opened = self._opened(path)
        opened.read = False
        self._found(DamageKind.UNREADABLE, path, reason)

    def end(self, path: str) -> None:
        """The file's end: its rows, if they were fed, are held against its receipt."""
        opened = self._opened(path)
        self._open = None
        if not opened.read and opened.receipt.rows:
            return
        receipt = opened.receipt
        if layout.holds_records(path):
            self._records_of = receipt.number
        if opened.rows != receipt.rows:
            self._found(DamageKind.ROWS, path, f"it holds {opened.rows} records, its receipt says {receipt.rows}")
        if str(opened.digest) != receipt.digest:
            self._found(DamageKind.DIGEST, path, "its ids and hashes do not add up to its digest")
        if path in self._shifts and opened.shift != self._shifts[path]:
            self._found(DamageKind.DIGEST, path, "what it adds and removes is not what the manifest says")
        found = opened.id_borders()
        if found != [receipt.id_min, receipt.id_max]:
            self._found(
                DamageKind.BORDERS, path, f"its ids reach from {found[0]!r} to {found[1]!r}, not as its receipt"
            )

    def result(self) -> Verification:
        """Everything that was found. Raises ValueError when a file that is there was not fed."""
        skipped = [path for path in self._left if path in self._files]
        if skipped or self._open is not None:
            raise ValueError(f"{skipped[0] if skipped else 'the last file'} was not fed to its end")
        size_bytes = sum(self._files.get(path, 0) for path in self.expected())
        return Verification(tuple(self._damages), self._checked, size_bytes, self._rows)

    def _compare_files(self) -> None:
        for path in self.expected():
            size = self._files.get(path)
            known = self._receipts[path].size_bytes if path in self._receipts else size
            if size is None:
                self._found(DamageKind.MISSING, path, "the manifest lists it, and it is not there")
            elif size != known:
                verb = "was cut" if size < (known or 0) else "grew"
                self._found(DamageKind.SIZE, path, f"it {verb}: {size} bytes instead of {known}")
        for path in sorted(self._files):
            listed = path == layout.MANIFEST or path == layout.PLAN or path in self._receipts
            if not listed and not layout.is_reserved(path):
                self._found(DamageKind.EXTRA, path, "it is there, and the manifest does not list it")

    def _compare_digests(self, manifest: Manifest) -> None:
        for part in manifest.parts:
            if part.hashes is None or part.hashes.rows < part.rows.rows:
                continue
            if part.hashes.digest != part.rows.digest:
                self._found(DamageKind.STRANGERS, part.hashes.path, "it is not about the records of its part")
        for delta in manifest.deltas:
            if delta.hashes.digest != delta.rows.digest:
                self._found(DamageKind.STRANGERS, delta.hashes.path, "it is not about the records of its delta")

    def _compare_vectors(self, path: str, batch: pa.RecordBatch) -> None:
        found = {field.name: field for field in columns.fields_of(batch.schema)}
        for name in sorted(found.keys() | self._fields.keys()):
            one, other = found.get(name), self._fields.get(name)
            if one is None or other is None or _kind(one) != _kind(other):
                self._found(DamageKind.SCHEMA, path, f"its vector {name!r} is not as in the collection's schema")

    def _check_records(self, path: str, batch: pa.RecordBatch) -> None:
        same = (sealing.hash_parts(batch) == columns.stored_hashes(batch)).all(axis=1)
        self._name(DamageKind.RECORD, path, batch, ~same, "is not what was written")

    def _check_delta(self, path: str, batch: pa.RecordBatch) -> None:
        """Upserts are held against their hashes; of what is gone no hash is left."""
        gone = is_tombstone(batch)
        kept = batch.filter(pa.array(~gone))
        self._check_records(path, kept)
        wrong = gone & columns.stored_hashes(batch).any(axis=1)
        self._name(DamageKind.RECORD, path, batch, wrong, "is gone, and has a hash")

    def _name(self, kind: DamageKind, path: str, batch: pa.RecordBatch, bad: Mask, what: str) -> None:
        """Damages of the first rows where `bad`, `(n,) bool`, by id, and one for how many more there are."""
        rows = np.flatnonzero(bad).tolist()
        for row in rows[:_MOST_PER_FILE]:
            name = str(columns.record_ids(batch.slice(row, 1))[0])
            self._found(kind, path, f"the record {name} {what}", name)
        if len(rows) > _MOST_PER_FILE:
            self._found(kind, path, f"and {len(rows) - _MOST_PER_FILE} more records near it {what}")

    def _opened(self, path: str) -> _Open:
        if self._open is None or self._open.receipt.path != path:
            raise ValueError(f"{path} was fed out of order")
        return self._open

    def _found(self, kind: DamageKind, path: str, detail: str, record_id: str | None = None) -> None:
        self._damages.append(Damage(kind, path, detail, record_id))


def _kind(vector: VectorField) -> tuple[object, ...]:
    """What Arrow knows of a vector; a sparse one's dimension is not part of it."""
    return vector.kind, vector.dtype, None if vector.kind is VectorKind.SPARSE else vector.dimension


def _receipts(manifest: Manifest) -> list[Receipt]:
    pairs: list[tuple[Receipt | None, Receipt | None]] = [(part.rows, part.hashes) for part in manifest.parts]
    pairs += [(delta.rows, delta.hashes) for delta in manifest.deltas]
    pairs.append((manifest.cutover, None))
    return [receipt for pair in pairs for receipt in pair if receipt is not None]
