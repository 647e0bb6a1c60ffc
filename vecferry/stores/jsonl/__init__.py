"""Points in a file of JSON: `jsonl:///FILE.jsonl`.

Options: `?dialect=points|qdrant|list|chroma|cdp` says which form to write, or to read where the content does not
tell it; `?dtype=float64` keeps numbers as doubles (float32 otherwise); `?ignore=KEY,KEY` leaves these keys of
each point behind, which would be refused otherwise.
"""

from __future__ import annotations

from vecferry.address import Address
from vecferry.contract import Reader
from vecferry.stores.jsonl.store import JsonStore

__all__ = ["open_source", "open_target"]


def open_source(address: Address, reader: Reader = Reader.FAST) -> JsonStore:
    """Open a file for reading; both readers are the same. Raises NotFound."""
    store = JsonStore(address)
    store.require()
    return store


def open_target(address: Address, reader: Reader = Reader.FAST) -> JsonStore:
    """Open a file that need not be there."""
    return JsonStore(address)
