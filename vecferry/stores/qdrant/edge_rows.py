"""Collections and rows in the embedded engine's own classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import qdrant_edge as engine

from vecferry.batch import Dense, Multi, Sparse
from vecferry.model import DType, IdKind, Metric, RecordId, VectorField, VectorKind
from vecferry.stores.qdrant.checks import Checked
from vecferry.stores.qdrant.edge_settings import collection_arguments, sparse_arguments, vector_arguments
from vecferry.stores.qdrant.settings import Settings
from vecferry.stores.qdrant.slicing import plain_id

__all__ = ["EngineId", "engine_config", "engine_points"]

EngineId = int | UUID | str

_DISTANCES = {
    Metric.COSINE: engine.Distance.Cosine,
    Metric.DOT: engine.Distance.Dot,
    Metric.EUCLID: engine.Distance.Euclid,
    Metric.MANHATTAN: engine.Distance.Manhattan,
}
_DATATYPES = {
    DType.FLOAT32: engine.VectorStorageDatatype.Float32,
    DType.FLOAT16: engine.VectorStorageDatatype.Float16,
    DType.UINT8: engine.VectorStorageDatatype.Uint8,
}


def engine_config(fields: Sequence[VectorField], settings: Settings) -> engine.EdgeConfig:
    """The configuration of a new collection with these vectors (checked before). Raises Unknown for a setting."""
    given = settings.vectors
    dense = {field.name: _dense(field, settings) for field in fields if field.kind is not VectorKind.SPARSE}
    sparse = {
        field.name: engine.EdgeSparseVectorParams(
            datatype=_DATATYPES[field.dtype], **sparse_arguments(given.get(field.name, {}))
        )
        for field in fields
        if field.kind is VectorKind.SPARSE
    }
    return engine.EdgeConfig(vectors=dense, sparse_vectors=sparse, **collection_arguments(settings))


def _dense(field: VectorField, settings: Settings) -> engine.EdgeVectorParams:
    own, collection = settings.vectors.get(field.name, {}), settings.sections.get("hnsw_config", {})
    multi = field.kind is VectorKind.MULTI
    return engine.EdgeVectorParams(
        size=field.dimension or 0,
        distance=_DISTANCES[field.metric or Metric.COSINE],
        datatype=_DATATYPES[field.dtype],
        multivector_config=engine.MultiVectorConfig(engine.MultiVectorComparator.MaxSim) if multi else None,
        **vector_arguments(own, collection),
    )


def engine_points(rows: Checked) -> list[engine.Point]:
    """Points for an upsert; dense and multi vectors stay numpy arrays."""
    listed = {name: _per_row(column) for name, column in rows.vectors.items()}
    ids = _ids(rows)
    if list(listed) == [""] and rows.vectors[""].present is None:
        return list(map(engine.Point, ids, listed[""], rows.payloads))
    named = [
        {name: column[row] for name, column in listed.items() if column[row] is not None} for row in range(len(rows))
    ]
    return list(map(engine.Point, ids, named, rows.payloads))


def _ids(rows: Checked) -> list[EngineId]:
    texts: list[str] = rows.ids.to_pylist()
    if isinstance(rows.kinds, IdKind):
        return [int(text) for text in texts] if rows.kinds is IdKind.UINT64 else list(texts)
    return [plain_id(RecordId(kind, text)) for kind, text in zip(rows.kinds, texts, strict=True)]


def _per_row(column: Dense | Sparse | Multi) -> list[Any]:
    """A vector a row, None where it is absent."""
    if isinstance(column, Dense):
        given = iter(column.values)
        return list(given) if column.present is None else [next(given) if there else None for there in column.present]
    offsets = column.offsets.tolist()
    present = [True] * (len(offsets) - 1) if column.present is None else column.present.tolist()
    return [
        _ragged(column, offsets[row], offsets[row + 1]) if present[row] else None for row in range(len(offsets) - 1)
    ]


def _ragged(column: Sparse | Multi, start: int, end: int) -> Any:
    if isinstance(column, Multi):
        return column.values[start:end]
    # The engine takes arrays, which its type stubs do not say.
    return engine.SparseVector(column.indices[start:end], column.values[start:end])  # type: ignore[arg-type]
