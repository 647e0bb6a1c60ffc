"""Where the vector of each record is: in a row of the index files, in the log, or lost."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vecferry.stores.chroma import cosine, queue_tail
from vecferry.stores.chroma.collection_info import CollectionInfo
from vecferry.stores.chroma.folder_access import Database
from vecferry.stores.chroma.hnsw_files import ABSENT, HnswFiles, read_id_map

__all__ = ["VectorPlaces"]

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]
_NO_LABEL = -1
# A place is a row of the index files (0 and up), LOST, or the log entry s as LOST - s (entries start at 1).
_LOST = ABSENT


class VectorPlaces:
    """Finds vectors by a record's position in key order. `problem` names a lost or damaged index file.

    Built once by reading all ids; then 8 bytes a record stay in memory.
    """

    def __init__(
        self, database: Database, folder: Path, info: CollectionInfo, pages: Iterable[list[str]], count: int
    ) -> None:
        self._database = database
        self._is_cosine = info.space == "cosine"
        self._dimension = info.dimension or 0
        index = folder / info.vector_segment
        id_map = read_id_map(index)
        label_of = id_map.label_of
        self._files = HnswFiles(index, self._dimension, has_lengths=self._is_cosine) if label_of else None
        after = _taken_up(database, info, id_map.max_seq_id) if label_of else 0
        entry_of = queue_tail.replay_vectors(database, info, after, label_of)
        self._places = np.full(count, _LOST, dtype=np.int64)
        first = 0
        for ids in pages:
            self._places[first : first + len(ids)] = self._find(ids, label_of, entry_of)
            first += len(ids)
        self.problem = id_map.problem or (self._files.problem if self._files else "")
        if len(self.lost_positions) and not index.exists():
            self.problem = "the index folder is missing"

    def _find(self, ids: list[str], label_of: dict[str, int], entry_of: dict[str, int]) -> Positions:
        places = np.full(len(ids), _LOST, dtype=np.int64)
        if self._files:
            labels = np.fromiter((label_of.get(text, _NO_LABEL) for text in ids), dtype=np.int64, count=len(ids))
            places = self._files.rows_of(labels)
        if entry_of:
            entries = np.fromiter((entry_of.get(text, 0) for text in ids), dtype=np.int64, count=len(ids))
            places = np.where(entries > 0, _LOST - entries, places)
        return places

    @property
    def lost_positions(self) -> Positions:
        """Positions of the records whose vector is lost."""
        return np.flatnonzero(self._places == _LOST)

    def gather(self, positions: Positions) -> tuple[Floats, Mask]:
        """Vectors `(n, dim) float32` of records and `(n,) bool`, true where the vector is lost (its row is zero)."""
        places = self._places[positions]
        in_files, in_log, lost = places >= 0, places < _LOST, places == _LOST
        if self._files and in_files.all():
            return self._files.gather(places), lost
        vectors = np.zeros((len(places), self._dimension), dtype=np.float32)
        if self._files:
            vectors[in_files] = self._files.gather(places[in_files])
        if in_log.any():
            raw = queue_tail.read_vectors(self._database, (_LOST - places[in_log]).tolist(), self._dimension)
            vectors[in_log] = cosine.returned_form(raw) if self._is_cosine else raw
        return vectors, lost

    def close(self) -> None:
        """Close the index files. Idempotent."""
        if self._files:
            self._files.close()


def _taken_up(database: Database, info: CollectionInfo, in_id_map: int | None) -> int:
    """The last log entry inside the index files; Chroma 0.4 kept it in the id map."""
    recorded = queue_tail.max_seq_id(database, info.vector_segment)
    return (in_id_map or 0) if recorded is None else recorded
