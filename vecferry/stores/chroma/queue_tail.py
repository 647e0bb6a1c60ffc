"""The end of Chroma's log (`embeddings_queue`) that its segments have not taken up yet.

Chroma writes a change to the log first. The metadata segment follows at once (it lags only after a kill),
the vector index only every `sync_threshold` changes. When Chroma opens the folder it replays the rest;
here the same rest is replayed in memory, by the same rules: metadata here, vectors in `vector_tail`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from vecferry.errors import BadRecord
from vecferry.stores.chroma.collection_info import CollectionInfo
from vecferry.stores.chroma.folder_access import Database
from vecferry.stores.chroma.layout import Replay
from vecferry.stores.chroma.metadata_rows import Metadata, read_metadata

__all__ = ["MetadataTail", "changes", "max_seq_id", "parse_float", "replay_metadata", "sequence_number"]

ADD, UPDATE, UPSERT, DELETE, BACKFILL = range(5)
_PAGE_ROWS = 20_000
# A topic is a path that ends with the collection's uuid; what stands before it was a setting once.
_CHANGES = """
SELECT seq_id, operation, id, vector IS NOT NULL, {metadata} FROM embeddings_queue
WHERE seq_id > ? AND substr(topic, -36) = ? ORDER BY seq_id LIMIT ?
"""


def max_seq_id(database: Database, segment: str) -> int | None:
    """The last log entry that a segment has taken up; None when it has none on record."""
    rows = database.rows("SELECT seq_id FROM max_seq_id WHERE segment_id = ?", (segment,))
    if not rows:
        return None
    return sequence_number(rows[0][0])


def sequence_number(value: bytes | int) -> int:
    """The number of a log entry, which Chroma before 1.0 stores as bytes."""
    return int.from_bytes(value, "big") if isinstance(value, bytes) else value


def changes(database: Database, info: CollectionInfo, after: int, *, metadata: bool) -> Iterator[tuple[Any, ...]]:
    """Log entries behind `after`: number, operation, id, whether it has a vector, and (if wanted) its metadata."""
    sql = _CHANGES.format(metadata="metadata" if metadata else "NULL")
    while page := database.rows(sql, (after, info.uuid, _PAGE_ROWS)):
        yield from page
        after = page[-1][0]


class MetadataTail:
    """Records as the unread end of the log leaves them: `hidden` keys are gone, `changed` ones have this metadata.

    A record that only the log has gets the key that Chroma would give it, above all others; `added` has its id.
    """

    def __init__(self, first_free_key: int) -> None:
        self.hidden: set[int] = set()
        self.changed: dict[int, Metadata] = {}
        self.added: dict[int, str] = {}
        self.key_of: dict[str, int | None] = {}
        self._next_key = first_free_key

    def apply(self, operation: int, record: str, patch: Metadata, stored: tuple[int, Metadata] | None) -> None:
        """One change; `stored` is the record's key and metadata before the log's end, where the table has it."""
        if record not in self.key_of:
            self.key_of[record] = stored[0] if stored else None
            if stored:
                self.changed[stored[0]] = stored[1]
        key = self.key_of[record]
        if operation == DELETE:
            self._remove(record, key)
        elif key is None and operation in (ADD, UPSERT):
            self._insert(record, patch)
        elif key is not None and operation in (UPDATE, UPSERT):
            _merge(self.changed[key], patch)

    def _insert(self, record: str, patch: Metadata) -> None:
        key, self._next_key = self._next_key, self._next_key + 1
        self.key_of[record], self.added[key], self.changed[key] = key, record, {}
        _merge(self.changed[key], patch)

    def _remove(self, record: str, key: int | None) -> None:
        if key is None:
            return
        self.key_of[record] = None
        del self.changed[key]
        if self.added.pop(key, None) is None:
            self.hidden.add(key)


def replay_metadata(database: Database, info: CollectionInfo) -> MetadataTail:
    """What the log's end changes. Raises BadRecord for metadata that Chroma cannot read itself."""
    [[last]] = database.rows("SELECT coalesce(max(id), 0) FROM embeddings")
    tail = MetadataTail(last + 1)
    after = max_seq_id(database, info.metadata_segment) or 0
    for seq_id, operation, record, _, text in changes(database, info, after, metadata=True):
        if operation != BACKFILL:
            stored = None if record in tail.key_of else _stored(database, info, record)
            tail.apply(operation, record, _parse_patch(text, seq_id, record, info.replay), stored)
    return tail


def _stored(database: Database, info: CollectionInfo, record: str) -> tuple[int, Metadata] | None:
    sql = "SELECT id FROM embeddings WHERE segment_id = ? AND embedding_id = ?"
    rows = database.rows(sql, (info.metadata_segment, record))
    return (rows[0][0], read_metadata(database, [rows[0][0]])[0]) if rows else None


def _merge(metadata: Metadata, patch: Metadata) -> None:
    for name, value in patch.items():
        if value is None or value == [] or value != value:  # sqlite makes NULL of NaN, which is not shown
            metadata.pop(name, None)
        else:
            metadata[name] = value


def _parse_patch(text: str | None, seq_id: int, record: str, replay: Replay) -> Metadata:
    patch: Metadata = json.loads(text or "{}", parse_float=parse_float if replay is Replay.RUST else float)
    for name, value in patch.items():
        patch[name] = _checked_list(value) if isinstance(value, list) else value
        if patch[name] is _UNREADABLE or isinstance(value, dict):
            raise BadRecord(
                f"record {record!r} (log entry {seq_id}) has a value under {name!r} that Chroma wrote but cannot read",
                advice="Chroma cannot open this collection either. Delete that row of embeddings_queue in a copy.",
            )
    return patch


_UNREADABLE = object()


def _checked_list(values: list[Any]) -> Any:
    types = {type(value) for value in values}
    if types == {int, float}:
        return [float(value) for value in values]
    return values if len(types) <= 1 and not types & {type(None), list, dict} else _UNREADABLE


def parse_float(text: str) -> float:
    """The double that Chroma makes of a decimal text: the digits as an integer times or by one power of ten.

    Not the nearest double in about one case of ten. Minus zero becomes zero, as sqlite stores it.
    """
    mantissa, _, exponent_text = text.lower().partition("e")
    whole, _, fraction = mantissa.partition(".")
    value, exponent = float(int(whole + fraction)), int(exponent_text or 0) - len(fraction)
    while abs(exponent) > 308:
        step = 308 if exponent > 0 else -308
        value = value * 1e308 if step > 0 else value / 1e308
        exponent -= step
    power = float(f"1e{abs(exponent)}")
    return (value * power if exponent >= 0 else value / power) + 0.0
