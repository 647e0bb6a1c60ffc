"""Calls to a Milvus server as messages: what its own client would not send, or would not show."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc, schema_pb2

from tests.support.milvus_server import RealServer

__all__ = ["insert_with_dynamic", "stub_of"]

_type = schema_pb2.DataType.Value


@contextmanager
def stub_of(server: RealServer) -> Iterator[Any]:
    """The generated stub of a server; each call takes the keyword `metadata`."""
    with grpc.insecure_channel(f"{server.host}:{server.port}") as channel:
        token = base64.b64encode(server.token.encode()).decode()
        stub: Any = milvus_pb2_grpc.MilvusServiceStub
        yield _Signed(stub(channel), [("authorization", token)] if server.token else [])


class _Signed:
    """A stub whose calls carry the token."""

    def __init__(self, stub: Any, metadata: list[tuple[str, str]]) -> None:
        self._stub, self._metadata = stub, metadata

    def __getattr__(self, method: str) -> Any:
        return lambda request: getattr(self._stub, method)(request, timeout=60, metadata=self._metadata)


def insert_with_dynamic(
    server: RealServer, name: str, ids: Sequence[int], years: Sequence[int], raws: list[bytes]
) -> None:
    """Records of a collection with `id`, `vector` of two numbers and `year`, whose dynamic field is as given."""
    request = milvus_pb2.InsertRequest(collection_name=name, num_rows=len(ids))
    request.fields_data.add(field_name="id", type=_type("Int64")).scalars.long_data.data.extend(ids)
    request.fields_data.add(field_name="year", type=_type("Int32")).scalars.int_data.data.extend(years)
    vectors = request.fields_data.add(field_name="vector", type=_type("FloatVector")).vectors
    vectors.dim = 2
    vectors.float_vector.data.extend([0.5, 1.0] * len(ids))
    dynamic = request.fields_data.add(field_name="$meta", type=_type("JSON"), is_dynamic=True)
    dynamic.scalars.json_data.data.extend(raws)
    with stub_of(server) as stub:
        answer = stub.Insert(request)
    assert not answer.status.code, answer.status.reason
