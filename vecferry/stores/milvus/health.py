"""How a Milvus server is."""

from __future__ import annotations

import contextlib
from importlib import metadata

from pymilvus.grpc_gen import milvus_pb2

from vecferry.address import Address
from vecferry.contract import Health
from vecferry.errors import StoreRefused
from vecferry.stores.milvus import server
from vecferry.stores.milvus.connection import Connection

__all__ = ["health"]

_LITE = "milvus-lite"


def health(address: Address) -> Health:
    """The server's version and what it says is not well; of a folder the version of the installed engine."""
    if not address.host:
        return Health(_LITE, metadata.version(_LITE))
    endpoint = server.endpoint(address)
    with contextlib.closing(Connection(endpoint)) as connection:
        version = str(connection.call("GetVersion", milvus_pb2.GetVersionRequest()).version)
        ailments, notes = _said(connection)
    if endpoint.token and not endpoint.tls:
        notes = (*notes, "the token travels unencrypted; milvuss:// encrypts")
    return Health("Milvus", version, ailments, notes)


def _said(connection: Connection) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is not well, and what to know. A user without the right to ask is told so."""
    try:
        answer = connection.call("CheckHealth", milvus_pb2.CheckHealthRequest())
    except StoreRefused as error:
        return (), (f"it does not tell whether it is healthy: {error}",)
    reasons = tuple(str(reason) for reason in answer.reasons) or ("it says that it is not healthy",)
    return () if answer.isHealthy else reasons, ()
