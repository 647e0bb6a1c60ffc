"""A server's collection in the official client's models, and its description as a schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qdrant_client import models

from vecferry import canonical
from vecferry.errors import StoreRefused
from vecferry.model import DType, Feature, JsonObject, Metric, VectorField, VectorKind
from vecferry.stores.qdrant.schema import DISTANCES, vector_fields
from vecferry.stores.qdrant.settings import alias_features, index_features, section_features, vector_features

__all__ = [
    "MARK",
    "OWN_METADATA",
    "PENDING",
    "THRESHOLD",
    "Limits",
    "dense_models",
    "features",
    "fields_of",
    "limits_of",
    "mark_of",
    "sparse_models",
]

# Keys of the collection's metadata that are vecferry's: the mark as canonical JSON text (metadata merge key by key
# and drop nulls), the indexing threshold to go back to after a load, and settings that wait for its end.
MARK, THRESHOLD, PENDING = "vecferry", "vecferry_indexing_threshold", "vecferry_pending"
OWN_METADATA = (MARK, THRESHOLD, PENDING)
_UPSERT_ROWS = 500
_SCROLL_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may ask for, by the collection's strict mode."""

    upsert_rows: int = _UPSERT_ROWS
    scroll_rows: int = _SCROLL_ROWS


def fields_of(info: models.CollectionInfo) -> tuple[VectorField, ...]:
    """The collection's vectors."""
    return vector_fields(*_vector_settings(info))


def _vector_settings(info: models.CollectionInfo) -> tuple[dict[str, Any], dict[str, Any]]:
    found = info.config.params.model_dump(mode="json", exclude_none=True)
    dense = found.get("vectors") or {}
    return {"": dense} if isinstance(info.config.params.vectors, models.VectorParams) else dense, found.get(
        "sparse_vectors"
    ) or {}


def mark_of(info: models.CollectionInfo, url: str) -> JsonObject | None:
    """What a migration left in the collection's metadata."""
    text = (info.config.metadata or {}).get(MARK)
    if not isinstance(text, str):
        return None
    try:
        found = canonical.decode(text)
    except ValueError as error:
        raise StoreRefused(f"{url}: the metadata key {MARK!r} is damaged: {error}") from error
    return found if isinstance(found, dict) else None


def limits_of(info: models.CollectionInfo) -> Limits:
    """The request sizes that the collection takes."""
    strict = info.config.strict_mode_config
    if strict is None or not strict.enabled:
        return Limits()
    return Limits(
        min(_UPSERT_ROWS, strict.upsert_max_batchsize or _UPSERT_ROWS),
        min(_SCROLL_ROWS, strict.max_query_limit or _SCROLL_ROWS),
    )


def features(info: models.CollectionInfo, aliases: Sequence[str]) -> Iterator[Feature]:
    """What the collection has beside records and vectors."""
    yield from vector_features(*_vector_settings(info))
    config = info.config.model_dump(mode="json", exclude_none=True)
    for section, value in sorted(config.items()):
        yield from section_features(section, _told(section, value))
    yield from index_features({key: _index_schema(index) for key, index in info.payload_schema.items()})
    yield from alias_features(aliases)


def _told(section: str, value: Mapping[str, Any]) -> dict[str, Any]:
    hidden = {"metadata": OWN_METADATA, "params": ("vectors", "sparse_vectors")}.get(section, ())
    return {key: item for key, item in value.items() if key not in hidden}


def _index_schema(index: models.PayloadIndexInfo) -> Any:
    """What creates such an index: its parameters, or its type alone."""
    return index.params.model_dump(mode="json", exclude_none=True) if index.params else index.data_type.value


def dense_models(
    fields: Sequence[VectorField], settings: Mapping[str, Mapping[str, Any]]
) -> models.VectorParams | dict[str, models.VectorParams]:
    """The dense and multi vectors of a new collection: one unnamed, or by name."""
    found = {
        field.name: _dense(field, settings.get(field.name, {}))
        for field in fields
        if field.kind is not VectorKind.SPARSE
    }
    return found[""] if list(found) == [""] else found


def _dense(field: VectorField, settings: Mapping[str, Any]) -> models.VectorParams:
    comparator = models.MultiVectorComparator.MAX_SIM
    multi = field.kind is VectorKind.MULTI
    return models.VectorParams(
        size=field.dimension or 0,
        distance=models.Distance(DISTANCES[field.metric or Metric.COSINE]),
        datatype=_datatype(field),
        multivector_config=models.MultiVectorConfig(comparator=comparator) if multi else None,
        **settings,
    )


def _datatype(field: VectorField) -> models.Datatype | None:
    return None if field.dtype is DType.FLOAT32 else models.Datatype(field.dtype.value)


def sparse_models(
    fields: Sequence[VectorField], settings: Mapping[str, Mapping[str, Any]]
) -> dict[str, models.SparseVectorParams] | None:
    """The sparse vectors of a new collection."""
    found = {
        field.name: _sparse(field, settings.get(field.name, {})) for field in fields if field.kind is VectorKind.SPARSE
    }
    return found or None


def _sparse(field: VectorField, settings: Mapping[str, Any]) -> models.SparseVectorParams:
    index = models.SparseIndexParams(datatype=_datatype(field), **settings.get("index", {}))
    return models.SparseVectorParams(index=index, modifier=settings.get("modifier"))
