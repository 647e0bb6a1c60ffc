"""What the fields of a collection are to vecferry: its key, its vectors, the rest of the payload."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pymilvus.grpc_gen import schema_pb2

from vecferry.errors import StoreRefused
from vecferry.model import DType, IdKind, Metric, VectorField, VectorKind

__all__ = ["DYNAMIC", "METRICS", "UNNAMED", "Key", "Layout", "Scalar", "VectorPlace", "layout_of"]

UNNAMED = "vector"
"""The field of the vector without a name."""

DYNAMIC = "$meta"
"""The field of everything that has no field of its own."""

# Milvus says the square of the distance under L2.
METRICS = {Metric.COSINE: "COSINE", Metric.DOT: "IP", Metric.SQUARED_EUCLID: "L2"}
_METRIC_OF = {name: metric for metric, name in METRICS.items()}

_type = schema_pb2.DataType.Value
_DENSE = {
    _type("FloatVector"): DType.FLOAT32,
    _type("Float16Vector"): DType.FLOAT16,
    _type("BFloat16Vector"): DType.FLOAT32,  # float32 holds each of them
    _type("Int8Vector"): DType.INT8,
}
_SPARSE = _type("SparseFloatVector")
_VECTORS = frozenset({*_DENSE, _SPARSE, _type("BinaryVector"), _type("ArrayOfVector")})
_SCALARS = frozenset(
    _type(name)
    for name in [
        "Bool",
        "Int8",
        "Int16",
        "Int32",
        "Int64",
        "Float",
        "Double",
        "VarChar",
        "String",
        "Text",
        "JSON",
        "Array",
        "Geometry",
        "Timestamptz",
    ]
)


@dataclass(frozen=True, slots=True)
class Key:
    """The primary key. `generated`: Milvus makes the ids itself (Auto ID)."""

    name: str
    kind: IdKind
    generated: bool = False


@dataclass(frozen=True, slots=True)
class VectorPlace:
    """A vector and the field that holds it, with Milvus's number of its type."""

    field: str
    data_type: int
    vector: VectorField
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class Scalar:
    """A typed field that is a key of the payload. `bare_texts`: the texts of a JSON field come without quotes."""

    field: str
    data_type: int
    nullable: bool = False
    bare_texts: bool = False


@dataclass(frozen=True, slots=True)
class Layout:
    """The fields of a collection. `dynamic`: it has a field for payload keys without a field of their own."""

    key: Key
    vectors: tuple[VectorPlace, ...]
    scalars: tuple[Scalar, ...]
    dynamic: bool

    @property
    def fields(self) -> tuple[VectorField, ...]:
        """The vectors, by name."""
        return tuple(place.vector for place in self.vectors)

    @property
    def names(self) -> frozenset[str]:
        """The names that no payload key can have."""
        return frozenset({self.key.name, *(place.field for place in self.vectors)})


def layout_of(
    schema: Any, metrics: Mapping[str, str], names: Mapping[str, str], url: str, *, lite: bool = False
) -> Layout:
    """The layout of a `CollectionSchema` message, with the metric of each field's index where there is one.

    `names`: the vector that a field holds where that is not the field's own name. Raises StoreRefused for a field of
    a type that cannot be read, and for a metric that has no name here.
    """
    fields = [field for field in schema.fields if not field.is_dynamic and field.name != DYNAMIC]
    if schema.struct_array_fields:
        raise StoreRefused(f"{url}: field {schema.struct_array_fields[0].name!r} holds lists of objects, not read here")
    generated = {output for function in schema.functions for output in function.output_field_names}
    key = next(field for field in fields if field.is_primary_key)
    rest = [field for field in fields if field is not key and field.name not in generated]
    return Layout(
        key=Key(key.name, _key_kind(key.data_type), bool(key.autoID or schema.autoID)),
        vectors=tuple(sorted(_places(rest, metrics, names, url), key=lambda place: place.vector.name)),
        scalars=tuple(_scalars(rest, url, lite=lite)),
        dynamic=bool(schema.enable_dynamic_field),
    )


def _key_kind(data_type: int) -> IdKind:
    return IdKind.INT64 if data_type == _type("Int64") else IdKind.STRING


def _scalars(fields: list[Any], url: str, *, lite: bool) -> Iterator[Scalar]:
    for field in fields:
        if field.data_type in _VECTORS:
            continue
        if field.data_type not in _SCALARS:
            raise _unreadable(field, url)
        yield Scalar(field.name, field.data_type, bool(field.nullable), bare_texts=lite)


def _places(fields: list[Any], metrics: Mapping[str, str], names: Mapping[str, str], url: str) -> Iterator[VectorPlace]:
    for field in fields:
        if field.data_type not in _VECTORS:
            continue
        name = names.get(field.name, "" if field.name == UNNAMED else field.name)
        metric = _metric(field.name, metrics.get(field.name), url)
        if field.data_type == _SPARSE:
            vector = VectorField(name, VectorKind.SPARSE, DType.FLOAT32, None, metric or Metric.DOT)
        elif field.data_type in _DENSE:
            dimension = int(next(param.value for param in field.type_params if param.key == "dim"))
            vector = VectorField(name, VectorKind.DENSE, _DENSE[field.data_type], dimension, metric)
        else:
            raise _unreadable(field, url)
        yield VectorPlace(field.name, field.data_type, vector, bool(field.nullable))


def _metric(field: str, name: str | None, url: str) -> Metric | None:
    if not name:
        return None
    metric = _METRIC_OF.get(name.upper())
    if metric is None:
        raise StoreRefused(f"{url}: vector field {field!r} has the metric {name}, which is not known here")
    return metric


def _unreadable(field: Any, url: str) -> StoreRefused:
    kind = _type_name(field.data_type)
    return StoreRefused(f"{url}: field {field.name!r} is of the type {kind}, which cannot be read here")


def _type_name(data_type: int) -> str:
    known = schema_pb2.DataType.DESCRIPTOR.values_by_number
    return known[data_type].name if data_type in known else str(data_type)
