"""A connection to one server: its address, the wire that it is reached by, and its errors as vecferry's."""

from __future__ import annotations

import contextlib
import ssl
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import httpx
import orjson
from qdrant_client import grpc as official
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.connection import header_adder_interceptor
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from qdrant_client.qdrant_remote import QdrantRemote

from vecferry.address import Address
from vecferry.errors import BadOption, BadRecord, RetryLater, VecferryError
from vecferry.stores.qdrant.failures import grpc_failure, rest_failure, unreachable
from vecferry.stores.qdrant.wire import CHANNEL_OPTIONS

__all__ = ["Connection", "Endpoint", "Wire", "endpoint", "server_errors"]

GRPC_PORT, REST_PORT = 6334, 6333
_WEB_PORTS = {True: 443, False: 80}  # of HTTP with and without TLS, where a prefix shows that a proxy answers
# Neither wire compresses: a server spends most of its time on gzip for clients that take it.
_IDENTITY = {"accept-encoding": "identity"}
_NO_GRPC_HERE = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "UNKNOWN"})
_PROBE_TIMEOUT_S = 5.0
# gRPC's own back-off grows to two minutes, in which a server that is back looks as if it were away.
_CHANNEL_OPTIONS = CHANNEL_OPTIONS | {"grpc.initial_reconnect_backoff_ms": 200, "grpc.max_reconnect_backoff_ms": 5000}


class Wire(StrEnum):
    """How a server is talked to."""

    GRPC = "grpc"
    REST = "rest"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is and how long one call may take. `wire` None: gRPC where it answers, else REST.

    `prefix`: the path (`/qdrant`) below which a proxy has REST. `ca`: a file of certificates to trust instead of
    the system's.
    """

    url: str
    host: str
    grpc_port: int
    rest_port: int
    tls: bool
    key: str | None
    wire: Wire | None
    timeout_s: float
    prefix: str = ""
    ca: Path | None = None

    @property
    def rest_url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.rest_port}{self.prefix}"

    @property
    def key_is_exposed(self) -> bool:
        """Whether the key travels unencrypted."""
        return self.key is not None and not self.tls


def endpoint(address: Address) -> Endpoint:
    """The endpoint of a URL. Raises BadOption for a wire that is none, a number that is none, or what cannot be met."""
    if not address.host:
        raise BadOption(f"{address} names no host", advice="write qdrant://HOST:6334/COLLECTION")
    tls, prefix = address.scheme == "qdrants", _prefix(address)
    wire = _wire(address, prefix)
    rest_only = wire is Wire.REST and "rest_port" not in address.options
    default_port = _WEB_PORTS[tls] if prefix else REST_PORT
    return Endpoint(
        url=str(address),
        host=f"[{address.host}]" if ":" in address.host else address.host,
        grpc_port=address.port or GRPC_PORT,
        rest_port=(address.port or default_port) if rest_only else int(address.positive("rest_port", default_port)),
        tls=tls,
        key=address.secrets.get("api_key"),
        wire=wire,
        timeout_s=address.positive("timeout_s", 60.0),
        prefix=prefix,
        ca=_authority(address, tls),
    )


def _prefix(address: Address) -> str:
    """A proxy's path, with a slash before it and none behind it."""
    if "/" in address.raw_path.strip("/"):
        raise BadOption(
            f"{address} has a path of several parts",
            advice="the path is the collection's name (a slash in it is %2F); a proxy's path is ?prefix=/PATH",
        )
    text = address.options.get("prefix")
    if text is None:
        return ""
    found = quote(text.strip("/"), safe="/")
    if not found:
        raise BadOption(f"prefix={text} is no path", advice="write prefix=/qdrant, or leave it out")
    return f"/{found}"


def _wire(address: Address, prefix: str) -> Wire | None:
    text = address.options.get("wire")
    try:
        wire = None if text is None else Wire(text)
    except ValueError:
        raise BadOption(f"wire={text} is no wire", advice="wire=grpc or wire=rest") from None
    if prefix and wire is Wire.GRPC:
        raise BadOption("gRPC has no path prefix", advice="leave wire=grpc out: behind a prefix REST is used")
    return Wire.REST if prefix else wire


def _authority(address: Address, tls: bool) -> Path | None:
    text = address.options.get("ca")
    if text is None:
        return None
    if not tls:
        raise BadOption(f"{address} names a CA and is not encrypted", advice="write qdrants://")
    if not Path(text).is_file():
        raise BadOption(f"ca={text} is no file", advice="name a file of PEM certificates")
    return Path(text)


class Connection:
    """The channel and clients of one server, made on first use; safe for threads."""

    def __init__(self, target: Endpoint) -> None:
        self.endpoint = target
        self._opened = contextlib.ExitStack()
        self._lock = threading.RLock()

    @cached_property
    def wire(self) -> Wire:
        """The wire in use. Raises RetryLater when the server answers on none."""
        with self._lock:
            if self.endpoint.wire is not None:
                return self.endpoint.wire
            no_grpc = self._why_no_grpc()
            if not no_grpc:
                return Wire.GRPC
            no_rest = self.why_no_rest()
            if no_rest:
                raise unreachable(self.endpoint.url, (no_grpc, no_rest))
            return Wire.REST

    @cached_property
    def channel(self) -> grpc.Channel:
        """A gRPC channel of our own for messages as bytes."""
        with self._lock:
            place, options = f"{self.endpoint.host}:{self.endpoint.grpc_port}", list(_CHANNEL_OPTIONS.items())
            if self.endpoint.tls:
                roots = None if self.endpoint.ca is None else self.endpoint.ca.read_bytes()
                channel = grpc.secure_channel(place, grpc.ssl_channel_credentials(roots), options)
            else:
                channel = grpc.insecure_channel(place, options)
            self._opened.callback(channel.close)
            return channel

    @property
    def _verify(self) -> bool | ssl.SSLContext:
        """Certificates are checked where there are any; loading them costs 0.1 s that plain HTTP need not pay."""
        if self.endpoint.ca is None:
            return self.endpoint.tls
        try:
            return ssl.create_default_context(cafile=self.endpoint.ca)
        except (ssl.SSLError, OSError) as error:
            raise BadOption(f"ca={self.endpoint.ca} holds no certificates: {error}") from error

    @property
    def metadata(self) -> list[tuple[str, str]]:
        """What each gRPC call carries."""
        return [] if self.endpoint.key is None else [("api-key", self.endpoint.key)]

    @cached_property
    def http(self) -> httpx.Client:
        """An HTTP client of our own for bodies as bytes."""
        with self._lock:
            headers = _IDENTITY | ({} if self.endpoint.key is None else {"api-key": self.endpoint.key})
            client = httpx.Client(
                base_url=self.endpoint.rest_url,
                headers=headers,
                timeout=self.endpoint.timeout_s,
                verify=self._verify,
            )
            self._opened.callback(client.close)
            return client

    @cached_property
    def client(self) -> QdrantRemote:
        """The official client, on the wire in use; without its part for embeddings, which costs most of its making."""
        with self._lock, warnings.catch_warnings():
            # The schema's notes say that a key travels unencrypted.
            warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
            client = QdrantRemote(
                host=self.endpoint.host,
                port=self.endpoint.rest_port,
                grpc_port=self.endpoint.grpc_port,
                prefer_grpc=self.wire is Wire.GRPC,
                https=self.endpoint.tls,
                api_key=self.endpoint.key,
                timeout=max(1, round(self.endpoint.timeout_s)),
                grpc_options=dict(_CHANNEL_OPTIONS),
                check_compatibility=False,
                metadata=dict(_IDENTITY),
                verify=self._verify,
                prefix=self.endpoint.prefix or None,
            )
            if self.wire is Wire.GRPC and self.endpoint.ca is not None:
                _give_channel(client, self.channel, self.metadata)
            self._opened.callback(client.close)
            return client

    def _why_no_grpc(self) -> str:
        """Nothing where gRPC answers, whatever it says."""
        timeout_s = min(_PROBE_TIMEOUT_S, self.endpoint.timeout_s)
        try:
            stub: Any = official.QdrantStub  # made by the compiler of the protos, without types
            stub(self.channel).HealthCheck(official.HealthCheckRequest(), timeout=timeout_s, metadata=self.metadata)
        except grpc.RpcError as error:
            if error.code().name in _NO_GRPC_HERE:
                return f"gRPC on port {self.endpoint.grpc_port}: {error.details()}"
        return ""

    def why_no_rest(self) -> str:
        """Nothing where Qdrant's REST answers."""
        place = f"REST on port {self.endpoint.rest_port}"
        try:
            answer = self.http.get("/", timeout=min(_PROBE_TIMEOUT_S, self.endpoint.timeout_s))
        except httpx.HTTPError as error:
            return f"{place}: {error}"
        known = answer.status_code in (401, 403) or (answer.is_success and b"qdrant" in answer.content)
        return "" if known else f"{place}: something that is not Qdrant answers with HTTP {answer.status_code}"

    def close(self) -> None:
        """Close what was opened; the next use opens it anew. Idempotent."""
        with self._lock:
            self._opened.close()
            for name in ("wire", "channel", "http", "client"):
                self.__dict__.pop(name, None)


def _give_channel(client: QdrantRemote, channel: grpc.Channel, metadata: list[tuple[str, str]]) -> None:
    """Let the official client use our channel: it has no option for certificates of its own."""
    remote: Any = client
    told = grpc.intercept_channel(channel, header_adder_interceptor(metadata))
    remote._grpc_channel_pool = [told] * remote._get_grpc_pool_size()


@contextlib.contextmanager
def server_errors(url: str) -> Iterator[None]:
    """Turn the errors of both wires into vecferry's."""
    try:
        yield
    except grpc.RpcError as error:
        raise _of_grpc(url, error) from error
    except UnexpectedResponse as error:
        raise rest_failure(url, error.status_code or 0, body_message(error.content)) from error
    except ResourceExhaustedResponse as error:
        raise RetryLater(f"{url}: {error}", advice=f"wait {error.retry_after_s} s") from error
    except ResponseHandlingException as error:
        if not isinstance(error.source, httpx.HTTPError):
            raise BadRecord(f"an answer of {url} cannot be read: {error.source}") from error
        raise unreachable(url, (_said(error.source),)) from error
    except httpx.HTTPError as error:
        raise unreachable(url, (_said(error),)) from error


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _of_grpc(url: str, error: grpc.RpcError) -> VecferryError:
    details = error.details() or ""
    if "deserializing response" in details:
        return BadRecord(
            f"an answer of {url} cannot be read: {details}", advice="payload of many levels can be read with ?wire=rest"
        )
    return grpc_failure(url, error.code().name, details)


def body_message(content: bytes) -> str:
    """What a REST answer says went wrong."""
    try:
        return str(orjson.loads(content)["status"]["error"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return content[:200].decode(errors="replace")
