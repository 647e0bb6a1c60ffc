"""Open stores, shared by the threads of this process.

An embedded engine takes one handle a process, and opening a server's collection for each slice would
cost more than the slice. So stores stay open by address until a phase ends and `release` closes them:
what validates must never share a handle with what wrote.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from vecferry.address import Address
from vecferry.contract import Reader, Source, Target
from vecferry.stores import registry

__all__ = ["release", "source", "target"]

_Store = TypeVar("_Store", bound=Source)
_open: dict[tuple[str, str, Reader], Source] = {}
_lock = threading.RLock()


def source(address: Address, reader: Reader = Reader.FAST) -> Source:
    """The shared handle of a collection that is read."""
    return _shared("source", address, reader, registry.open_source)


def target(address: Address, reader: Reader = Reader.FAST) -> Target:
    """The shared handle of a collection that is written (or read back, by the public path)."""
    return _shared("target", address, reader, registry.open_target)


def release(*addresses: Address) -> None:
    """Close the handles of these collections, whoever opened them; the next use opens anew."""
    names = {str(address) for address in addresses}
    with _lock:
        closing = [key for key in _open if key[1] in names]
        for key in closing:
            _open.pop(key).close()


def _shared(role: str, address: Address, reader: Reader, opener: Callable[[Address, Reader], _Store]) -> _Store:
    key = (role, str(address), reader)
    with _lock:
        if key not in _open:
            _open[key] = opener(address, reader)
        return _open[key]  # type: ignore[return-value]
