"""A store that is in memory behind a connection that fails as often as a test asks for."""

from __future__ import annotations

from collections import deque

from vecferry.address import Address
from vecferry.contract import Reader
from vecferry.errors import VecferryError
from vecferry.stores import memory
from vecferry.stores.memory import MemoryStore
from vecferry.stores.registry import StoreEntry

__all__ = ["ENTRY", "faults", "open_source", "open_target"]

ENTRY = StoreEntry("flaky", "tests.flows.flaky", ("flaky:///COLLECTION",), "in memory, with faults")

faults: deque[VecferryError] = deque()
"""What the next connections raise, in order."""


def open_source(address: Address, reader: Reader = Reader.FAST) -> MemoryStore:
    """Raise the next fault, or open the collection in memory."""
    if faults:
        raise faults.popleft()
    return memory.open_source(address, reader)


def open_target(address: Address, reader: Reader = Reader.FAST) -> MemoryStore:
    """Open the collection in memory."""
    return memory.open_target(address, reader)
