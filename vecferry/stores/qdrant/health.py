"""How a Qdrant server, or a collection of it, is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from importlib import metadata

from qdrant_client import models

from vecferry.address import Address
from vecferry.contract import Health
from vecferry.errors import NotFound
from vecferry.stores.qdrant.connection import Connection, endpoint, server_errors

__all__ = ["ailments", "health"]

_EDGE, _CLIENT = "qdrant-edge-py", "qdrant-client"
_BUSY = {
    models.CollectionStatus.YELLOW: "it is being optimised",
    models.CollectionStatus.GREY: "optimisations are pending, and begin with the next change",
}


def health(address: Address) -> Health:
    """The server's version and wire, and the state of the collection that the address names, if it is there."""
    if not address.host:
        package = _CLIENT if address.scheme == "qdrant+path" else _EDGE
        return Health(package, metadata.version(package))
    with contextlib.closing(Connection(endpoint(address))) as connection, server_errors(str(address)):
        told = connection.client.info()
        info = _collection(connection, address)
        notes = [f"reached over {connection.wire.value}", *_busy(info)]
        if connection.endpoint.key_is_exposed:
            notes.append("the key travels unencrypted; qdrants:// encrypts")
    return Health("Qdrant", told.version, tuple(ailments(info)), tuple(notes))


def _collection(connection: Connection, address: Address) -> models.CollectionInfo | None:
    if not address.raw_path.strip("/"):
        return None
    try:
        with server_errors(str(address)):
            return connection.client.get_collection(address.collection())
    except NotFound:
        return None


def _busy(info: models.CollectionInfo | None) -> list[str]:
    return [_BUSY[info.status]] if info is not None and info.status in _BUSY else []


def ailments(info: models.CollectionInfo | None) -> Iterator[str]:
    """What a collection says is not well with it."""
    if info is None:
        return
    if info.status is models.CollectionStatus.RED:
        yield "the collection is red: an operation of the engine failed"
    if isinstance(info.optimizer_status, models.OptimizersStatusOneOf1):
        yield f"the optimizer failed: {info.optimizer_status.error}"
