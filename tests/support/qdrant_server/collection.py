"""One collection: an engine's shard in a folder, its settings and its payload indexes."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from qdrant_client.http import models as m

from .engine_config import NO_VECTOR, engine_config, index_type
from .engine_filters import engine_filter, engine_order, payload_selector
from .engine_queries import DEFAULT_LIMIT, engine_query
from .errors import ApiError, Failure, engine_errors, missing_collection, unknown_vector
from .oddities import Oddities
from .point_checks import VectorRules
from .point_ids import PointId, point_id, point_ids
from .strict_mode import RateLimit


class Collection:
    """Reads and writes of one collection, in the models of the REST API. One request at a time."""

    def __init__(
        self, name: str, folder: Path, config: m.CollectionConfig, indexes: dict[str, Any], shard: edge.EdgeShard
    ) -> None:
        self.name = name
        self.folder = folder
        self.config = config
        self.indexes = indexes
        self.rate_limit = RateLimit()
        self.oddities = Oddities()
        self._shard: edge.EdgeShard | None = shard
        self._lock = threading.RLock()
        self._operations = 0

    @classmethod
    def create(cls, name: str, folder: Path, config: m.CollectionConfig) -> "Collection":
        settings = engine_config(config.params)
        folder.mkdir(parents=True)
        return cls(name, folder, config, {}, edge.EdgeShard.create(str(folder), settings))

    @classmethod
    def open(cls, name: str, folder: Path, config: m.CollectionConfig, indexes: dict[str, Any]) -> "Collection":
        return cls(name, folder, config, indexes, edge.EdgeShard.load(str(folder)))

    def close(self) -> None:
        with self._lock:
            if self._shard is not None:
                self._shard.flush()
                self._shard.close()
                self._shard = None

    @contextmanager
    def at_rest(self) -> Iterator[Path]:
        """Its folder, written down; every request waits meanwhile."""
        with self._lock:
            self._engine.flush()
            yield self.folder

    def destroy(self) -> None:
        with self._lock:
            self.close()
            shutil.rmtree(self.folder)

    @property
    def rules(self) -> VectorRules:
        return VectorRules(self.config.params)

    def apply(self, *operations: edge.UpdateOperation) -> int:
        """Apply operations in order; the number of the last one."""
        with self._lock, engine_errors():
            for operation in operations:
                self._engine.update(operation)
                self._operations += 1
            return self._operations

    def info(self) -> m.CollectionInfo:
        with self._lock:
            info = self._engine.info()
        counted = {field: index.points for field, index in info.payload_schema.items()}
        found = m.CollectionInfo(
            status=m.CollectionStatus.GREEN,
            optimizer_status=m.OptimizersStatusOneOf.OK,
            indexed_vectors_count=0,
            points_count=info.points_count,
            segments_count=info.segments_count,
            config=self.config,
            payload_schema={f: index_info(schema, counted.get(f, 0)) for f, schema in self.indexes.items()},
            update_queue=m.UpdateQueueInfo(length=0),
        )
        return self.oddities.shown(found)

    def scroll(self, request: m.ScrollRequest) -> tuple[list[m.Record], PointId | None]:
        wanted = edge.ScrollRequest(
            offset=None if request.offset is None else point_id(request.offset),
            limit=DEFAULT_LIMIT if request.limit is None else request.limit,
            filter=engine_filter(request.filter),
            with_payload=True if request.with_payload is None else payload_selector(request.with_payload),
            with_vector=False if request.with_vector is None else request.with_vector,
            order_by=engine_order(request.order_by),
        )
        with self._lock:
            found, following = self._engine.scroll(wanted)
        return [record(point) for point in found], None if following is None else point_id(following)

    def retrieve(self, request: m.PointRequest) -> list[m.Record]:
        wanted: list[Any] = list(point_ids(request.ids))
        payload = True if request.with_payload is None else payload_selector(request.with_payload)
        vector = False if request.with_vector is None else request.with_vector
        with self._lock:
            return [record(point) for point in self._engine.retrieve(wanted, payload, vector)]

    def count(self, request: m.CountRequest) -> int:
        wanted = edge.CountRequest(
            exact=request.exact is not False, filter=engine_filter(request.filter, "count_request")
        )
        with self._lock:
            return int(self._engine.count(wanted))

    def query(self, request: m.QueryRequest) -> list[m.ScoredPoint]:
        wanted = engine_query(request, self._vector_of)
        with self._lock:
            return [scored(point) for point in self._engine.query(wanted)]

    def _vector_of(self, point: PointId, name: str) -> Any:
        found = self.retrieve(m.PointRequest(ids=[point], with_vector=True))
        if not found:
            raise ApiError(Failure.NOT_FOUND, f"Not found: No point with id {point} found")
        vectors: Any = found[0].vector
        vectors = vectors if isinstance(vectors, dict) else {"": vectors}
        if name not in vectors:
            raise unknown_vector(name)
        return vectors[name]

    @property
    def _engine(self) -> edge.EdgeShard:
        """A request may still hold a collection that was deleted meanwhile."""
        if self._shard is None:
            raise missing_collection(self.name)
        return self._shard


def index_info(schema: Any, points: int) -> m.PayloadIndexInfo:
    params = None if isinstance(schema, m.PayloadSchemaType) else schema
    return m.PayloadIndexInfo.model_construct(
        data_type=m.PayloadSchemaType(index_type(schema)), params=params, points=points
    )


def record(point: edge.Record) -> m.Record:
    """Unchecked, because checking costs more than everything else."""
    return m.Record.model_construct(
        id=point_id(point.id),
        payload=point.payload,
        vector=rest_vectors(point.vector),
        shard_key=None,
        order_value=point.order_value,
    )


def scored(point: edge.ScoredPoint) -> m.ScoredPoint:
    return m.ScoredPoint.model_construct(
        id=point_id(point.id),
        # The engine numbers operations from 0, the server from 1.
        version=point.version + 1,
        score=point.score,
        payload=point.payload,
        vector=rest_vectors(point.vector),
        shard_key=None,
        order_value=point.order_value,
    )


def rest_vectors(vectors: Any) -> Any:
    if not isinstance(vectors, dict):
        return vectors
    return {name: rest_vector(vector) for name, vector in vectors.items() if name != NO_VECTOR}


def rest_vector(vector: Any) -> Any:
    if isinstance(vector, edge.SparseVector):
        return m.SparseVector.model_construct(indices=vector.indices, values=vector.values)
    return vector
