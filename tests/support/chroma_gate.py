"""A gate in front of a Chroma server, as its users have one: it checks headers, ends TLS, and forwards the rest."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx

from tests.support.tls_certificates import Certificates

__all__ = ["ChromaGate"]

_POLL_S = 0.02


class ChromaGate:
    """`with ChromaGate(port) as gate`. A request without the headers `wanted` gets 401; `answer` is given instead of
    the server's, where there is one.
    """

    def __init__(self, port: int, certificates: Certificates | None = None) -> None:
        self.wanted: dict[str, str] = {}
        self.answer: tuple[int, str] | None = None
        self.paths: list[str] = []
        self._port = port
        self._scheme = "chromas" if certificates else "chroma"
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if certificates:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.certificate, certificates.key)
            # The handshake belongs to the connection's own thread: a client that refuses it must not end the server.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), daemon=True)

    def url(self, name: str, options: str = "") -> str:
        """The URL of a collection behind the gate."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}/{name}{options}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        gate = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                gate.paths.append(self.path)
                status, content = gate._reply(self.command, self.path, dict(self.headers), body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

            def handle(self) -> None:
                try:
                    super().handle()
                except ssl.SSLError:
                    self.close_connection = True

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing is printed."""

        return Handler

    def _reply(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        if self.answer is not None:
            return self.answer[0], self.answer[1].encode()
        if any(headers.get(header) != value for header, value in self.wanted.items()):
            return 401, b'{"error":"AuthError","message":"no such token"}'
        kept = {"Content-Type": "application/json"}
        found = httpx.request(method, f"http://127.0.0.1:{self._port}{path}", content=body, headers=kept)
        return found.status_code, found.content

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
