"""A Chroma folder read directly: sqlite and the index files, no client, nothing in the folder changed.

Read are folders as Chroma 0.4.3 to 1.5 leave them, also when it was killed: changes that are only in its log count.
What comes back is what the client of that version would give, bit for bit, in the order of the records' keys.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from vecferry import canonical
from vecferry.errors import VecferryError
from vecferry.model import ALL_PARTS, Part
from vecferry.stores.chroma import hnsw_files
from vecferry.stores.chroma.collection_info import CollectionInfo, collection_names, read_collection
from vecferry.stores.chroma.folder_access import Database, Watch, check_folder
from vecferry.stores.chroma.layout import show_as_current
from vecferry.stores.chroma.metadata_rows import (
    DOCUMENT_KEY,
    RESERVED,
    URI_KEY,
    Metadata,
    keys_with,
    read_metadata,
    reserved_keys,
)
from vecferry.stores.chroma.queue_tail import replay_metadata
from vecferry.stores.chroma.vector_places import VectorPlaces

__all__ = ["DEFAULT_DATABASE", "DEFAULT_TENANT", "ChromaFolder", "FolderCollection", "KeyRange", "Rows"]

DEFAULT_TENANT, DEFAULT_DATABASE = "default_tenant", "default_database"
HIGHEST_KEY = 2**63 - 1
_PAGE_ROWS = 20_000
_IDS_AT_ONCE = 500  # sqlite takes at least 999 variables
_KEYS = "SELECT id FROM embeddings WHERE segment_id = ? ORDER BY id"
_PAGE = "SELECT id, embedding_id FROM embeddings WHERE id > ? AND +segment_id = ? ORDER BY id LIMIT ?"
_IDS = "SELECT e.id, e.embedding_id FROM json_each(?) AS wanted CROSS JOIN embeddings AS e ON e.id = wanted.value"

Keys = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Records whose primary key (of the table `embeddings`) lies in `first..last`, both included; `rows` as counted."""

    first: int
    last: int
    rows: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Some records as columns of `n` rows, in key order. A part that was not asked for is None.

    `vectors` `(n, dim) float32` holds zeros where `lost` `(n,) bool` is true. `metadata` is canonical JSON,
    `{}` where a record has none; `uris` come with it. `hidden_values` counts metadata values under other keys
    that begin with `chroma:`, which Chroma stores and never shows; they are left out.
    """

    keys: Keys
    ids: pa.StringArray
    vectors: Floats | None = None
    lost: Mask | None = None
    documents: pa.StringArray | None = None
    metadata: pa.StringArray | None = None
    uris: pa.StringArray | None = None
    hidden_values: int = 0


class ChromaFolder:
    """An idle folder with any number of collections.

    Raises NotFound where no Chroma folder is, and StoreRefused where it is in use or was written by another Chroma
    than 0.4.3 to 1.5.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_folder(path)
        self._database = Database(path)
        try:
            self._layout = show_as_current(self._database, str(path))
        except VecferryError:
            self.close()
            raise

    def collection_names(self) -> list[tuple[str, str, str]]:
        """Tenant, database and name of every collection, sorted."""
        return collection_names(self._database)

    def collection(self, name: str, tenant: str = DEFAULT_TENANT, database: str = DEFAULT_DATABASE) -> FolderCollection:
        """One collection. Raises NotFound when it is not here."""
        info = read_collection(self._database, name, tenant, database, self._layout.replay)
        return FolderCollection(self.path, self._database, info)

    def close(self) -> None:
        """Close the database; its collections cannot be read any more. Idempotent."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class FolderCollection:
    """One collection of a folder. Methods may raise DataDiffer when the folder is written to meanwhile,
    and BadRecord for a record that Chroma itself cannot read.
    """

    def __init__(self, folder: Path, database: Database, info: CollectionInfo) -> None:
        self.info = info
        self._folder, self._database = folder, database
        self._building = threading.RLock()
        index = folder / info.vector_segment
        self._watch = Watch(folder, [index / name for name in hnsw_files.FILES])
        self._tail = replay_metadata(database, info)
        self._watch.check()

    # What is here

    def count(self) -> int:
        """The exact number of records."""
        return len(self._keys)

    def fingerprint(self) -> str:
        """A text that changes when the folder's files do."""
        return self._watch.fingerprint()

    @property
    def index_problem(self) -> str:
        """Which index file is lost or damaged, in words; `""` when none is."""
        return self._places.problem

    @property
    def is_settled_copy(self) -> bool:
        """Whether the database was left in the middle of a write, so that a copy without it is read."""
        return self._database.is_copy

    def lost_count(self) -> int:
        """How many records have lost their vector."""
        return len(self._places.lost_positions)

    def lost_ids(self, limit: int = 100) -> list[str]:
        """Ids of the first records that have lost their vector."""
        keys = self._keys[self._places.lost_positions[:limit]]
        return [text for _, text in self._ids_of(keys)]

    def reserved_keys(self) -> set[str]:
        """The keys beginning with `chroma:` that records have, that of documents among them."""
        later = {key for record in self._tail.changed.values() for key in record if key.startswith(RESERVED)}
        return later | reserved_keys(self._database, self.info.metadata_segment)

    # Reading

    def ranges(self, n: int) -> list[KeyRange]:
        """At most `n` (at least 1) ranges of about equal size that together cover every possible key."""
        borders = np.unique(np.linspace(0, self.count(), n + 1).astype(np.int64))
        starts = [0, *self._keys[borders[1:-1]].tolist()] if len(borders) > 1 else [0]
        ends = [start - 1 for start in starts[1:]] + [HIGHEST_KEY]
        return [KeyRange(first, last, self._span(first, last)[1]) for first, last in zip(starts, ends, strict=True)]

    def read(self, wanted: KeyRange, parts: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000) -> Iterator[Rows]:
        """The records of one range in batches of at most `batch_rows`; none for an empty range."""
        start, rows = self._span(wanted.first, wanted.last)
        for first in range(start, start + rows, batch_rows):
            yield self._rows(np.arange(first, min(first + batch_rows, start + rows)), parts)

    def read_with(
        self,
        values: Sequence[tuple[str, str | int | bool]],
        wanted: KeyRange,
        parts: frozenset[Part] = ALL_PARTS,
        batch_rows: int = 1000,
    ) -> Iterator[Rows]:
        """As `read`, at least the records with one of these values under its key of the metadata."""
        start, rows = self._span(wanted.first, wanted.last)
        found = [keys_with(self._database, name, value) for name, value in values]
        # What the log alone knows is read without a look at its values.
        keys = np.unique(np.fromiter(chain(*found, self._tail.changed, self._tail.added), dtype=np.int64))
        positions = start + np.flatnonzero(np.isin(self._keys[start : start + rows], keys))
        for first in range(0, len(positions), batch_rows):
            yield self._rows(positions[first : first + batch_rows], parts)

    def fetch(self, ids: Sequence[str], parts: frozenset[Part] = ALL_PARTS) -> Rows:
        """The records of these ids that are here, each once."""
        wanted = list(dict.fromkeys(ids))
        keys = {self._tail.key_of[text] for text in wanted if text in self._tail.key_of}
        stored = [text for text in wanted if text not in self._tail.key_of]
        for first in range(0, len(stored), _IDS_AT_ONCE):
            keys |= self._stored_keys(stored[first : first + _IDS_AT_ONCE])
        found = np.array(sorted(key for key in keys if key is not None), dtype=np.int64)
        return self._rows(np.searchsorted(self._keys, found), parts)

    def _stored_keys(self, ids: list[str]) -> set[int | None]:
        marks = ",".join("?" * len(ids))
        sql = f"SELECT id FROM embeddings WHERE segment_id = ? AND embedding_id IN ({marks})"
        return {key for (key,) in self._database.rows(sql, (self.info.metadata_segment, *ids))}

    def _span(self, first: int, last: int) -> tuple[int, int]:
        """The first position and the number of records of a range of keys."""
        start = int(np.searchsorted(self._keys, first, side="left"))
        return start, int(np.searchsorted(self._keys, last, side="right")) - start

    def _rows(self, positions: npt.NDArray[np.int64], parts: frozenset[Part]) -> Rows:
        keys = self._keys[positions]
        ids = pa.array([text for _, text in self._ids_of(keys)], pa.string())
        vectors, lost = self._places.gather(positions) if Part.VECTORS in parts else (None, None)
        documents = metadata = uris = None
        hidden = 0
        if parts & {Part.DOCUMENT, Part.PAYLOAD}:
            records = self._metadata_of(keys)
            texts, links, hidden = _split_reserved(records)
            documents = pa.array(texts, pa.string()) if Part.DOCUMENT in parts else None
            if Part.PAYLOAD in parts:
                metadata = pa.array(canonical.encode_many(records), pa.binary()).cast(pa.string())
                uris = pa.array(links, pa.string())
        self._watch.check()
        return Rows(keys, ids, vectors, lost, documents, metadata, uris, hidden)

    def _ids_of(self, keys: Keys) -> list[tuple[Any, ...]]:
        """Keys with their ids, in key order."""
        found = self._database.rows(_IDS, (orjson.dumps(keys.tolist()),))
        if self._tail.added:
            found += [(key, self._tail.added[key]) for key in keys.tolist() if key in self._tail.added]
        return found

    def _metadata_of(self, keys: Keys) -> list[Metadata]:
        listed = keys.tolist()
        records = read_metadata(self._database, listed)
        if self._tail.changed:
            records = [
                dict(self._tail.changed[key]) if key in self._tail.changed else record
                for key, record in zip(listed, records, strict=True)
            ]
        return records

    # What is learnt once

    @cached_property
    def _keys(self) -> Keys:
        """All primary keys in order; those that only the log has come last."""
        rows = self._database.rows(_KEYS, (self.info.metadata_segment,))
        stored = np.fromiter((key for (key,) in rows), dtype=np.int64, count=len(rows))
        hidden = np.array(sorted(self._tail.hidden), dtype=np.int64)
        added = np.array(sorted(self._tail.added), dtype=np.int64)
        return np.concatenate([np.setdiff1d(stored, hidden, assume_unique=True), added])

    @property
    def _places(self) -> VectorPlaces:
        with self._building:
            return self._built_places

    @cached_property
    def _built_places(self) -> VectorPlaces:
        return VectorPlaces(self._database, self._folder, self.info, self._id_pages, self.count())

    def _id_pages(self) -> Iterator[list[str]]:
        """All ids in key order."""
        after = -1
        while page := self._database.rows(_PAGE, (after, self.info.metadata_segment, _PAGE_ROWS)):
            yield [text for key, text in page if key not in self._tail.hidden]
            after = page[-1][0]
        yield [self._tail.added[key] for key in sorted(self._tail.added)]

    def close(self) -> None:
        """Close the index files. Idempotent."""
        if "_built_places" in vars(self):
            self._built_places.close()


def _split_reserved(records: list[Metadata]) -> tuple[list[str | None], list[str | None], int]:
    """Documents and uris, taken out of the metadata, and how many hidden values were taken out besides."""
    documents = [record.pop(DOCUMENT_KEY, None) for record in records]
    uris: list[str | None] = [None] * len(records)
    hidden = 0
    for row, record in enumerate(records):
        for name in [name for name in record if name.startswith(RESERVED)]:
            value = record.pop(name)
            if name == URI_KEY and isinstance(value, str):
                uris[row] = value
            else:
                hidden += 1
    return documents, uris, hidden
