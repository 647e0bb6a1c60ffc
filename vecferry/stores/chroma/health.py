"""How a Chroma server is."""

from __future__ import annotations

import contextlib
from importlib import metadata

from vecferry.address import Address
from vecferry.contract import Health
from vecferry.stores.chroma import server
from vecferry.stores.chroma.failures import translated

__all__ = ["health"]

_PACKAGE = "chromadb"


def health(address: Address) -> Health:
    """The server's version, once its heart beats; of a folder that of the installed engine."""
    if not address.host:
        return Health(_PACKAGE, metadata.version(_PACKAGE))
    with contextlib.closing(server.connect(address)) as connection, translated(str(address)):
        connection.api.heartbeat()
        version = str(connection.api.get_version())
    exposed = bool(address.secrets) and address.scheme == "chroma"
    notes = ("the token travels unencrypted; chromas:// encrypts",) if exposed else ()
    return Health("Chroma", version, notes=notes)
