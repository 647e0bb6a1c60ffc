"""Paths of the REST API and what answers them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from pydantic import TypeAdapter
from qdrant_client.http import models as m

from .configuration import dense_vectors
from .errors import ApiError, Failure, bad_body
from .rest_bodies import adapted, field, insert, model, point_vectors
from .service import Service

SELECTOR: TypeAdapter[Any] = TypeAdapter(m.PointsSelector)
SCHEMA: TypeAdapter[Any] = TypeAdapter(m.PayloadFieldSchema)
OPERATION: TypeAdapter[Any] = TypeAdapter(m.UpdateOperation)


@dataclass(frozen=True)
class Call:
    """A request taken apart: what the path names, the query's `wait`, the JSON of the body."""

    name: str
    part: str
    wait: bool
    body: Any


Answer = Callable[[Service, Call], Any]


def create_collection(service: Service, call: Call) -> Any:
    create = model(m.CreateCollection, call.body)
    if any(params.size == 0 or params.datatype in LATER_DATATYPES for params in dense_vectors(create.vectors).values()):
        raise bad_body("data did not match any variant of untagged enum VectorsConfig")
    return service.verbs.create_collection(call.name, create)


def update_collection(service: Service, call: Call) -> Any:
    return service.verbs.update_collection(call.name, model(m.UpdateCollection, call.body))


def list_collections(service: Service, _call: Call) -> Any:
    return {"collections": [{"name": name} for name in service.catalog.names()]}


def update_aliases(service: Service, call: Call) -> Any:
    service.catalog.change_aliases(model(m.ChangeAliasesOperation, call.body).actions)
    return True


def create_index(service: Service, call: Call) -> Any:
    body = model(m.CreateFieldIndex, call.body)
    schema = adapted(SCHEMA, body.field_schema)
    return service.verbs.create_index(call.name, body.field_name, schema, call.wait)


def upsert(service: Service, call: Call) -> Any:
    return service.verbs.upsert(call.name, insert(call.body), call.wait)


def retrieve_one(service: Service, call: Call) -> Any:
    key = int(call.part) if call.part.isdecimal() else call.part
    found = service.verbs.retrieve(call.name, m.PointRequest(ids=[key], with_payload=True, with_vector=True))
    if not found:
        raise ApiError(Failure.NOT_FOUND, f"Not found: Point with id {call.part} does not exists!")
    return found[0]


def query(service: Service, call: Call) -> Any:
    try:
        request = model(m.QueryRequest, call.body)
    except ApiError as error:
        if error.rest_message.startswith("Format error in JSON body: query."):
            raise bad_body("Expected some form of vector, id, or a type of query") from error
        raise
    return {"points": service.verbs.query(call.name, request)}


def query_batch(service: Service, call: Call) -> Any:
    requests = model(m.QueryRequestBatch, call.body).searches
    return [{"points": found} for found in service.verbs.query_batch(call.name, requests)]


def selector(body: Any) -> Any:
    """Ids or a filter; an id that is none makes it neither."""
    try:
        return adapted(SELECTOR, body)
    except ApiError as error:
        raise bad_body("data did not match any variant of untagged enum PointsSelector") from error


def delete_points(service: Service, call: Call) -> Any:
    try:
        return service.verbs.change_payload(call.name, m.DeleteOperation(delete=selector(call.body)), call.wait)
    except ApiError as error:
        if "is not a valid point ID" in error.rest_message:
            raise bad_body("data did not match any variant of untagged enum PointsSelector") from error
        raise


def clear_payload(service: Service, call: Call) -> Any:
    operation = m.ClearPayloadOperation(clear_payload=selector(call.body))
    return service.verbs.change_payload(call.name, operation, call.wait)


def set_payload(service: Service, call: Call) -> Any:
    operation = m.SetPayloadOperation(set_payload=model(m.SetPayload, call.body))
    return service.verbs.change_payload(call.name, operation, call.wait)


def overwrite_payload(service: Service, call: Call) -> Any:
    operation = m.OverwritePayloadOperation(overwrite_payload=model(m.SetPayload, call.body))
    return service.verbs.change_payload(call.name, operation, call.wait)


def delete_payload(service: Service, call: Call) -> Any:
    operation = m.DeletePayloadOperation(delete_payload=model(m.DeletePayload, call.body))
    return service.verbs.change_payload(call.name, operation, call.wait)


def update_vectors(service: Service, call: Call) -> Any:
    return service.verbs.change_vectors(call.name, vectors_operation(call.body), call.wait)


def vectors_operation(body: Any) -> m.UpdateVectorsOperation:
    where = model(m.UpdateVectors, {**body, "points": []}).update_filter
    points = [point_vectors(item) for item in field(body, "points")]
    update = m.UpdateVectors.model_construct(points=points, shard_key=None, update_filter=where)
    return m.UpdateVectorsOperation.model_construct(update_vectors=update)


def delete_vectors(service: Service, call: Call) -> Any:
    operation = m.DeleteVectorsOperation(delete_vectors=model(m.DeleteVectors, call.body))
    return service.verbs.change_vectors(call.name, operation, call.wait)


def update_batch(service: Service, call: Call) -> Any:
    operations = [batch_operation(item) for item in field(call.body, "operations")]
    return service.verbs.update_batch(call.name, operations, call.wait)


def batch_operation(item: Any) -> Any:
    if "upsert" in item:
        return m.UpsertOperation.model_construct(upsert=insert(item["upsert"]))
    return vectors_operation(item["update_vectors"]) if "update_vectors" in item else adapted(OPERATION, item)


def standalone(_service: Service, _call: Call) -> Any:
    raise ApiError(Failure.STANDALONE, "Qdrant is running in standalone mode")


# Datatypes that the client knows and a 1.19 server does not.
LATER_DATATYPES = (m.Datatype.TURBO8, m.Datatype.TURBO16)
COLLECTION = "/collections/(?P<name>[^/]+)"
# verb and path, name in the request log, what answers
ROUTES: list[tuple[str, str, str, Answer]] = [
    ("GET", "/collections", "list_collections", list_collections),
    ("GET", "/aliases", "list_aliases", lambda service, call: {"aliases": service.catalog.aliases()}),
    ("POST", "/collections/aliases", "update_aliases", update_aliases),
    ("GET", COLLECTION, "get_collection", lambda service, call: service.catalog.get(call.name).info()),
    ("PUT", COLLECTION, "create_collection", create_collection),
    ("PATCH", COLLECTION, "update_collection", update_collection),
    ("DELETE", COLLECTION, "delete_collection", lambda service, call: service.catalog.delete(call.name)),
    (
        "GET",
        f"{COLLECTION}/exists",
        "collection_exists",
        lambda service, call: {"exists": service.catalog.exists(call.name)},
    ),
    (
        "GET",
        f"{COLLECTION}/aliases",
        "list_collection_aliases",
        lambda service, call: {"aliases": service.catalog.aliases(call.name)},
    ),
    ("PUT", f"{COLLECTION}/shards", "create_shard_key", standalone),
    ("POST", f"{COLLECTION}/shards/delete", "delete_shard_key", standalone),
    ("PUT", f"{COLLECTION}/index", "create_index", create_index),
    (
        "DELETE",
        f"{COLLECTION}/index/(?P<part>[^/]+)",
        "delete_index",
        lambda service, call: service.verbs.delete_index(call.name, call.part, call.wait),
    ),
    ("PUT", f"{COLLECTION}/points", "upsert", upsert),
    (
        "POST",
        f"{COLLECTION}/points",
        "retrieve",
        lambda service, call: service.verbs.retrieve(call.name, model(m.PointRequest, call.body)),
    ),
    (
        "POST",
        f"{COLLECTION}/points/scroll",
        "scroll",
        lambda service, call: service.verbs.scroll(call.name, model(m.ScrollRequest, call.body)),
    ),
    (
        "POST",
        f"{COLLECTION}/points/count",
        "count",
        lambda service, call: service.verbs.count(call.name, model(m.CountRequest, call.body)),
    ),
    ("POST", f"{COLLECTION}/points/query", "query", query),
    ("POST", f"{COLLECTION}/points/query/batch", "query_batch", query_batch),
    ("POST", f"{COLLECTION}/points/delete", "delete_points", delete_points),
    ("POST", f"{COLLECTION}/points/batch", "update_batch", update_batch),
    ("POST", f"{COLLECTION}/points/payload", "set_payload", set_payload),
    ("PUT", f"{COLLECTION}/points/payload", "overwrite_payload", overwrite_payload),
    ("POST", f"{COLLECTION}/points/payload/delete", "delete_payload", delete_payload),
    ("POST", f"{COLLECTION}/points/payload/clear", "clear_payload", clear_payload),
    ("PUT", f"{COLLECTION}/points/vectors", "update_vectors", update_vectors),
    ("POST", f"{COLLECTION}/points/vectors/delete", "delete_vectors", delete_vectors),
    ("GET", f"{COLLECTION}/points/(?P<part>[^/]+)", "retrieve", retrieve_one),
]
COMPILED = [(verb, re.compile(path), method, answer) for verb, path, method, answer in ROUTES]


@dataclass(frozen=True)
class Route:
    """What a request leads to: its name in the log, the collection and the part that the path names."""

    method: str
    name: str
    part: str
    answer: Answer


def route(verb: str, path: str) -> Route | None:
    """The route of a path as it was sent (percent-encoded), or nothing."""
    for wanted, pattern, method, answer in COMPILED:
        if verb == wanted and (found := pattern.fullmatch(path)):
            parts = {key: unquote(value) for key, value in found.groupdict().items()}
            return Route(method, parts.get("name", ""), parts.get("part", ""), answer)
    return None
