"""The vectors of an index and FAISS's ids of them, by row: read by their place in the file, nothing held whole."""

from __future__ import annotations

import os
import weakref
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vecferry.errors import BadRecord, NotFound
from vecferry.stores.faiss_index.layout import Layout, Malformed

__all__ = ["Ids", "Numbers", "Vectors", "VectorsByPlace", "mapped_ids"]

Numbers = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]


class Vectors(ABC):
    """The vectors of an index, in the order in which the index keeps them.

    `ids` are FAISS's, `(rows,) int64`, or None where they are row numbers. `lossy`: in words, why the vectors that come
    out are not those that went in; `""` where they are. `metric`: FAISS's number of it. `claimed`: how many vectors the
    index counts. `ordered`: rows lie in the order in which they were added (in inverted lists they do not).
    """

    rows: int
    dimension: int
    metric: int
    claimed: int
    words: str
    lossy: str = ""
    ids: Ids | None = None
    ordered: bool = True

    @abstractmethod
    def read(self, start: int, stop: int) -> Numbers:
        """Rows `start` to `stop`, `(n, dim) float32`."""

    def take(self, rows: Ids) -> Numbers:
        """These rows, ascending and at least one, `(n, dim) float32`."""
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
        return np.concatenate([self.read(int(run[0]), int(run[-1]) + 1) for run in runs])


class VectorsByPlace(Vectors):
    """Vectors that lie in a file as they are; read from several threads at once. Memory: 8 bytes a row for own ids."""

    def __init__(self, path: Path, layout: Layout) -> None:
        self._layout = layout
        self._path = data_path(path, layout)
        self._handle = self._open(self._path)
        self.rows, self.dimension, self.metric = layout.rows, layout.dimension, layout.metric
        self.claimed, self.words, self.ordered = layout.claimed, layout.words, layout.ids_at is None
        self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(layout.sizes)])
        self.ids = self._run_ids()
        if layout.map_at is not None:
            map_ = self._numbers(self._open(path), layout.map_at, self.rows)
            self.ids = mapped_ids(map_, self.ids)

    def _open(self, path: Path) -> int:
        handle = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, handle)
        return handle

    def _run_ids(self) -> Ids | None:
        if self._layout.ids_at is None:
            return None
        runs = zip(self._layout.ids_at.tolist(), self._layout.sizes.tolist(), strict=True)
        found = [self._numbers(self._handle, place, count) for place, count in runs]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def _numbers(self, handle: int, place: int, count: int) -> Ids:
        return np.frombuffer(self._pread(handle, count * 8, place), dtype="<i8").astype(np.int64, copy=False)

    def read(self, start: int, stop: int) -> Numbers:
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        parts, rows = [], stop - start
        while start < stop:
            end = min(stop, int(self._starts[first + 1]))
            if end > start:
                place = int(self._layout.vectors_at[first]) + (start - int(self._starts[first])) * self.dimension * 4
                parts.append(self._pread(self._handle, (end - start) * self.dimension * 4, place))
            start, first = end, first + 1
        block = parts[0] if len(parts) == 1 else b"".join(parts)
        return np.frombuffer(block, dtype="<f4").reshape(rows, self.dimension)

    def _pread(self, handle: int, size_bytes: int, place: int) -> bytes:
        parts, left = [], size_bytes
        while left:
            part = os.pread(handle, left, place + size_bytes - left)
            if not part:
                raise BadRecord(f"{self._path} was cut while it was read")
            parts.append(part)
            left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


def data_path(path: Path, layout: Layout) -> Path:
    """The file of the vectors. A data file is looked for beside the index only, wherever the index says that it is.

    Raises NotFound where it is not there, Malformed where it is too short.
    """
    if not layout.data_file:
        return path
    beside = path.with_name(Path(layout.data_file).name)
    if not beside.is_file():
        raise NotFound(
            f"{path} keeps its lists in {layout.data_file}, and {beside.name} is not beside it",
            advice="put the data file into the folder of the index",
        )
    size_bytes = beside.stat().st_size
    if layout.ids_at is not None and len(layout.sizes) and (layout.ids_at + layout.sizes * 8).max() > size_bytes:
        raise Malformed(f"its lists go beyond the {size_bytes} bytes of {beside.name}")
    return beside


def mapped_ids(map_: Ids, inner: Ids | None) -> Ids:
    """The ids of an IDMap's rows: `map_` stands by the ids that its inner index gave. Raises Malformed.

    `remove_ids` on an IDMap over inverted lists shortens the map and leaves the inner ids: FAISS itself answers
    searches in such an index with wrong ids.
    """
    if inner is None:
        return map_
    if len(inner) != len(map_) or not np.array_equal(np.sort(inner), np.arange(len(map_))):
        raise Malformed(
            "the inverted lists below its IDMap are not numbered from 0 without gaps, so that nobody can tell which id "
            "is whose (FAISS leaves such an index behind when ids were removed from it, and answers searches in it "
            "with wrong ids)"
        )
    return map_[inner]
