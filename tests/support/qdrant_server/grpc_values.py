"""Records and payload between gRPC messages and the core's models, where the client's converters are not exact."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from qdrant_client import grpc
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.http import models as m

from .errors import ApiError, Failure


def payload_from(fields: Mapping[str, grpc.Value]) -> dict[str, Any]:
    """A payload; unlike the converter, which turns them into text, this refuses NaN and infinities."""
    return {key: value_from(value) for key, value in fields.items()}


def value_from(value: grpc.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "struct_value":
        return payload_from(value.struct_value.fields)
    if kind == "list_value":
        return [value_from(item) for item in value.list_value.values]
    plain = getattr(value, kind)
    if kind == "double_value" and not math.isfinite(plain):
        raise ApiError(Failure.BAD_INPUT, "cannot convert to json number")
    return plain


def point_from(point: grpc.PointStruct) -> m.PointStruct:
    """A point, unchecked: the core has rules of its own."""
    return m.PointStruct.model_construct(
        id=GrpcToRest.convert_point_id(point.id), vector=vectors_from(point), payload=payload_from(point.payload)
    )


def vectors_from(point: grpc.PointStruct | grpc.PointVectors) -> Any:
    """A bare vector or a mapping; a point without vectors has an empty mapping."""
    if not point.HasField("vectors") or point.vectors.WhichOneof("vectors_options") is None:
        return {}
    return GrpcToRest.convert_vectors(point.vectors)


def within_int64(value: Any) -> Any:
    """The wire has no integers beyond int64: those become doubles, as on a real server."""
    if isinstance(value, dict):
        return {key: within_int64(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [within_int64(inner) for inner in value]
    beyond = type(value) is int and not -(2**63) <= value < 2**63
    return float(value) if beyond else value


def record_to(record: m.Record) -> grpc.RetrievedPoint:
    message: grpc.RetrievedPoint = converted(RestToGrpc.convert_record, record)
    return message


def scored_to(point: m.ScoredPoint) -> grpc.ScoredPoint:
    message: grpc.ScoredPoint = converted(RestToGrpc.convert_scored_point, point)
    return message


def converted(convert: Callable[[Any], Any], point: Any) -> Any:
    """A record as a message; the converters want a payload, and integers that fit into the wire's."""
    if point.payload is None:
        point = point.model_copy(update={"payload": {}})
    try:
        return convert(point)
    except ValueError:
        return convert(point.model_copy(update={"payload": within_int64(point.payload)}))
