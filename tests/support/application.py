"""An application that is told of pauses and switches: over HTTP, or as a command with its memory in a file.

It knows nothing of vecferry's code: signature, tokens and answers follow docs/hooks.md. What it shall do wrong is
ordered by `faults`: for each action the ways of the next calls, in order.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import signal
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

__all__ = ["SECRET", "Application", "Memory", "command_of", "hooks_of"]

SECRET = "correct horse battery staple"
_POLL_S = 0.01
_EXPIRED_EXIT_CODE = 9


@dataclass
class Memory:
    """What one application knows, and what it was asked."""

    url: str = "numpy:///data/old"
    reads: str = ""
    epoch: int | None = None
    writes: str = "open"
    token: int = 0
    over: int = 0
    calls: list[dict[str, Any]] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    faults: dict[str, list[str]] = field(default_factory=dict)

    def next_fault(self, action: str) -> str:
        """What goes wrong with the next call of this kind."""
        waiting = self.faults.get(action, [])
        return waiting.pop(0) if waiting else ""

    def obey(self, call: dict[str, Any]) -> bool:
        """Do what is asked, each key once. False when its token is older than one that is known, or over."""
        is_over = call["token"] and call["token"] <= self.over and call["action"] != "reads"
        if call["token"] < self.token or is_over:
            return False
        if call["idempotency_key"] not in self.applied:
            self.applied.append(call["idempotency_key"])
            self.token = call["token"]
            if call["action"] == "switch":
                self.url, self.epoch, self.reads = call["url"], call["epoch"], ""
            elif call["action"] == "reads":
                self.reads, self.epoch = call["reads_url"], call["epoch"]
            else:
                self.writes = "paused" if call["action"] == "pause" else "open"
        return True

    def said(self) -> dict[str, Any]:
        """What it serves now."""
        said = {"url": self.url, "epoch": self.epoch, "writes": self.writes}
        return said | ({"reads": self.reads} if self.reads else {})

    def actions(self) -> list[str]:
        """What it was asked to do, in order."""
        return [call["action"] for call in self.calls]


class Application:
    """`with Application() as application`: a server on `application.hook`; `application.memory` is what it knows."""

    def __init__(self, memory: Memory | None = None, certificates: Any = None) -> None:
        self.memory = memory or Memory()
        self.rejected: list[str] = []
        self._stop = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._scheme = "http"
        if certificates is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.certificate, certificates.key)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self._scheme = "https"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), daemon=True)

    @property
    def hook(self) -> str:
        """The URL that takes every call."""
        return f"{self._scheme}://127.0.0.1:{self._server.server_port}/hooks/docs?tenant=a"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        application = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if application._is_signed(self, self.path.encode()):
                    application._say_what_it_does(self)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if application._is_signed(self, body):
                    application._act(self, json.loads(body))

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nothing is printed."""

        return Handler

    def _is_signed(self, handler: BaseHTTPRequestHandler, content: bytes) -> bool:
        """As docs/hooks.md tells applications to check."""
        parts = dict(part.split("=", 1) for part in handler.headers["X-Vecferry-Signature"].split(","))
        digest = hmac.new(SECRET.encode(), parts["t"].encode() + b"." + content, hashlib.sha256).hexdigest()
        if hmac.compare_digest(digest, parts["v1"]) and abs(time.time() - int(parts["t"])) < 300:
            return True
        self.rejected.append(handler.path)
        _answer(handler, 401, b'{"error": "the signature is wrong"}')
        return False

    def _say_what_it_does(self, handler: BaseHTTPRequestHandler) -> None:
        asked = dict(parse_qsl(urlsplit(handler.path).query))
        self.memory.calls.append({"action": "read_back", **asked})
        fault = self.memory.next_fault("read_back")
        if fault:
            self._misbehave(handler, fault, {})
        else:
            _answer(handler, 200, json.dumps(self.memory.said()).encode())

    def _act(self, handler: BaseHTTPRequestHandler, call: dict[str, Any]) -> None:
        self.memory.calls.append(call | {"header": handler.headers["Idempotency-Key"]})
        fault = self.memory.next_fault(call["action"])
        if fault:
            self._misbehave(handler, fault, call)
        elif self.memory.obey(call):
            _answer(handler, 200, b'{"done": true}')
        else:
            _answer(handler, 409, b'{"error": "a later pause is known, or this one is over"}')

    def _misbehave(self, handler: BaseHTTPRequestHandler, fault: str, call: dict[str, Any]) -> None:
        if fault in ("half", "late") and call:
            self.memory.obey(call)
        if fault in ("hang", "late"):
            self._stop.wait()  # longer than anybody waits
        elif fault == "trickle":
            self._trickle(handler)
        elif fault == "cut":
            handler.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 100\r\n\r\n{")
        elif fault == "drop":
            handler.close_connection = True
        else:
            _answer(handler, *_WRONG_ANSWERS[fault])

    def _trickle(self, handler: BaseHTTPRequestHandler) -> None:
        """A byte now and then, for ever: each of them renews a socket's own time-out."""
        handler.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n")
        with contextlib.suppress(OSError):
            while not self._stop.wait(_POLL_S):
                handler.wfile.write(b" ")


_WRONG_ANSWERS: dict[str, tuple[int, bytes]] = {
    "refuse": (403, b'{"error": "not today"}'),
    "fail": (500, b"boom"),
    "half": (500, b"boom, after the work"),
    "redirect": (302, b""),
    "forget": (200, b"{}"),
    "page": (200, b"<html>please log in</html>"),
    "list": (200, b"[1]"),
    "huge": (200, b'{"text": "' + b"x" * 100_000 + b'"}'),
    "mute": (200, b'{"url": "", "epoch": 1, "writes": "open"}'),
    "timeout": (408, b""),
}


def _answer(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    if status == 302:
        handler.send_header("Location", handler.path)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    with contextlib.suppress(OSError):
        handler.wfile.write(body)


def command_of(memory: Path) -> list[str]:
    """The words of a command that is the same application; its memory is this JSON file, which must exist."""
    return [sys.executable, "-I", "-S", __file__, str(memory)]


def _main(file: Path) -> int:
    memory = Memory(**json.loads(file.read_text()))
    call = json.load(sys.stdin)
    memory.calls.append(call)
    fault = memory.next_fault(call["action"])
    done = True
    if fault in ("", "half", "late"):
        done = call["action"] == "read_back" or memory.obey(call)
    file.write_text(json.dumps(vars(memory)))
    if fault in ("hang", "late"):
        signal.pause()
    if fault == "child":
        subprocess.Popen([sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    if fault in ("refuse", "fail", "half"):
        sys.stderr.write("line 1\nline 2\nthe disk is on fire\n")
        return 3
    answer = memory.said() if call["action"] == "read_back" else {"done": done}
    sys.stdout.write(f"a line of its log\n{json.dumps(answer)}\n")
    return 0 if done else _EXPIRED_EXIT_CODE


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1])))


def hooks_of(application: Application, folder: Path, *, timeout_s: float = 10, **more: Any) -> dict[str, Any]:
    """All four hooks lead to the application; nothing is waited for.

    The secret is in a file of `folder`, where runs in other processes find it.
    """
    secret = folder / "secret"
    secret.write_text(SECRET)
    hook = {"webhook": application.hook, "secret": {"file": str(secret)}, "timeout_s": timeout_s}
    return {**dict.fromkeys(("pause", "release", "switch", "read_back"), hook), "write_timeout_s": 0, **more}
