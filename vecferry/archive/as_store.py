"""`archive:///DIR/COLLECTION`: a complete archive as a source, for a restore or a second import."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.address import Address
from vecferry.archive import layout
from vecferry.archive.archive import Archive
from vecferry.archive.index import Overlay
from vecferry.archive.manifest import Manifest
from vecferry.capabilities import EVERY_VECTOR, Capabilities, PayloadSupport
from vecferry.contract import Reader, Source, Target
from vecferry.errors import ArchiveDamaged, DataDiffer, StoreRefused
from vecferry.model import ALL_PARTS, CollectionSchema, IdKind, Part, Slice, VectorField

__all__ = ["CAPABILITIES", "ArchiveSource", "open_source", "open_target"]

CAPABILITIES = Capabilities(
    store="archive",
    engine=f"vecferry archive {layout.VERSION}",
    id_kinds=frozenset(IdKind),
    vectors=EVERY_VECTOR,
    payload=PayloadSupport(),
    document=True,
    parallel_reads=2,
    cheap_vectors=True,
    takes_writes=False,
)


class ArchiveSource(Source):
    """A complete archive with its deltas, read only.

    A slice is one part, or several that follow each other; where there are deltas, the last one is what they say.
    """

    def __init__(self, archive: Archive, url: str) -> None:
        self.url = url
        self._archive = archive
        self._manifest = _complete(archive)

    def capabilities(self) -> Capabilities:
        """Everything exact: an archive holds whatever a record can be."""
        return CAPABILITIES

    def describe(self) -> CollectionSchema:
        """The schema of the collection that was archived."""
        return self._manifest.schema

    def count(self) -> int:
        """Records in all parts and deltas."""
        return self._manifest.current.count

    def slices(self, n: int) -> list[Slice]:
        """Groups of parts, each with its parts' digests, so that a changed archive is seen; then the deltas."""
        receipts = [part.rows for part in self._manifest.parts]
        borders = np.linspace(0, len(receipts), min(n, max(len(receipts), 1)) + 1).astype(int).tolist()
        groups = [receipts[start:end] for start, end in pairwise(borders)]
        last = self._last_closing()
        found = [
            Slice(
                number,
                {"parts": [[receipt.number, receipt.digest] for receipt in group], **last},
                sum(receipt.rows for receipt in group),
            )
            for number, group in enumerate(groups)
        ]
        return [*found, Slice(len(found), {"parts": [], **last})] if last else found

    def _last_closing(self) -> dict[str, int]:
        """What slices say of the deltas that they were made with."""
        deltas = self._manifest.deltas
        return {"deltas": deltas[-1].closing} if deltas else {}

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        """The records of a slice. Raises DataDiffer when the archive is not the one that was sliced."""
        known = {entry.rows.number: entry.rows.digest for entry in self._manifest.parts}
        if part.bounds.get("deltas", 0) != self._last_closing().get("deltas", 0):
            raise DataDiffer(
                f"{self.url} has other deltas than those that the plan was made for",
                advice="the archive was caught up since: plan anew",
            )
        overlay = self._archive.overlay() if self._manifest.deltas else None
        if overlay is not None and not part.bounds["parts"]:
            yield from self._read_deltas(overlay, columns, batch_rows)
        for number, digest in part.bounds["parts"]:
            if known.get(number) != digest:
                raise DataDiffer(
                    f"{self.url}: part {number} is not the one that the plan was made for",
                    advice="the archive was written again since: plan anew",
                )
            for batch in self._archive.read_part(number, batch_rows, columns):
                if overlay is not None:
                    batch = batch.filter(pa.array(overlay.absent(sealing.hash_ids(batch))))
                if batch.num_rows:
                    yield _unsealed(batch)

    def _read_deltas(self, overlay: Overlay, columns: frozenset[Part], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """The records that deltas put in, each as the last of them has it."""
        for number in overlay.numbers:
            start = 0
            for rows in self._archive.read_delta(number, batch_rows):
                last = overlay.last(number, start, sealing.hash_ids(rows.batch)) & ~rows.gone()
                start += len(rows)
                kept = rows.filter(last).records()
                if kept.num_rows:
                    yield _unsealed(kept).select(_types(self._manifest.schema.vectors, columns).names)

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        """The records of these ids."""
        return _unsealed(self._archive.fetch(ids, columns))

    def fingerprint(self) -> str:
        """SHA-256 of the manifest, which holds those of all files."""
        return hashlib.sha256(self._archive.manifest().to_bytes()).hexdigest()


def open_source(address: Address, reader: Reader) -> Source:
    """Open a complete archive. Raises NotFound, or ArchiveDamaged for one that is not whole. Both readers are one."""
    address.only_options()
    archive = Archive.open(address.folder(), address.collection())
    return ArchiveSource(archive, str(address))


def open_target(address: Address, reader: Reader) -> Target:
    """Archives are filled by an export, not record by record: StoreRefused."""
    raise StoreRefused(
        f"{address} cannot be written as a store: an archive's parts are written once and whole",
        advice=f"fill it with `vecferry export SOURCE_URL {address.folder()}`",
    )


def _types(vectors: Sequence[VectorField], parts: frozenset[Part]) -> pa.Schema:
    return columns.arrow_schema(vectors, parts)


def _unsealed(batch: pa.RecordBatch) -> pa.RecordBatch:
    return columns.drop_hashes(batch)


def _complete(archive: Archive) -> Manifest:
    manifest = archive.manifest()
    if not manifest.complete:
        raise ArchiveDamaged(
            f"{archive.place} is not complete: it holds {len(manifest.parts)} parts, and its plan has more",
            advice="`vecferry resume ID` goes on with the run that fills it",
        )
    return manifest
