"""A store that is in memory behind a connection that fails as often as a test asks for."""

from __future__ import annotations

from collections import deque

import pyarrow as pa

from vecferry.address import Address
from vecferry.contract import Reader
from vecferry.errors import VecferryError
from vecferry.stores import memory
from vecferry.stores.memory import MemoryStore
from vecferry.stores.registry import StoreEntry

__all__ = ["ENTRY", "FlakyStore", "faults", "open_source", "open_target", "write_faults"]

ENTRY = StoreEntry("flaky", "tests.flows.flaky", ("flaky:///COLLECTION",), "in memory, with faults")

faults: deque[VecferryError] = deque()
"""What the next connections to a source raise, in order."""

write_faults: deque[VecferryError] = deque()
"""What the next writes raise, in order."""


class FlakyStore(MemoryStore):
    """A collection in memory that may fail to take a batch."""

    def write(self, batch: pa.RecordBatch) -> None:
        if write_faults:
            raise write_faults.popleft()
        super().write(batch)


def open_source(address: Address, reader: Reader = Reader.FAST) -> MemoryStore:
    """Raise the next fault, or open the collection in memory."""
    if faults:
        raise faults.popleft()
    return memory.open_source(address, reader)


def open_target(address: Address, reader: Reader = Reader.FAST) -> FlakyStore:
    """Open the collection in memory."""
    address.only_options()
    return FlakyStore(str(address), address.collection())
