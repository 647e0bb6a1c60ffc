"""A collection of a Chroma folder as a source, read directly: exact, and the folder stays as it is byte for byte."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import pyarrow as pa

from vecferry.capabilities import Capabilities
from vecferry.conditions import Condition
from vecferry.contract import Source, SourceFile
from vecferry.errors import BadRecord
from vecferry.forwarding import NarrowedSource
from vecferry.model import ALL_PARTS, CollectionSchema, Feature, Part, Slice, VectorField
from vecferry.stores.chroma import capabilities, folder_handles, records, schema
from vecferry.stores.chroma.checks import known_ids
from vecferry.stores.chroma.filters import values_of
from vecferry.stores.chroma.folder import FolderCollection, KeyRange
from vecferry.stores.chroma.metadata_rows import DOCUMENT_KEY, URI_KEY
from vecferry.stores.folder_files import files_below

__all__ = ["FolderSource"]

_INTERRUPTED = "the database was left with an interrupted write: it is read from a copy in which that is settled"


class FolderSource(Source):
    """One collection of an idle folder. Both readers are the same: Chroma's client writes to a folder that it opens.

    Raises NotFound and StoreRefused on opening.
    """

    def __init__(self, url: str, path: Path, name: str, tenant: str, database: str) -> None:
        self.url = url
        self._path = path
        self._lock = threading.Lock()
        with contextlib.ExitStack() as opened:
            folder = folder_handles.open_folder(path)
            opened.callback(folder_handles.close_folder, folder)
            self._collection: FolderCollection = folder.collection(name, tenant, database)
            opened.callback(self._collection.close)
            self._opened = opened.pop_all()

    def capabilities(self) -> Capabilities:
        return capabilities.folder_read()

    def describe(self) -> CollectionSchema:
        with self._lock:
            return self._described

    @cached_property
    def _described(self) -> CollectionSchema:
        collection, info = self._collection, self._collection.info
        found = schema.collection_schema(info.name, self._field, info.metadata, info.configuration)
        reserved = collection.reserved_keys()
        notes = [schema.URI_NOTE] * (URI_KEY in reserved)
        notes += [f"the index cannot be used: {collection.index_problem}"] * bool(collection.index_problem)
        notes += [_INTERRUPTED] * collection.is_settled_copy
        features = [
            Feature(f"hidden metadata {key!r}", "Chroma stores it and never shows it; it is not carried")
            for key in sorted(reserved - {DOCUMENT_KEY, URI_KEY})
        ]
        return replace(
            found,
            has_document=DOCUMENT_KEY in reserved,
            missing_vectors=collection.lost_count(),
            features=(*found.features, *features),
            notes=tuple(notes),
        )

    @cached_property
    def _field(self) -> VectorField:
        info = self._collection.info
        return schema.vector_field(info.space, info.dimension, info.metadata)

    def identity(self) -> str:
        return self._collection.info.uuid

    def count(self) -> int:
        return self._collection.count()

    def slices(self, n: int) -> list[Slice]:
        return [
            Slice(number, {"first": found.first, "last": found.last}, found.rows)
            for number, found in enumerate(self._collection.ranges(max(n, 1)))
        ]

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        for rows in self._collection.read(self._range(part), columns, batch_rows):
            yield records.rows_batch(rows)

    def narrowed(self, conditions: Sequence[Condition], beside: str = "") -> NarrowedSource | None:
        values = values_of(conditions)
        if beside or values is None:
            return None

        def read(part: Slice, columns: frozenset[Part], batch_rows: int) -> Iterator[pa.RecordBatch]:
            for rows in self._collection.read_with(values, self._range(part), columns, batch_rows):
                yield records.rows_batch(rows)

        return NarrowedSource(self, read)

    def _range(self, part: Slice) -> KeyRange:
        if not {"first", "last"} <= part.bounds.keys():
            raise BadRecord(f"{self.url} cannot read the slice {dict(part.bounds)}", advice="plan it anew")
        return KeyRange(part.bounds["first"], part.bounds["last"], part.rows or 0)

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        wanted = known_ids(ids)
        rows = self._collection.fetch(wanted, columns) if wanted else None
        if rows is None or not len(rows.ids):
            return records.empty_batch(self._field, columns)
        return records.rows_batch(rows)

    def fingerprint(self) -> str:
        return self._collection.fingerprint()

    def files(self) -> Sequence[SourceFile]:
        """The whole folder, its other collections with it: they share one database file."""
        return files_below(self._path, self._path, lambda path: not path.name.endswith("-shm"))

    def close(self) -> None:
        self._opened.close()
