"""A connection to one Milvus: its address, its calls with a deadline each, and its errors as vecferry's.

Calls go through the client's generated stub and not through the client, which retries by itself (75 times), waits
without a limit, and makes a Python object of every number. The official client serves the public reader.
"""

from __future__ import annotations

import base64
import contextlib
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
from pymilvus import MilvusClient
from pymilvus.grpc_gen import milvus_pb2, milvus_pb2_grpc

from vecferry.stores.milvus.failures import public_errors, status_failure, wire_errors

__all__ = ["Connection", "Endpoint"]

# Answers may be of any size (a server has limits of its own). gRPC's own back-off grows to two minutes, in which a
# server that is back looks as if it were away.
_CHANNEL_OPTIONS = {
    "grpc.max_send_message_length": -1,
    "grpc.max_receive_message_length": -1,
    "grpc.initial_reconnect_backoff_ms": 200,
    "grpc.max_reconnect_backoff_ms": 5000,
    "grpc.enable_retries": 0,
}
_LITE = "milvus_lite"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a Milvus is and how long one call may take. `ca`: whose certificates are trusted, else the system's."""

    url: str
    place: str
    tls: bool = False
    token: str = ""
    database: str = ""
    timeout_s: float = 120.0
    ca: Path | None = None


class Connection:
    """The channel and the client of one Milvus, made on first use; safe for threads.

    `release` is called once, after everything was closed.
    """

    def __init__(self, endpoint: Endpoint, release: Callable[[], None] = lambda: None) -> None:
        self.endpoint = endpoint
        self._opened = contextlib.ExitStack()
        self._opened.callback(release)
        self._lock = threading.RLock()

    @cached_property
    def is_lite(self) -> bool:
        """Whether this is milvus-lite 3, which has ways of its own."""
        with self._lock:
            return bool(self._server.server_info.build_tags.startswith(_LITE))

    @property
    def version(self) -> tuple[int, int] | None:
        """The version of a server that says one, as `(2, 6)`."""
        with self._lock:
            found = re.match(r"v?(\d+)\.(\d+)", self._server.server_info.build_tags)
        return (int(found[1]), int(found[2])) if found else None

    @cached_property
    def _server(self) -> Any:
        """What it says of itself. A Milvus before 2.2.9 says nothing."""
        with wire_errors(self.endpoint.url):
            try:
                answer = self._stub.Connect(
                    milvus_pb2.ConnectRequest(), timeout=self.endpoint.timeout_s, metadata=self._metadata
                )
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
                    raise
                return milvus_pb2.ConnectResponse()
        self.require(answer.status)
        return answer

    @cached_property
    def _stub(self) -> Any:
        with self._lock:
            place, options = self.endpoint.place, list(_CHANNEL_OPTIONS.items())
            if self.endpoint.tls:
                roots = None if self.endpoint.ca is None else self.endpoint.ca.read_bytes()
                channel = grpc.secure_channel(place, grpc.ssl_channel_credentials(roots), options)
            else:
                channel = grpc.insecure_channel(place, options)
            self._opened.callback(channel.close)
            stub: Any = milvus_pb2_grpc.MilvusServiceStub  # made by the compiler of the protos, without types
            return stub(channel)

    @property
    def _metadata(self) -> list[tuple[str, str]]:
        """What each call carries."""
        found = [("dbname", self.endpoint.database)] if self.endpoint.database else []
        if self.endpoint.token:
            found.append(("authorization", base64.b64encode(self.endpoint.token.encode()).decode()))
        return found

    def call(self, method: str, request: Any) -> Any:
        """One call. Raises what `failures` knows; a refusal inside of an answer is raised as well."""
        answer = self.ask(method, request)
        self.require(getattr(answer, "status", answer))
        return answer

    def require(self, status: Any) -> None:
        """Raise the error that a status stands for."""
        failure = status_failure(self.endpoint.url, status)
        if failure is not None:
            raise failure

    def ask(self, method: str, request: Any) -> Any:
        """One call whose status is for the caller to look at. Raises errors of gRPC itself as vecferry's."""
        if self.endpoint.database and "db_name" in request.DESCRIPTOR.fields_by_name:
            request.db_name = self.endpoint.database
        with wire_errors(self.endpoint.url):
            return getattr(self._stub, method)(request, timeout=self.endpoint.timeout_s, metadata=self._metadata)

    @cached_property
    def client(self) -> MilvusClient:
        """The official client, in a connection of its own.

        It says the same of a dead server and of a wrong token; the server is asked first, which tells them apart.
        """
        endpoint, _ = self.endpoint, self._server
        trusted = {"server_pem_path": str(endpoint.ca)} if endpoint.ca else {}
        with self._lock, public_errors(endpoint.url):
            client = MilvusClient(
                uri=f"{'https' if endpoint.tls else 'http'}://{endpoint.place}",
                token=endpoint.token,
                db_name=endpoint.database,
                timeout=endpoint.timeout_s,
                dedicated=True,
                **trusted,
            )
            self._opened.callback(client.close)
            return client

    def close(self) -> None:
        """Close what was opened. Idempotent."""
        with self._lock:
            self._opened.close()
            for name in ("is_lite", "_server", "_stub", "client"):
                self.__dict__.pop(name, None)
