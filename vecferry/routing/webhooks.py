"""Hooks that are webhooks: one signed request, no redirect, one time limit for all of it.

Who signs: `X-Vecferry-Signature: t=SECONDS,v1=HEX`, where HEX is HMAC-SHA256 with the secret over `SECONDS.CONTENT`.
The content is the body; of a GET, which has none, it is the path with its query.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import orjson

from vecferry.model import JsonObject
from vecferry.routing.calls import MAX_ANSWER_BYTES, Action, Call, Outcome, Reply

__all__ = ["SIGNATURE", "Place", "call", "signature"]

SIGNATURE = "X-Vecferry-Signature"

_EXPIRED, _TIMEOUT = 409, 408
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True, slots=True)
class Place:
    """Where a webhook is, the secret that signs, and whose certificates are believed (None: the system's)."""

    url: str
    secret: str
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    target: str
    body: bytes | None
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    whole: bool


def signature(secret: str, content: bytes, at_s: int) -> str:
    """The header's value for a request of this content, sent at this Unix time."""
    key = secret.encode(errors="surrogateescape")
    digest = hmac.new(key, b"%d.%s" % (at_s, content), hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


def call(place: Place, made: Call, timeout_s: float) -> Reply:
    """Send a request; a read-back is a GET, everything else a POST of JSON.

    2xx with nothing or a JSON object is an acknowledgement, 409 an expired token, any other 4xx (but 408) a refusal.
    Everything else, a time-out included, leaves its fate unknown.
    """
    try:
        connection = _connection(place, timeout_s)
    except OSError as error:
        return _unsent(f"{place.ca} holds no certificates: {error}")
    end_s = time.monotonic() + timeout_s
    try:
        connection.connect()
    except (OSError, HTTPException) as error:
        return _unsent(f"{_shown(place)} cannot be reached: {_words(error)}")
    with contextlib.closing(connection), _cut_at(end_s, connection.sock) as over:
        if time.monotonic() >= end_s:
            return _unsent(f"{_shown(place)} was not reached in {timeout_s:g} s")
        late = Reply(Outcome.UNKNOWN, f"{_shown(place)} did not answer within {timeout_s:g} s", {})
        try:
            answer = _exchange(connection, _signed(place, made))
        except TimeoutError:
            return late
        except (OSError, HTTPException, ValueError) as error:
            broken = f"{_shown(place)} did not answer to its end: {_words(error)}"
            return late if over.is_set() else Reply(Outcome.UNKNOWN, broken, {})
    return late if over.is_set() else _judged(_shown(place), answer)


def _unsent(says: str) -> Reply:
    return Reply(Outcome.REFUSED, says, {}, sent=False)


def _signed(place: Place, made: Call) -> _Request:
    target = _target(place.url, made)
    headers = {"Accept": "application/json", "User-Agent": "vecferry"}
    if made.request.action is Action.READ_BACK:
        signed = signature(place.secret, target.encode(), int(time.time()))
        return _Request("GET", target, None, headers | {SIGNATURE: signed})
    signed = signature(place.secret, made.body, int(time.time()))
    more = {SIGNATURE: signed, "Content-Type": "application/json", "Idempotency-Key": made.key}
    return _Request("POST", target, made.body, headers | more)


def _target(url: str, made: Call) -> str:
    """The path with its query. A read-back says by it what it asks for."""
    parts = urlsplit(url)
    query = parts.query
    if made.request.action is Action.READ_BACK:
        asked = {"route": made.request.route, "workspace": made.request.workspace, "migration": made.request.migration}
        query = "&".join(filter(None, (query, urlencode({name: text for name, text in asked.items() if text}))))
    return (parts.path or "/") + (f"?{query}" if query else "")


def _connection(place: Place, timeout_s: float) -> HTTPConnection:
    parts = urlsplit(place.url)
    host = parts.hostname or ""
    if parts.scheme != "https":
        return HTTPConnection(host, parts.port, timeout=timeout_s)
    trusted = ssl.create_default_context(cafile=place.ca)
    return HTTPSConnection(host, parts.port, timeout=timeout_s, context=trusted)


@contextlib.contextmanager
def _cut_at(end_s: float, sock: socket.socket) -> Iterator[threading.Event]:
    """Cut a connection at the end: a socket's own time-out begins anew with each byte that trickles in.

    The event says that it was cut, because an answer without a length then looks whole.
    """
    over = threading.Event()

    def cut() -> None:
        over.set()
        with contextlib.suppress(OSError):
            socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of TLS too, beneath what reads at this moment

    timer = threading.Timer(max(0.0, end_s - time.monotonic()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield over
    finally:
        timer.cancel()


def _exchange(connection: HTTPConnection, made: _Request) -> _Answer:
    connection.request(made.method, made.target, made.body, dict(made.headers))
    response = connection.getresponse()
    found = response.read(MAX_ANSWER_BYTES + 1)
    return _Answer(response.status, found, whole=len(found) <= MAX_ANSWER_BYTES and not response.length)


def _judged(place: str, answer: _Answer) -> Reply:
    content = _content(answer)
    says = f"{place} answered HTTP {answer.status}{_text(answer.body)}"
    if answer.status == _EXPIRED:
        return Reply(Outcome.EXPIRED, says, content or {})
    if 200 <= answer.status < 300:
        if content is None:
            return Reply(Outcome.UNKNOWN, f"{says}, which is neither empty nor a JSON object", {})
        return Reply(Outcome.ACKNOWLEDGED, f"{place} answered HTTP {answer.status}", content)
    refused = 400 <= answer.status < 500 and answer.status != _TIMEOUT
    return Reply(Outcome.REFUSED if refused else Outcome.UNKNOWN, says, content or {})


def _content(answer: _Answer) -> JsonObject | None:
    """The JSON object of an answer; an empty one for no answer, None for any other."""
    if not answer.whole:
        return None
    if not answer.body.strip():
        return {}
    try:
        found = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _text(body: bytes) -> str:
    told = " ".join(body[: 4 * _SHOWN_CHARACTERS].decode(errors="replace").split())[:_SHOWN_CHARACTERS]
    return f": {told}" if told else ""


def _shown(place: Place) -> str:
    """Its URL without the query, which may hold what is nobody's business."""
    return place.url.partition("?")[0]


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
