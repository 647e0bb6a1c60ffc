"""`faiss://`: an index and its metadata JSON, read as they are, written whole through the staging area."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

import pyarrow as pa

from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import Address
from vecferry.contract import Reader, SourceFile
from vecferry.errors import BadOption, BadRecord, NotFound, StoreRefused
from vecferry.model import CollectionSchema, JsonObject
from vecferry.stores.faiss_index.capabilities import capabilities
from vecferry.stores.faiss_index.engine import VectorsByEngine
from vecferry.stores.faiss_index.layout import Malformed, read_layout
from vecferry.stores.faiss_index.options import Options
from vecferry.stores.faiss_index.vectors import Vectors, VectorsByPlace, data_path
from vecferry.stores.faiss_index.view import IndexView, fingerprint
from vecferry.stores.faiss_index.writer import write_index
from vecferry.stores.file_store import FileMark, FileStore, mark_path

__all__ = ["FaissStore"]

_views: WeakValueDictionary[str, IndexView] = WeakValueDictionary()
_views_lock = threading.Lock()
"""Handles of this process that are open at the same time share what a look through the files found."""


class FaissStore(FileStore):
    """One index file. The fast reader reads by place what lies there as it is; the public reader is FAISS."""

    def __init__(self, address: Address, reader: Reader) -> None:
        self._options = Options.of(address)
        super().__init__(str(address), address.file.absolute(), capabilities(self._options.kind))
        self._reader = reader
        self._kept: IndexView | None = None

    def files(self) -> Sequence[SourceFile]:
        with self._naming():
            paths = [*self._paths(), mark_path(self.final)] if self._has_data() else [mark_path(self.final)]
        return [SourceFile(path, path.name) for path in paths if path.exists()]

    def notation(self) -> JsonObject:
        return {"payload": "canonical"}

    def create(self, schema: CollectionSchema, mark: JsonObject) -> None:
        metadata = self._options.metadata
        if metadata is None or metadata.parent != self.final.parent or metadata == mark_path(self.final):
            raise StoreRefused(f"{self.url}: the metadata of a target lie in the folder of its index, as a .json file")
        if any(field.metric is None for field in schema.vectors):
            raise StoreRefused(f"{self.url} needs a metric", advice="--metric dot|squared_euclid|manhattan")
        super().create(schema, mark)

    def close(self) -> None:
        self._kept = None

    # Reading

    def _paths(self) -> list[Path]:
        """The index, its metadata where there are some, and the data file that it names."""
        metadata = self._options.metadata
        if metadata is not None and self._options.named and not metadata.exists():
            raise NotFound(f"{self.url}: there is no {metadata}")
        layout = read_layout(self.final)
        beside = [] if layout is None or not layout.data_file else [data_path(self.final, layout)]
        return [self.final, *([metadata] if metadata is not None and metadata.exists() else []), *beside]

    def _view(self) -> IndexView:
        with self._naming():
            return self._kept_view(self._paths())

    @contextmanager
    def _naming(self) -> Iterator[None]:
        try:
            yield
        except Malformed as error:
            raise BadRecord(f"{self.final} is not a FAISS index that can be read: {error}") from error

    def _kept_view(self, paths: Sequence[Path]) -> IndexView:
        stamp = f"{self._reader} {self.url} {self.final.stat().st_ino} {fingerprint(paths)}"
        with _views_lock:
            kept = _views.get(stamp)
            if kept is None:
                kept = _views[stamp] = self._new_view(paths)
            self._kept = kept
        return kept

    def _new_view(self, paths: Sequence[Path]) -> IndexView:
        mark = self._mark()
        tagged = mark is not None and mark.notation.get("payload") == "canonical"
        return IndexView(self.url, paths, self._vectors(), self._options, tagged=tagged)

    def _vectors(self) -> Vectors:
        layout = read_layout(self.final)
        # FAISS looks for a data file where the index says that it was, or prints to the standard output.
        if layout is None or (self._reader is Reader.PUBLIC and not layout.data_file):
            return VectorsByEngine(self.final, layout)
        return VectorsByPlace(self.final, layout)

    def _has_data(self) -> bool:
        if self.final.is_dir():
            raise BadOption(f"{self.url} is a folder", advice="name the index file in it")
        return self.final.exists()

    # Writing

    def _is_occupied(self) -> bool:
        metadata = self._options.metadata
        return self._has_data() or (metadata is not None and metadata.exists())

    def _refuse(self, batch: pa.RecordBatch) -> None:
        for at, text in enumerate(batches.payloads(batch)):
            if b'"id":' in text and "id" in canonical.to_json(text):
                record = batches.record_ids(batch.slice(at, 1))[0]
                raise BadRecord(f"the payload of record {record} has a key id, which in {self.url} is the record's own")

    def _build(self, folder: Path, rows: int, found: Iterator[pa.RecordBatch], mark: FileMark) -> None:
        write_index(folder / self.final.name, rows, found, mark.vectors[0], self._options)

    def _remove(self) -> None:
        metadata = self._options.metadata
        for path in (self.final, metadata):
            if path is not None:
                path.unlink(missing_ok=True)
