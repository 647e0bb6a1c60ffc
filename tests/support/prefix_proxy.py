"""A proxy that has a server's REST API below a path, as an ingress does: `/prefix/collections` is `/collections`."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import httpx

__all__ = ["PrefixProxy"]

_POLL_S = 0.02
_KEPT = ("api-key", "content-type", "accept-encoding")


class PrefixProxy:
    """`with PrefixProxy(server.url, "/prefix") as proxy`. What is asked outside of the prefix is 404, and logged."""

    def __init__(self, upstream: str, prefix: str) -> None:
        self.stray: list[str] = []
        self._prefix = prefix
        self._client = httpx.Client(base_url=upstream, timeout=60.0)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), daemon=True)

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self._server.server_port

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, content = proxy._reply(self.command, self.path, self.headers, body)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing is printed."""

        return Handler

    def _reply(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, bytes]:
        if not path.startswith(f"{self._prefix}/"):
            self.stray.append(path)
            return 404, b"nothing here"
        kept = {name: headers[name] for name in _KEPT if headers.get(name)}
        found = self._client.request(method, path.removeprefix(self._prefix), content=body, headers=kept)
        return found.status_code, found.content

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._client.close()
