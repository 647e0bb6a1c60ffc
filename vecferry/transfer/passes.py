"""A pass over a store: all ids and hashes laid aside slice by slice, then compared with what is known.

What is laid aside is called the spool: a folder of Parquet files, one a slice, that lives as long as the pass. The pass
itself reads no record twice; whoever acts on what it found reads those records again, strongly.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vecferry import batch as columns
from vecferry import plain, sealing
from vecferry.contract import Source
from vecferry.errors import DataDiffer, Stopped
from vecferry.model import CollectionSchema, Digest, Slice, VectorField
from vecferry.stores.staging import write_whole, writing
from vecferry.transfer import retry
from vecferry.transfer.limits import Limits
from vecferry.transfer.plan import cut
from vecferry.transfer.read import read_within

__all__ = [
    "SPOOL_SCHEMA",
    "Spool",
    "SpooledSlice",
    "View",
    "begin_spool",
    "open_spool",
    "remove",
    "require_same_collection",
    "require_unmoved",
    "spool_slice",
]

SPOOL_SCHEMA = columns.arrow_schema((), frozenset(), sealed=True)
"""Ids and the 48 bytes of each record's hashes."""

_VIEW = "pass.json"
_DIGEST = b"vecferry.digest"
_BATCH_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class View:
    """What a pass looks at: the slices, and the store as it was before the first row.

    `identity` and `fingerprint` are the store's (see `Source`).
    """

    slices: tuple[Slice, ...]
    rows: int
    identity: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class SpooledSlice:
    """How many rows one slice gave, and their digest."""

    number: int
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Spool:
    """The folder of one pass."""

    folder: Path
    view: View = field(repr=False)

    def file(self, number: int) -> Path:
        """Where the rows of a slice are."""
        return self.folder / f"{number:05d}.parquet"

    def slices(self) -> list[SpooledSlice]:
        """What every slice gave. Raises Stopped when one was not read to its end."""
        return [self._slice(part.number) for part in self.view.slices]

    def _slice(self, number: int) -> SpooledSlice:
        try:
            found = pq.read_metadata(self.file(number))
        except FileNotFoundError as error:
            raise Stopped(f"slice {number} of the pass was not read; the pass begins anew with the next run") from error
        return SpooledSlice(number, found.num_rows, found.metadata[_DIGEST].decode())

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, in batches of `SPOOL_SCHEMA`."""
        for part in self.view.slices:
            with pq.ParquetFile(self.file(part.number), page_checksum_verification=True, pre_buffer=False) as file:
                for batch in file.iter_batches(_BATCH_ROWS):
                    yield batch.cast(SPOOL_SCHEMA)


def begin_spool(source: Source, folder: Path, slice_rows: int, workers: int, retry_budget_s: float) -> Spool:
    """Cut fresh slices and note what the store is now. A folder that a dead run left is emptied.

    `source` must have been opened for this pass: a handle may keep what it saw before.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with writing(str(folder)):
        folder.mkdir(parents=True)

    def look() -> View:
        # The fingerprint comes first, so that a file replaced in between is seen at the end.
        fingerprint, rows = source.fingerprint(), source.count()
        return View(cut(source, rows, slice_rows, workers), rows, source.identity(), fingerprint)

    view = retry.call(retry_budget_s, look)
    write_whole(folder / _VIEW, (json.dumps(plain.to_plain(view)) + "\n").encode())
    return Spool(folder, view)


def open_spool(folder: Path) -> Spool:
    """The spool that was begun in a folder. Raises Stopped when there is none."""
    try:
        view = plain.from_json(View, (folder / _VIEW).read_bytes())
    except FileNotFoundError as error:
        raise Stopped(f"{folder} holds no pass; it begins anew with the next run") from error
    return Spool(folder, view)


def spool_slice(source: Source, number: int, spool: Spool, limits: Limits) -> SpooledSlice:
    """Read one slice and lay its ids and hashes aside, whole or not at all; a fault that may pass starts it anew.

    Memory: a few batches. A slice that is read again replaces what was there. Raises Stopped where the disk is full.
    """
    part = next(item for item in spool.view.slices if item.number == number)
    final = spool.file(number)
    aside = final.with_name(f".{final.name}.part")

    def attempt() -> SpooledSlice:
        total = Digest()
        with pq.ParquetWriter(aside, SPOOL_SCHEMA, use_dictionary=[columns.ID_KIND], write_page_checksum=True) as file:
            for batch in read_within(source, part, limits):
                row = columns.with_hashes(columns.ids_of(batch), sealing.hash_parts(batch)).cast(SPOOL_SCHEMA)
                total += sealing.digest(row)
                file.write_batch(row)
            file.add_key_value_metadata({_DIGEST: str(total)})
        return SpooledSlice(number, total.count, str(total))

    with writing(str(spool.folder)):
        found = retry.call(limits.retry_budget_s, attempt)
        aside.replace(final)
    return found


def require_unmoved(source: Source, view: View, retry_budget_s: float) -> int:
    """The count of records now. Raises DataDiffer when files were written to since the pass began.

    Call it when the last record was read, and again when records were read by id.
    """
    fingerprint, count = retry.call(retry_budget_s, lambda: (source.fingerprint(), source.count()))
    if fingerprint != view.fingerprint:
        raise DataDiffer(
            f"the files of {source.url} were written to while they were read; nothing that this pass saw counts",
            advice="run it again: vecferry sync ID; files are best replaced in one step, by a rename",
        )
    return count


def require_same_collection(url: str, planned: CollectionSchema, found: CollectionSchema, known: str, now: str) -> None:
    """Raise DataDiffer when a collection is not the one that was planned for: dropped and made anew, or altered.

    `known` and `now` are identities; where the engine has none, vectors and metrics must say it.
    """
    advice = "nothing was changed; abort this migration and start a new one"
    if known and now != known:
        raise DataDiffer(
            f"{url} is another collection than the one that was copied ({now}, was {known})", advice=advice
        )
    fields = {one.name: one for one in found.vectors}
    for one in planned.vectors:
        other = fields.get(one.name)
        if other is None or not _alike(one, other):
            is_now = "is not there" if other is None else f"is {_words(other)}"
            raise DataDiffer(f"{url}: vector {one.name!r} {is_now}, it was {_words(one)}", advice=advice)


def _alike(one: VectorField, other: VectorField) -> bool:
    """What a store does not say (yet) differs from nothing."""
    pairs = (
        (one.kind, other.kind),
        (one.dtype, other.dtype),
        (one.dimension, other.dimension),
        (one.metric, other.metric),
    )
    return all(left == right or left is None or right is None for left, right in pairs)


def _words(one: VectorField) -> str:
    return f"{one.kind} {one.dimension or '?'} {one.dtype}, metric {one.metric or 'not recorded'}"


def remove(folder: Path) -> None:
    """Remove a spool."""
    shutil.rmtree(folder, ignore_errors=True)
