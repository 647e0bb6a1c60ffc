"""`qdrant+edge:///DIR/COLLECTION`: Qdrant's own engine in this process, one folder a collection.

A write is in the engine's log before it is acknowledged (kill -9 keeps it); `finish_load` flushes. The HNSW index
is built only on request (`?optimize=true`): it takes minutes for a large collection, and until then every search
scans. Both readers are one path, because the engine has no other; closing the last handle of a folder closes the
engine, so a reader that comes later reads from disk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
import qdrant_edge as engine

from vecferry import batch as columns
from vecferry.address import Address
from vecferry.capabilities import Capabilities
from vecferry.conditions import Condition
from vecferry.contract import Reader, SourceFile, Target
from vecferry.errors import BadOption, NotFound, StoreRefused, TargetNotEmpty
from vecferry.forwarding import NarrowedSource
from vecferry.model import (
    ALL_PARTS,
    CollectionSchema,
    Feature,
    JsonObject,
    Part,
    RecordId,
    Slice,
    VectorField,
)
from vecferry.stores.folder_files import files_below
from vecferry.stores.qdrant import capabilities, edge_settings, slicing
from vecferry.stores.qdrant.checks import check_batch, known_ids
from vecferry.stores.qdrant.edge_filters import edge_filter
from vecferry.stores.qdrant.edge_folder import EdgeFolder
from vecferry.stores.qdrant.edge_rows import EngineId, engine_config, engine_points
from vecferry.stores.qdrant.edge_shards import Lease, close_all, engine_errors
from vecferry.stores.qdrant.payloads import UINT64_MAX
from vecferry.stores.qdrant.records import driver_id, objects_batch
from vecferry.stores.qdrant.schema import ID_KINDS, check_fields, vector_fields
from vecferry.stores.qdrant.settings import Settings

__all__ = ["EdgeStore", "open_source", "open_target"]

_T = TypeVar("_T")
_PAGE_ROWS = 1000
_FETCH_IDS = 1000
# Up to here the borders of slices come from all ids; beyond, from a random sample.
_COUNTED_IDS = 20_000
_SAMPLED_IDS = 10_000


def open_source(address: Address, reader: Reader = Reader.FAST) -> EdgeStore:
    """Open an existing collection. Raises NotFound."""
    store = open_target(address, reader)
    store.require()
    return store


def open_target(address: Address, reader: Reader = Reader.FAST) -> EdgeStore:
    """Open a collection that need not exist."""
    address.only_options("optimize")
    if address.host:
        raise BadOption(f"{address} names a host", advice="a folder has three slashes: qdrant+edge:///DIR/COLLECTION")
    optimize = address.options.get("optimize", "false")
    if optimize not in ("true", "false"):
        raise BadOption(f"optimize={optimize} is neither true nor false")
    return EdgeStore(str(address), EdgeFolder(address.folder(), address.collection()), optimize == "true")


class EdgeStore(Target):
    """One folder of the embedded engine."""

    def __init__(self, url: str, folder: EdgeFolder, optimize: bool) -> None:
        self.url = url
        self._folder = folder
        self._optimize = optimize
        self._lease = Lease(folder.path, url)

    # Reading

    def capabilities(self) -> Capabilities:
        return capabilities.edge()

    def exists(self) -> bool:
        return self._folder.exists()

    def require(self) -> None:
        """Raise NotFound unless the collection is there."""
        if not self._folder.exists():
            raise NotFound(f"{self.url}: no collection of qdrant-edge is in {self._folder.path}")

    def describe(self) -> CollectionSchema:
        config, fields = self._config(), self._fields()
        info = self._ask(lambda shard: shard.info())
        missing = max((self._count_without(field.name) for field in fields), default=0)
        unindexed = info.points_count and not info.indexed_vectors_count
        return CollectionSchema(
            name=self._folder.path.name,
            vectors=fields,
            id_kinds=ID_KINDS,
            features=tuple(edge_settings.features(config, info.payload_schema)),
            mark=self._folder.mark(),
            missing_vectors=missing,
            notes=("no HNSW index is built: every search scans all records (?optimize=true)",) if unindexed else (),
        )

    def count(self) -> int:
        return int(self._ask(lambda shard: shard.count(engine.CountRequest(exact=True))))

    def slices(self, n: int) -> list[Slice]:
        return slicing.cut(self._sample(), n) if n > 1 else slicing.cut((), 1)

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        return self._pages(part, columns, batch_rows, None)

    def narrowed(self, conditions: Sequence[Condition], beside: str = "") -> NarrowedSource | None:
        only = edge_filter(conditions, beside, self._ask(lambda shard: shard.info()).payload_schema)
        return None if only is None else NarrowedSource(self, partial(self._pages, only=only))

    def _pages(
        self, part: Slice, columns: frozenset[Part], batch_rows: int, only: engine.Filter | None
    ) -> Iterator[pa.RecordBatch]:
        wanted, fields = slicing.range_of(part.bounds, self.url), self._fields()
        following: RecordId | None = wanted.start
        while following is not None and wanted.holds(following):
            records, following = self._page(following, fields, columns, batch_rows, only)
            batch = wanted.part_of(objects_batch(records, fields, columns))
            if batch.num_rows:
                yield batch

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        fields = self._fields()
        wanted: list[EngineId] = [slicing.plain_id(item) for item in _record_ids(known_ids(ids))]
        options = Part.PAYLOAD in columns, _vector_names(fields, columns)
        records: list[Any] = []
        for start in range(0, len(wanted), _FETCH_IDS):
            chunk = wanted[start : start + _FETCH_IDS]
            records += self._ask(lambda shard, chunk=chunk: shard.retrieve(chunk, *options))  # type: ignore[misc]
        return objects_batch(records, fields, columns)

    def files(self) -> Sequence[SourceFile]:
        self.require()
        self._lease.release()
        return files_below(self._folder.path, self._folder.path.parent)

    def close(self) -> None:
        self._lease.release()

    # Writing

    def create(self, schema: CollectionSchema, mark: JsonObject) -> None:
        check_fields(schema.vectors, self.url)
        if not self._folder.is_free():
            raise TargetNotEmpty(f"{self.url} exists", advice="choose another collection name")
        try:
            with engine_errors(self.url), self._folder.made(mark) as path:
                _build(str(path), schema)
        except (OSError, edge_settings.Unknown) as error:
            raise StoreRefused(f"{self.url} cannot be created: {error}") from error

    def obstacles(self, features: Sequence[Feature]) -> dict[str, str]:
        found = {feature.name: edge_settings.obstacle(feature) for feature in features}
        return {name: reason for name, reason in found.items() if reason}

    def write(self, batch: pa.RecordBatch) -> None:
        points = engine_points(check_batch(batch, self._fields(), UINT64_MAX, self.url))
        for start in range(0, len(points), _PAGE_ROWS):
            self._update(engine.UpdateOperation.upsert_points(points[start : start + _PAGE_ROWS]))

    def delete(self, ids: pa.RecordBatch) -> None:
        wanted: list[EngineId] = [slicing.plain_id(item) for item in _record_ids(known_ids(ids))]
        if wanted:
            self._update(engine.UpdateOperation.delete_points(wanted))

    def drop(self) -> None:
        close_all(self._folder.path, self.url)
        self._folder.drop()

    def finish_load(self) -> None:
        """Flush; build the index if `?optimize=true` asks for it."""
        if self._optimize:
            self._ask(lambda shard: shard.optimize(), to_write=True)
        self._ask(lambda shard: shard.flush(), to_write=True)

    # The engine

    def _ask(self, call: Callable[[engine.EdgeShard], _T], *, to_write: bool = False) -> _T:
        self.require()
        shard = self._lease.shard(to_write=to_write)
        with engine_errors(self.url):
            return call(shard)

    def _update(self, operation: engine.UpdateOperation) -> None:
        self._ask(lambda shard: shard.update(operation), to_write=True)

    def _config(self) -> dict[str, Any]:
        self.require()
        return self._folder.config()

    def _fields(self) -> tuple[VectorField, ...]:
        config = self._config()
        return vector_fields(config.get("vectors") or {}, config.get("sparse_vectors") or {})

    def _count_without(self, vector: str) -> int:
        lacking = engine.Filter(must_not=[engine.HasVectorCondition(vector)])
        return int(self._ask(lambda shard: shard.count(engine.CountRequest(exact=True, filter=lacking))))

    def _page(
        self,
        start: RecordId,
        fields: tuple[VectorField, ...],
        parts: frozenset[Part],
        rows: int,
        only: engine.Filter | None,
    ) -> tuple[list[engine.Record], RecordId | None]:
        request = engine.ScrollRequest(
            offset=slicing.plain_id(start),
            limit=rows,
            filter=only,
            with_payload=Part.PAYLOAD in parts,
            with_vector=_vector_names(fields, parts),
        )
        records, following = self._ask(lambda shard: shard.scroll(request))
        return records, None if following is None else driver_id(following)

    def _sample(self) -> list[RecordId]:
        """All ids of a small collection, random ones of a large one."""
        if self.count() <= _COUNTED_IDS:
            request = engine.ScrollRequest(limit=_COUNTED_IDS, with_payload=False, with_vector=False)
            return [driver_id(record.id) for record in self._ask(lambda shard: shard.scroll(request))[0]]
        query = engine.QueryRequest(query=engine.Sample.Random, limit=_SAMPLED_IDS)
        return [driver_id(point.id) for point in self._ask(lambda shard: shard.query(query))]


def _build(path: str, schema: CollectionSchema) -> None:
    """A new collection in an empty folder, with the settings and payload indexes that are carried over."""
    settings = Settings.of(schema.features)
    shard = engine.EdgeShard.create(path, engine_config(schema.vectors, settings))
    try:
        for key, index in sorted(settings.indexes.items()):
            shard.update(engine.UpdateOperation.create_field_index(key, edge_settings.index_params(index)))
    finally:
        shard.close()


def _vector_names(fields: tuple[VectorField, ...], parts: frozenset[Part]) -> list[str] | bool:
    return [field.name for field in fields] if Part.VECTORS in parts else False


def _record_ids(ids: pa.RecordBatch) -> list[RecordId]:
    return columns.record_ids(ids)
