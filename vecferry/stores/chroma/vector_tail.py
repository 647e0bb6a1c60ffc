"""The vectors of Chroma's log that its index has not taken up yet, and those that the index has lost.

Chroma before 1.0 gathers changes in a buffer before it gives them to the index. A cosine index rounds what it takes,
the buffer does not, so it is told here what would still be in the buffer, had that Chroma just opened the folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import orjson

from vecferry.errors import BadRecord
from vecferry.stores.chroma.collection_info import CollectionInfo
from vecferry.stores.chroma.folder_access import Database
from vecferry.stores.chroma.layout import Replay
from vecferry.stores.chroma.queue_tail import ADD, DELETE, UPDATE, UPSERT, changes, sequence_number

__all__ = ["VectorTail", "drop_doubtful", "is_complete", "read_vectors", "replay_vectors"]

_NO_BUFFER = 2**63 - 1
_VECTORS = """
SELECT q.seq_id, q.vector, q.encoding FROM json_each(?) AS wanted JOIN embeddings_queue AS q ON q.seq_id = wanted.value
"""

_ADDS = """
SELECT q.seq_id, q.id, e.seq_id FROM json_each(?) AS wanted
JOIN embeddings_queue AS q ON q.seq_id = wanted.value
JOIN embeddings AS e ON e.segment_id = ? AND e.embedding_id = q.id
WHERE q.operation = ?
"""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class VectorTail:
    """The log entry that holds the vector of each id; entries up to `indexed` are in the index, those behind it not."""

    entry_of: dict[str, int]
    indexed: int


def replay_vectors(database: Database, info: CollectionInfo, after: int, label_of: dict[str, int]) -> VectorTail:
    """Where the vector of each id changed after the entry `after` stands.

    Ids deleted since leave `label_of`. A change that lacks the vector it needs is passed over, where Chroma stops.
    A record deleted and added anew has its new vector, which Chroma 0.4 ignores while the old one is in the index.
    """
    entry_of: dict[str, int] = {}
    buffer = _Buffer(info, after)
    for seq_id, operation, record, has_vector, _ in changes(database, info, after, metadata=False):
        known = record in label_of or record in entry_of
        if operation == DELETE:
            label_of.pop(record, None)
            entry_of.pop(record, None)
            counts = known
        else:
            counts = has_vector and _takes_effect(operation, known)
            if counts:
                entry_of[record] = seq_id
        buffer.take(seq_id, record, counts=counts, known=known, is_delete=operation == DELETE)
    return VectorTail(entry_of, buffer.indexed)


def is_complete(database: Database, info: CollectionInfo) -> bool:
    """Whether the log has every entry that was ever written: Chroma before 0.5.6 never shortens it, tools may have."""
    return info.replay is Replay.PYTHON_BY_ID and database.rows("SELECT min(seq_id) FROM embeddings_queue") == [(1,)]


def drop_doubtful(database: Database, info: CollectionInfo, tail: VectorTail) -> None:
    """Leave out what may be no record's vector, where the index is lost and only the end of the log is left.

    An `add` of an id that was there already is ignored by Chroma, and cannot be told from a true one without what was
    before it; unless it is the last change that the record took.
    """
    entries = orjson.dumps(list(tail.entry_of.values()))
    for seq_id, record, last_change in database.rows(_ADDS, (entries, info.metadata_segment, ADD)):
        if sequence_number(last_change) != seq_id:
            del tail.entry_of[record]


def _takes_effect(operation: int, known: bool) -> bool:
    return operation == UPSERT or (operation == ADD and not known) or (operation == UPDATE and known)


@dataclass(slots=True)
class _Buffer:
    """How far Chroma has emptied its buffer into the index. Chroma 1.0 has none: `indexed` is beyond every entry."""

    info: CollectionInfo
    indexed: int
    _ids: set[str] = field(default_factory=set)
    _new: set[str] = field(default_factory=set)
    _entries: int = 0

    def __post_init__(self) -> None:
        if self.info.replay is Replay.RUST:
            self.indexed = _NO_BUFFER

    def take(self, seq_id: int, record: str, *, counts: bool, known: bool, is_delete: bool) -> None:
        """One log entry. `counts`: it changes something; `known`: the record was there before."""
        if self.info.replay is Replay.RUST:
            return
        self._entries += 1
        if counts:
            self._note(record, known=known, is_delete=is_delete)
        by_id = self.info.replay is Replay.PYTHON_BY_ID
        if (len(self._ids) if by_id else self._entries) >= self.info.buffer_rows:
            self.indexed, self._entries = seq_id, 0
            self._ids.clear()
            self._new.clear()

    def _note(self, record: str, *, known: bool, is_delete: bool) -> None:
        if not known and record not in self._ids:
            self._new.add(record)
        if is_delete and record in self._new:
            self._new.discard(record)
            self._ids.discard(record)
        else:
            self._ids.add(record)


def read_vectors(database: Database, seq_ids: list[int], dimension: int) -> Floats:
    """Vectors `(n, dim) float32` of log entries, as they were written. Raises BadRecord for another type or size."""
    blobs: dict[int, bytes] = {}
    for seq_id, vector, encoding in database.rows(_VECTORS, (orjson.dumps(seq_ids),)):
        if encoding != "FLOAT32" or len(vector) != 4 * dimension:
            raise BadRecord(
                f"log entry {seq_id} holds a vector of {len(vector)} bytes ({encoding}), not {dimension} float32",
                advice="Chroma cannot read this record either: write it again, or delete it.",
            )
        blobs[seq_id] = vector
    joined = b"".join(blobs[seq_id] for seq_id in seq_ids)
    return np.frombuffer(joined, dtype="<f4").reshape(len(seq_ids), dimension)
