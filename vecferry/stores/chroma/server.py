"""`chroma://HOST:PORT/COLLECTION` and, behind TLS, `chromas://`: a Chroma server or Chroma Cloud.

Options: `tenant`, `database`, `timeout_s` (for each call; the client itself waits for ever), `auth` (how a token
travels: `x-chroma-token`, the default, or `bearer`), `ca` (a file of certificates that are trusted instead of the
system's, behind TLS). Secrets: `token` or `api_key`, or `basic` (`user:password`).
"""

from __future__ import annotations

import base64
import math
import ssl
from collections.abc import Mapping
from typing import Any

import httpx
from chromadb.api import ServerAPI
from chromadb.config import Settings, System

from vecferry.address import Address
from vecferry.capabilities import Capabilities
from vecferry.contract import Reader
from vecferry.errors import BadOption
from vecferry.stores.chroma import capabilities
from vecferry.stores.chroma.answers import AnswerReader
from vecferry.stores.chroma.checks import check_name
from vecferry.stores.chroma.collection import ClientCollection
from vecferry.stores.chroma.connection import Connection
from vecferry.stores.chroma.failures import response_check, translated
from vecferry.stores.chroma.folder import DEFAULT_DATABASE, DEFAULT_TENANT

__all__ = ["ServerCollection", "connect", "open_source", "open_target"]

_PORTS = {"chroma": 8000, "chromas": 443}
_TIMEOUT_S = 120.0
_CONNECT_TIMEOUT_S = 10.0
_CLOUD = ".trychroma.com"
_CLOUD_ROWS = 300  # Chroma Cloud's quota: records in one request


def open_source(address: Address, reader: Reader = Reader.FAST) -> ServerCollection:
    """Open a collection for reading. Nothing is asked before the first use, which raises NotFound if it is absent."""
    return ServerCollection(address, reader)


def open_target(address: Address, reader: Reader = Reader.FAST) -> ServerCollection:
    """Open a collection that need not exist. Raises BadOption for a name that Chroma does not take."""
    check_name(address.collection(), str(address))
    return ServerCollection(address, reader)


class ServerCollection(ClientCollection):
    """A collection of a server. `Reader.FAST` and `PUBLIC` differ in how answers become arrays."""

    _pages_in_flight = 2

    def __init__(self, address: Address, reader: Reader) -> None:
        super().__init__(str(address), address.collection())
        address.only_options("tenant", "database", "timeout_s", "auth", "ca")
        if not address.host or address.raw_path.strip("/").count("/"):
            form = f"{address.scheme}://HOST:PORT/COLLECTION"
            raise BadOption(f"{address} is not of the form {form}", advice="tenant and database are options: ?tenant=")
        self._address = address
        self._public = reader is Reader.PUBLIC
        _settings(address, _headers(address))  # so that a wrong option is told on opening
        _timeout_s(address)
        _trust(address)

    def capabilities(self) -> Capabilities:
        connection = self._connection()
        return capabilities.server(max_batch_rows=connection.max_batch_rows(), exact_vectors=connection.exact_vectors())

    def _is_there(self) -> bool:
        return True

    def _connect(self) -> Connection:
        return connect(self._address, public=self._public)


def connect(address: Address, *, public: bool = False) -> Connection:
    """Open a client in the tenant and database of an address. Raises BadOption for options that contradict."""
    url, tenant = str(address), address.options.get("tenant", DEFAULT_TENANT)
    database = address.options.get("database", DEFAULT_DATABASE)
    with translated(url):
        system = System(_settings(address, _headers(address)))
        api: Any = system.instance(ServerAPI)
        api._session.close()
        api._session = session = _session(address, api._session.headers)
        system.start()
    return Connection(
        api,
        url,
        tenant,
        database,
        release=lambda: _stop(system, session),
        public=public,
        reader=None if public else AnswerReader(session, api.get_api_url(), url, tenant, database),
        quota_rows=_CLOUD_ROWS if address.host.endswith(_CLOUD) else None,
    )


def _session(address: Address, headers: Mapping[str, str]) -> httpx.Client:
    """What carries the requests: with a deadline, which the client's own has not, and vecferry's errors."""
    timeout_s = _timeout_s(address)
    return httpx.Client(
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_TIMEOUT_S)),
        headers=headers,
        verify=_trust(address),
        event_hooks={"response": [response_check(str(address))]},
    )


def _trust(address: Address) -> ssl.SSLContext | bool:
    """Whose certificates are believed. Raises BadOption for a file that holds none."""
    file = address.options.get("ca")
    if file is None:
        return address.scheme == "chromas"
    if address.scheme != "chromas":
        raise BadOption(f"ca= is for TLS, which {address.scheme}:// has not", advice="write chromas://")
    try:
        return ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise BadOption(f"ca={file} is no file of certificates: {error}", advice="a PEM file") from error


def _stop(system: System, session: httpx.Client) -> None:
    session.close()
    system.stop()


def _settings(address: Address, headers: Mapping[str, str]) -> Settings:
    return Settings(
        chroma_api_impl="chromadb.api.fastapi.FastAPI",
        chroma_server_host=address.host,
        chroma_server_http_port=address.port or _PORTS[address.scheme],
        chroma_server_ssl_enabled=address.scheme == "chromas",
        # The session that the client makes for itself is not used: see `_session`.
        chroma_server_ssl_verify=address.scheme == "chromas",
        chroma_server_headers=dict(headers),
        anonymized_telemetry=False,
    )


def _headers(address: Address) -> dict[str, str]:
    """The header that carries the secret, if there is one. Raises BadOption for more than one, or an unknown `auth`."""
    given = sorted(address.secrets.keys() & {"token", "api_key", "basic"})
    if len(given) > 1:
        raise BadOption(f"{address} got {' and '.join(given)}; it takes one of them")
    way = address.options.get("auth", "x-chroma-token")
    if way not in ("x-chroma-token", "bearer"):
        raise BadOption(f"auth={way} is not known", advice="auth=x-chroma-token or auth=bearer")
    if not given:
        return {}
    secret = address.secrets[given[0]]
    if not secret.isascii() or not secret.isprintable():
        raise BadOption(f"the {given[0]} for {address} has characters that no HTTP header can carry")
    if given == ["basic"]:
        return {"Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
    return {"Authorization": f"Bearer {secret}"} if way == "bearer" else {"X-Chroma-Token": secret}


def _timeout_s(address: Address) -> float:
    text = address.options.get("timeout_s", str(_TIMEOUT_S))
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise BadOption(f"timeout_s={text} is not a number of seconds", advice="timeout_s=120")
    return seconds
