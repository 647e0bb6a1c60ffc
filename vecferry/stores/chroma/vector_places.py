"""Where the vector of each record is: in a row of the index files, in the log, or lost."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vecferry.stores.chroma import cosine, queue_tail, vector_tail
from vecferry.stores.chroma.collection_info import CollectionInfo
from vecferry.stores.chroma.folder_access import Database
from vecferry.stores.chroma.hnsw_files import ABSENT, HnswFiles, IdMap, read_id_map
from vecferry.stores.chroma.layout import Replay
from vecferry.stores.chroma.vector_tail import VectorTail

__all__ = ["VectorPlaces"]

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]
_NO_LABEL = -1
# A place is a row of the index files (0 and up), LOST, or the log entry s as LOST - s (entries start at 1).
_LOST = ABSENT


class VectorPlaces:
    """Finds vectors by a record's position in key order. `problem` names the index file whose damage lost some.

    Built once by reading all ids, page by page; then 8 bytes a record stay in memory.
    """

    def __init__(
        self,
        database: Database,
        folder: Path,
        info: CollectionInfo,
        pages: Callable[[], Iterable[list[str]]],
        count: int,
    ) -> None:
        self._database, self._info = database, info
        self._is_cosine = info.space == "cosine"
        self._dimension = info.dimension or 0
        index = folder / info.vector_segment
        id_map = read_id_map(index)
        label_of = id_map.label_of
        self._files = HnswFiles(index, self._dimension, has_lengths=self._is_cosine) if label_of else None
        tail = self._replay(id_map, index)
        self._places = np.full(count, _LOST, dtype=np.int64)
        first = 0
        for ids in pages():
            self._places[first : first + len(ids)] = self._find(ids, label_of, tail.entry_of)
            first += len(ids)
        if label_of and len(self.lost_positions) and vector_tail.is_complete(database, info):
            self._look_behind(vector_tail.replay_vectors(database, info, 0, {}).entry_of, pages())
        self._indexed = tail.indexed
        self.problem = id_map.problem or (self._files.problem if self._files else "")
        if not len(self.lost_positions):
            self.problem = ""
        elif not index.exists():
            self.problem = "the index folder is missing"

    def _replay(self, id_map: IdMap, index: Path) -> VectorTail:
        """The log behind what the index has; all of it where there is no index, which may have been lost."""
        database, info = self._database, self._info
        recorded = queue_tail.max_seq_id(database, info.vector_segment)
        taken_up = (id_map.max_seq_id or 0) if recorded is None else recorded  # 0.4 kept it in the id map
        tail = vector_tail.replay_vectors(database, info, taken_up if id_map.is_read else 0, id_map.label_of)
        made_on_opening = info.replay is Replay.PYTHON_BY_ID
        was_written = recorded is not None or bool(id_map.problem) or (made_on_opening and not index.exists())
        if not id_map.is_read and was_written and not vector_tail.is_complete(database, info):
            vector_tail.drop_doubtful(database, info, tail)
        return tail

    def _look_behind(self, entry_of: dict[str, int], pages: Iterable[list[str]]) -> None:
        """Vectors that the index should hold and does not still stand in a log that was never shortened."""
        ids = itertools.chain.from_iterable(pages)
        for position, text in enumerate(ids):
            if self._places[position] == _LOST and text in entry_of:
                self._places[position] = _LOST - entry_of[text]

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
            vectors[in_log] = self._logged(_LOST - places[in_log])
        return vectors, lost

    def _logged(self, entries: Positions) -> Floats:
        """Vectors of log entries as Chroma gives them: rounded by a cosine index once it has taken them up."""
        raw = vector_tail.read_vectors(self._database, entries.tolist(), self._dimension)
        if not self._is_cosine:
            return raw
        return np.where((entries <= self._indexed)[:, np.newaxis], cosine.returned_form(raw), raw)

    def close(self) -> None:
        """Close the index files. Idempotent."""
        if self._files:
            self._files.close()
