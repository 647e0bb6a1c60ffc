"""A gRPC server before a real one: it hands every call on as bytes, and fails or changes those that a test names."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent import futures
from typing import Any, Self

import grpc

from tests.support.tls_certificates import Certificates

__all__ = ["Fault", "Proxy"]

Fault = Callable[[bytes], bytes | tuple[grpc.StatusCode, str] | None]
"""Given a request: an answer, an error of gRPC, or None to hand the call on."""


class Proxy(grpc.GenericRpcHandler):  # type: ignore[misc]
    """`with Proxy(port) as proxy`: on `proxy.port` what stands on `port`.

    `token`: what each call must carry. `certificates`: it speaks TLS, and shows that one.
    """

    def __init__(self, port: int, *, token: str = "", certificates: Certificates | None = None) -> None:
        self.calls: Counter[str] = Counter()
        self.faults: dict[str, Fault] = {}
        self.port = 0
        self._token = token
        self._certificates = certificates
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_receive_message_length", -1)])
        self._server = grpc.server(
            futures.ThreadPoolExecutor(4), handlers=[self], options=[("grpc.max_receive_message_length", -1)]
        )
        self._lock = threading.Lock()

    def service(self, details: Any) -> Any:
        """The handler of one method."""
        path = details.method
        carried = dict(details.invocation_metadata)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._answer(path, carried, request, context)
        )

    def _answer(self, path: str, carried: dict[str, Any], request: bytes, context: Any) -> bytes:
        name = path.rpartition("/")[2]
        with self._lock:
            self.calls[name] += 1
        if self._token and carried.get("authorization") != self._token:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "auth check failure")
        found = self.faults[name](request) if name in self.faults else None
        if isinstance(found, tuple):
            context.abort(*found)
        if isinstance(found, bytes):
            return found
        return self.hand_on(name, request)

    def hand_on(self, name: str, request: bytes) -> bytes:
        """What the server behind answers."""
        path = f"/milvus.proto.milvus.MilvusService/{name}"
        handed: bytes = self._channel.unary_unary(path)(request, timeout=30)
        return handed

    def __enter__(self) -> Self:
        self.port = self._open("127.0.0.1:0")
        self._server.start()
        return self

    def _open(self, place: str) -> int:
        if self._certificates is None:
            return int(self._server.add_insecure_port(place))
        pair = (self._certificates.key.read_bytes(), self._certificates.certificate.read_bytes())
        return int(self._server.add_secure_port(place, grpc.ssl_server_credentials([pair])))

    def __exit__(self, *exc: object) -> None:
        self._server.stop(0).wait()
        self._channel.close()
