"""The few verbs that these tests are written in."""

from typing import Any

import grpc
import pytest
from qdrant_client import QdrantClient
from qdrant_client import models as m
from qdrant_client.http.exceptions import UnexpectedResponse

DOT2 = m.VectorParams(size=2, distance=m.Distance.DOT)
UUID = "550e8400-e29b-41d4-a716-446655440000"


def point(key: Any, vector: Any = (1.0, 2.0), payload: dict[str, Any] | None = None) -> m.PointStruct:
    return m.PointStruct(id=key, vector=list(vector) if isinstance(vector, tuple) else vector, payload=payload)


def put(client: QdrantClient, name: str, *points: m.PointStruct) -> str:
    return str(client.upsert(name, list(points), wait=True).status.value)


def rows(client: QdrantClient, name: str) -> list[list[Any]]:
    """Id, vectors and payload of every point, in scroll order."""
    return [[r.id, r.vector, r.payload] for r in client.scroll(name, limit=100, with_vectors=True)[0]]


def ids(client: QdrantClient, name: str, **options: Any) -> list[Any]:
    return [r.id for r in client.scroll(name, limit=100, **options)[0]]


def code_of(error: pytest.ExceptionInfo[Exception]) -> object:
    """The gRPC code's name, or the HTTP status."""
    raised = error.value
    return raised.code().name if isinstance(raised, grpc.RpcError) else raised.status_code


def message_of(error: pytest.ExceptionInfo[Exception]) -> str:
    raised = error.value
    return str(raised.details()) if isinstance(raised, grpc.RpcError) else raised.content.decode()


REFUSED = (grpc.RpcError, UnexpectedResponse)
INVALID = {"grpc": "INVALID_ARGUMENT", "rest": 400}
MISSING = {"grpc": "NOT_FOUND", "rest": 404}


def alias_to(collection: str, alias: str) -> m.CreateAliasOperation:
    return m.CreateAliasOperation(create_alias=m.CreateAlias(collection_name=collection, alias_name=alias))


def alias_off(alias: str) -> m.DeleteAliasOperation:
    return m.DeleteAliasOperation(delete_alias=m.DeleteAlias(alias_name=alias))
