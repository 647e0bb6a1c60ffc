"""The reference store: collections in this process, exact, with room for everything that a record can hold.

`memory:///NAME` is one collection, shared by all handles of the process. Tests compare other stores with it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as batches
from vecferry import sealing
from vecferry.address import Address
from vecferry.capabilities import EVERY_VECTOR, Capabilities
from vecferry.contract import Reader, Target
from vecferry.errors import NotFound, TargetNotEmpty
from vecferry.model import (
    ALL_PARTS,
    CollectionSchema,
    IdKind,
    JsonObject,
    Part,
    Slice,
)
from vecferry.stores.conform import conform

__all__ = ["MemoryStore", "open_source", "open_target"]

_CAPABILITIES = Capabilities(
    store="memory",
    engine="this process",
    id_kinds=frozenset(IdKind),
    vectors=EVERY_VECTOR,
    document=True,
    one_process=True,
    parallel_reads=4,
    parallel_writes=4,
    max_batch_rows=100_000,
    max_batch_bytes=1 << 30,
    cheap_vectors=True,
)


@dataclass(slots=True)
class _Collection:
    """Batches as they were written; `where` says which row, counted through all of them, is an id's newest."""

    schema: CollectionSchema
    written: list[pa.RecordBatch]
    rows: int = 0
    where: dict[tuple[str, str], int] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)


_collections: dict[str, _Collection] = {}
_registry_lock = threading.Lock()


def open_source(address: Address, reader: Reader = Reader.FAST) -> MemoryStore:
    """Open an existing collection. Raises NotFound."""
    store = open_target(address, reader)
    store.describe()
    return store


def open_target(address: Address, reader: Reader = Reader.FAST) -> MemoryStore:
    """Open a collection that need not exist."""
    address.only_options()
    return MemoryStore(str(address), address.collection())


class MemoryStore(Target):
    """One collection of this process. Both readers are the same: there is no slower public path."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self._name = name

    def capabilities(self) -> Capabilities:
        return _CAPABILITIES

    def exists(self) -> bool:
        return self._name in _collections

    def describe(self) -> CollectionSchema:
        collection = self._collection()
        with collection.lock:
            live = self._live(collection)
        kinds = frozenset(IdKind(kind) for kind in set(batches.id_kinds(live)))
        missing = max(
            (live.column(batches.column_name(v.name)).null_count for v in collection.schema.vectors), default=0
        )
        document = live.column(batches.DOCUMENT).null_count < live.num_rows
        return replace(collection.schema, id_kinds=kinds, missing_vectors=missing, has_document=document)

    def count(self) -> int:
        return len(self._collection().where)

    def slices(self, n: int) -> list[Slice]:
        self._collection()
        return [Slice(number, {"class": number, "of": max(n, 1)}) for number in range(max(n, 1))]

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        collection = self._collection()
        with collection.lock:
            rows = self._project(collection, self._live(collection), columns)
        wanted = rows.filter(pa.array(_hash_class(rows, int(part.bounds["of"])) == int(part.bounds["class"])))
        for start in range(0, wanted.num_rows, batch_rows):
            yield wanted.slice(start, batch_rows)

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        collection = self._collection()
        with collection.lock:
            found = dict.fromkeys(row for key in _keys(ids) if (row := collection.where.get(key)) is not None)
            return self._project(collection, _take(collection, list(found)), columns)

    def create(self, schema: CollectionSchema, mark: JsonObject) -> None:
        rows = batches.empty(schema.vectors)
        with _registry_lock:
            if self._name in _collections:
                raise TargetNotEmpty(f"{self.url} exists", advice="choose another name")
            stored = replace(schema, name=self._name, mark=dict(mark), features=(), notes=(), dialect="")
            _collections[self._name] = _Collection(stored, [rows])

    def write(self, batch: pa.RecordBatch) -> None:
        collection = self._collection()
        with collection.lock:
            incoming = conform(batch, collection.written[0].schema, self.url)
            collection.written.append(incoming)
            first, collection.rows = collection.rows, collection.rows + incoming.num_rows
            collection.where.update(zip(_keys(incoming), range(first, collection.rows), strict=True))

    def delete(self, ids: pa.RecordBatch) -> None:
        collection = self._collection()
        with collection.lock:
            for key in _keys(ids):
                collection.where.pop(key, None)

    def drop(self) -> None:
        with _registry_lock:
            _collections.pop(self._name, None)

    def _collection(self) -> _Collection:
        found = _collections.get(self._name)
        if found is None:
            raise NotFound(f"{self.url} does not exist", advice="a memory collection lives as long as its process")
        return found

    def _live(self, collection: _Collection) -> pa.RecordBatch:
        """The newest row of each id. Older rows are dropped for good once they are the majority."""
        live = _take(collection, list(collection.where.values()))
        if collection.rows > 2 * live.num_rows:
            collection.written, collection.rows = [live], live.num_rows
            collection.where = {key: row for row, key in enumerate(collection.where)}
        return live

    def _project(self, collection: _Collection, rows: pa.RecordBatch, parts: frozenset[Part]) -> pa.RecordBatch:
        return rows.select(batches.arrow_schema(collection.schema.vectors, parts).names)


def _keys(batch: pa.RecordBatch) -> list[tuple[str, str]]:
    return list(zip(batches.id_kinds(batch), batches.id_texts(batch).to_pylist(), strict=True))


def _take(collection: _Collection, positions: list[int]) -> pa.RecordBatch:
    if len(collection.written) > 1:
        collection.written = [pa.concat_batches(collection.written)]
    return collection.written[0].take(pa.array(positions, pa.int64()))


def _hash_class(rows: pa.RecordBatch, classes: int) -> npt.NDArray[np.uint64]:
    """Which of `classes` equal parts of the hash space each id falls into, `(n,)`."""
    if not rows.num_rows:
        return np.zeros(0, dtype=np.uint64)
    return sealing.hash_ids(rows).view(">u8")[:, 0].astype(np.uint64) % np.uint64(classes)
