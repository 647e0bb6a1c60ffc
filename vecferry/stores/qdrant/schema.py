"""A collection's vectors as Qdrant's configuration says them, from the embedded engine and from a server alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from vecferry.errors import StoreRefused
from vecferry.model import DType, IdKind, Metric, VectorField, VectorKind

__all__ = ["CANONICAL_UUID", "DISTANCES", "ID_KINDS", "check_fields", "vector_fields"]

CANONICAL_UUID = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
ID_KINDS = frozenset({IdKind.UINT64, IdKind.UUID})
DISTANCES = {
    Metric.COSINE: "Cosine",
    Metric.DOT: "Dot",
    Metric.EUCLID: "Euclid",
    Metric.MANHATTAN: "Manhattan",
}
_METRICS = {distance: metric for metric, distance in DISTANCES.items()}
_DTYPES = {DType.FLOAT32, DType.FLOAT16, DType.UINT8}
_LARGEST_DIMENSION = 65_536  # Qdrant's documentation; a server answers 422 above it


def vector_fields(dense: Mapping[str, Any], sparse: Mapping[str, Any]) -> tuple[VectorField, ...]:
    """The vectors of a configuration: settings by name, as JSON has them; the unnamed vector has the name `""`.

    Raises StoreRefused for a metric or number type that is not known here.
    """
    fields = [_dense_field(name, settings) for name, settings in dense.items()]
    return tuple(sorted([*fields, *(_sparse_field(name, settings) for name, settings in sparse.items())], key=_name))


def _name(field: VectorField) -> str:
    return field.name


def _dense_field(name: str, settings: Mapping[str, Any]) -> VectorField:
    kind = VectorKind.MULTI if settings.get("multivector_config") else VectorKind.DENSE
    metric = _METRICS.get(settings["distance"])
    if metric is None:
        raise StoreRefused(f"vector {name!r} has the distance {settings['distance']!r}, which is not known here")
    return VectorField(name, kind, _dtype(name, settings.get("datatype")), int(settings["size"]), metric)


def _sparse_field(name: str, settings: Mapping[str, Any]) -> VectorField:
    datatype = settings.get("datatype") or (settings.get("index") or {}).get("datatype")
    return VectorField(name, VectorKind.SPARSE, _dtype(name, datatype), None, Metric.DOT)


def _dtype(name: str, datatype: str | None) -> DType:
    try:
        return DType(datatype or "float32")
    except ValueError:
        raise StoreRefused(f"vector {name!r} is stored as {datatype!r}, which cannot be read here") from None


def check_fields(fields: Sequence[VectorField], url: str) -> None:
    """Raises StoreRefused for vectors that no Qdrant collection can have."""
    reason = next(_misfits(fields), None)
    if reason:
        raise StoreRefused(f"{url} cannot hold {reason}", advice="`vecferry plan` shows what can be changed on the way")


def _misfits(fields: Iterable[VectorField]) -> Iterator[str]:
    names: set[str] = set()
    for field in fields:
        vector = f"vector {field.name!r}"
        if field.name in names:
            yield f"two vectors named {field.name!r}"
        names.add(field.name)
        if field.dtype not in _DTYPES:
            yield f"{vector} as {field.dtype}"
        if field.kind is VectorKind.SPARSE:
            yield from _sparse_misfits(field, vector)
        elif field.metric not in DISTANCES:
            yield f"{vector} with the metric {field.metric}"
        elif field.dimension is None or not 1 <= field.dimension <= _LARGEST_DIMENSION:
            yield f"{vector} of dimension {field.dimension}"
    if not names:
        yield "a collection without any vector"


def _sparse_misfits(field: VectorField, vector: str) -> Iterator[str]:
    if field.metric not in (Metric.DOT, None):
        yield f"sparse {vector} with the metric {field.metric}"
    if not field.name:
        yield "a sparse vector without a name"
