"""The REST wire: HTTP/1.1 by the standard library, answered by the core."""

import socket
import ssl
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import SplitResult, parse_qs, urlsplit

from tests.support.tls_certificates import Certificates

from . import snapshots_rest
from .errors import ApiError, Failure, engine_errors
from .rest_bodies import MAX_BODY_BYTES, decoded, encoded
from .rest_routes import Call, Route, route
from .service import TITLE, VERSION, Service

JSON = "application/json"
OPEN_PATHS: dict[str, Any] = {
    "/": {"title": TITLE, "version": VERSION},
    "/healthz": "healthz check passed",
    "/readyz": "all shards are ready",
    "/livez": "healthz check passed",
}


class Handler(BaseHTTPRequestHandler):
    """One connection; each request is answered whole."""

    protocol_version = "HTTP/1.1"
    # Head and body leave in one piece, else a client's delayed acknowledgement costs 40 ms a request.
    wbufsize = -1
    disable_nagle_algorithm = True
    service: ClassVar[Service]

    def answer(self) -> None:
        started_s = time.perf_counter()
        body = self._body()
        try:
            self._send(*self._answered(body, started_s))
        except ApiError as error:
            self._refuse(error)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - names that the base class looks up

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            return b"".join(self._chunks())
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _chunks(self) -> Any:
        while size_bytes := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size_bytes)
            self.rfile.readline()
        self.rfile.readline()

    def _answered(self, body: bytes, started_s: float) -> tuple[int, str, bytes]:
        address = urlsplit(self.path)
        if address.path in OPEN_PATHS:
            return self._open(OPEN_PATHS[address.path])
        self.service.check_key({key.lower(): value for key, value in self.headers.items()})
        if address.path == "/metrics":
            return HTTPStatus.OK, "text/plain", f'app_info{{name="qdrant",version="{VERSION}"}} 1\n'.encode()
        if snapshots_rest.route(self.command, address.path) is not None:
            return self._snapshots(address, body, started_s)
        found = route(self.command, address.path)
        if found is None:
            return self._unknown(address.path)
        result = self._result(found, body, address.query)
        answer = {"result": result, "status": "ok", "time": time.perf_counter() - started_s}
        return HTTPStatus.OK, JSON, encoded(answer)

    def _result(self, found: Route, body: bytes, query: str) -> Any:
        headers = {key.lower(): value for key, value in self.headers.items()}
        self.service.check_key(headers, found.method)
        encodings = headers.get("accept-encoding", "")
        with self.service.request("rest", found.method, found.name, encodings), engine_errors():
            if len(body) > MAX_BODY_BYTES:
                limit = f"is larger than allowed (limit: {MAX_BODY_BYTES} bytes)."
                raise ApiError(Failure.BAD_INPUT, f"JSON payload ({len(body)} bytes) {limit}")
            wait = parse_qs(query).get("wait", ["false"])[0] == "true"
            return found.answer(self.service, Call(found.name, found.part, wait, decoded(body) if body else {}))

    def _snapshots(self, address: SplitResult, body: bytes, started_s: float) -> tuple[int, str, bytes]:
        found = snapshots_rest.route(self.command, address.path)
        assert found is not None
        method, answer, name, part = found
        kind = self.headers.get("Content-Type", "")
        with self.service.request("rest", method, name), engine_errors():
            result = answer(self.service.snapshots, snapshots_rest.asked_for(name, part, address.query, kind, body))
        if isinstance(result, bytes):
            return HTTPStatus.OK, "application/octet-stream", result
        return HTTPStatus.OK, JSON, encoded({"result": result, "status": "ok", "time": time.perf_counter() - started_s})

    def _unknown(self, path: str) -> tuple[int, str, bytes]:
        """A path of another part of the API is logged and not built; anything else is not found."""
        if not path.startswith("/collections/") or path.endswith("/"):
            return HTTPStatus.NOT_FOUND, JSON, b""
        with self.service.request("rest", f"{self.command} {path}", ""):
            raise ApiError(Failure.NOT_BUILT, f"The loopback server has no {self.command} {path}")

    @staticmethod
    def _open(answer: Any) -> tuple[int, str, bytes]:
        if isinstance(answer, str):
            return HTTPStatus.OK, "text/plain", answer.encode()
        return HTTPStatus.OK, JSON, encoded(answer)

    def _refuse(self, error: ApiError) -> None:
        headers = {} if error.retry_after_s is None else {"Retry-After": str(error.retry_after_s)}
        if error.http_status == HTTPStatus.UNAUTHORIZED:
            return self._send(error.http_status, "text/plain", error.rest_message.encode())
        body = encoded({"status": {"error": error.rest_message}, "time": 0.0})
        return self._send(error.http_status, JSON, body, headers)

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """The request log says more."""


class Listener(ThreadingHTTPServer):
    """Knows its open connections, so that stopping cuts those that clients keep alive."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], handler: type[Handler]) -> None:
        super().__init__(address, handler)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def cut_connections(self) -> None:
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the client was faster

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away or trusts nobody is no news; anything else is a fault of this server."""
        if not isinstance(sys.exc_info()[1], ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)


class RestWire:
    """An HTTP server on 127.0.0.1; port 0 takes a free one."""

    def __init__(self, service: Service, port: int, certificates: Certificates | None = None) -> None:
        handler = type("BoundHandler", (Handler,), {"service": service})
        self._listener = Listener(("127.0.0.1", port), handler)
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.certificate, certificates.key)
            # The handshake belongs to the connection's own thread: a client that refuses it must not end the server.
            self._listener.socket = context.wrap_socket(
                self._listener.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port: int = self._listener.server_address[1]
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,), name="loopback-rest")
        self._thread.start()

    def stop(self) -> None:
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()
        self._listener.cut_connections()
