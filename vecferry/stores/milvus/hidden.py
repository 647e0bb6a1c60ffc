"""Records that a server counts and does not give: keys that were inserted twice, and the greatest number.

`insert` of a key that is there keeps both records; a read gives one of them, now the old one, now the new one. The
key 2^63-1 is counted and never given (2.3.5). A count that is too large may also come of writes during the count, so
that only a key that is proven to be counted more often than given is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pyarrow as pa

from vecferry.errors import BadRecord
from vecferry.model import IdKind
from vecferry.stores.milvus.filters import MOST, KeyFilter

__all__ = ["refuse_hidden"]

_Count = Callable[[str], int]


def refuse_hidden(pages: Iterable[pa.StringArray], keys: KeyFilter, count: _Count, url: str) -> None:
    """Raise BadRecord, naming the key, for the first such record. `pages` are all keys that are given, in order."""
    for page in pages:
        found = _counted_twice(page.to_pylist(), keys, count)
        if found is not None:
            raise BadRecord(
                f"{url} holds the key {found} more than once, and gives either of its records",
                advice="delete that key, which removes every one of its records, and write one again",
            )
    if keys.key.kind is IdKind.INT64 and count(f"{keys.key.name} > {MOST - 1}"):
        raise BadRecord(f"{url} holds the key {MOST}, which it counts and never gives", advice="give it another key")


def _counted_twice(ids: list[str], keys: KeyFilter, count: _Count) -> str | None:
    """A key of these, in order, that is counted more often than once, by halving."""
    if count(keys.between(ids[0], ids[-1])) <= len(ids):
        return None
    if len(ids) == 1:
        return ids[0]
    half = len(ids) // 2
    return _counted_twice(ids[:half], keys, count) or _counted_twice(ids[half:], keys, count)
