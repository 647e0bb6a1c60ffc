"""REST bodies as the core's models, and its answers as JSON."""

from typing import Any, TypeVar

import numpy as np
import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError
from qdrant_client.http import models as m

from .errors import ApiError, bad_body, missing_field
from .point_ids import point_id

Body = TypeVar("Body", bound=BaseModel)
MAX_BODY_BYTES = 33_554_432
NO_VECTOR_STRUCT = "data did not match any variant of untagged enum VectorStruct"
SPARSE_INDEX_LIMIT = 2**32
INSERT_OPTIONS = ("shard_key", "update_filter", "update_mode")


def decoded(body: bytes) -> Any:
    """JSON as the server reads it: integers beyond 64 bits become doubles."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise bad_body(str(error)) from error


def model(kind: type[Body], body: Any) -> Body:
    """A body as a model; what does not fit is named by its place."""
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise misfit(error) from error


def adapted(adapter: TypeAdapter[Any], body: Any) -> Any:
    try:
        return adapter.validate_python(body)
    except ValidationError as error:
        raise misfit(error) from error


def field(body: Any, name: str) -> Any:
    """A field that must be there."""
    if not isinstance(body, dict) or name not in body:
        raise missing_field(name)
    return body[name]


def misfit(error: ValidationError) -> ApiError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return bad_body(f"{place}: {first['msg']}")


def insert(body: Any) -> m.PointsList | m.PointsBatch:
    """Points to upsert: read by hand, because unions of lists of floats cost pydantic seconds."""
    if not isinstance(body, dict) or ("points" in body) == ("batch" in body):
        raise bad_body("data did not match any variant of untagged enum PointInsertOperations")
    options = {name: body.get(name) for name in INSERT_OPTIONS}
    checked = m.PointsList.model_validate({"points": [], **options})
    options = {name: getattr(checked, name) for name in INSERT_OPTIONS}
    if "points" in body:
        return m.PointsList.model_construct(points=[point(item) for item in body["points"]], **options)
    batch = body["batch"]
    columns = field(batch, "vectors")
    vectors: Any = (
        {name: [vector(item) for item in column] for name, column in columns.items()}
        if isinstance(columns, dict)
        else [vector(item) for item in columns]
    )
    ids = [point_id(key) for key in field(batch, "ids")]
    columns_of = m.Batch.model_construct(ids=ids, vectors=vectors, payloads=batch.get("payloads"))
    return m.PointsBatch.model_construct(batch=columns_of, **options)


def point(item: Any) -> m.PointStruct:
    key, vector_struct = point_id(field(item, "id")), field(item, "vector")
    payload = item.get("payload")
    if payload is not None and not isinstance(payload, dict):
        raise bad_body("invalid type: a payload is a map")
    return m.PointStruct.model_construct(id=key, vector=vectors(vector_struct), payload=payload)


def point_vectors(item: Any) -> m.PointVectors:
    return m.PointVectors.model_construct(id=point_id(field(item, "id")), vector=vectors(field(item, "vector")))


def vectors(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: vector(inner) for name, inner in value.items()}
    return vector(value)


def vector(value: Any) -> Any:
    """A dense, multi or sparse vector; null (which is how a client sends NaN) is no number."""
    if isinstance(value, dict):
        return sparse_vector(value)
    if not isinstance(value, list):
        raise bad_body(NO_VECTOR_STRUCT)
    for row in value if value and isinstance(value[0], list) else [value]:
        check_numbers(row)
    return value


def sparse_vector(value: dict[str, Any]) -> m.SparseVector:
    if set(value) != {"indices", "values"}:
        raise bad_body(NO_VECTOR_STRUCT)
    check_numbers(value["values"])
    if not all(type(index) is int and 0 <= index < SPARSE_INDEX_LIMIT for index in value["indices"]):
        raise bad_body(NO_VECTOR_STRUCT)
    return m.SparseVector.model_construct(indices=value["indices"], values=value["values"])


def check_numbers(row: Any) -> None:
    if not isinstance(row, list) or not set(map(type, row)) <= {int, float}:
        raise bad_body(NO_VECTOR_STRUCT)


def encoded(answer: Any) -> bytes:
    """JSON of an answer; vectors and scores as the shortest decimals of their float32, not finite ones as null."""
    return orjson.dumps(answer, default=jsonable, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def jsonable(value: Any) -> Any:
    if isinstance(value, m.Record | m.ScoredPoint):
        return record_fields(value)
    if isinstance(value, m.CollectionInfo):
        return info_fields(value)
    if isinstance(value, BaseModel):
        return {name: item for name, item in value if item is not None}
    raise TypeError(f"no JSON form for {type(value).__name__}")


def record_fields(record: m.Record | m.ScoredPoint) -> dict[str, Any]:
    fields = {name: item for name, item in record if item is not None}
    if "vector" in fields:
        fields["vector"] = arrays(fields["vector"])
    if "score" in fields:
        fields["score"] = np.float32(fields["score"])
    return fields


def arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: arrays(inner) for name, inner in value.items()}
    if isinstance(value, m.SparseVector):
        return {"indices": value.indices, "values": np.array(value.values, dtype=np.float32)}
    return np.array(value, dtype=np.float32)


def info_fields(info: m.CollectionInfo) -> dict[str, Any]:
    """Nulls inside the metadata count, everywhere else they say nothing."""
    fields = info.model_dump(mode="json", exclude_none=True, exclude={"config": {"metadata"}})
    if info.config.metadata:
        fields["config"]["metadata"] = info.config.metadata
    return fields
