"""The files of one HNSW index of Chroma, read without its library.

`header.bin` (100 bytes) says where in a record of `data_level0.bin` the links, the vector and the label
stand; `length.bin` holds the vectors' lengths (used by cosine alone); `index_metadata.pickle` maps ids to
labels. Files are read in pieces, not mapped: a file that shrinks then gives an error, not a dead process,
and what was read does not stay in memory.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vecferry.errors import StoreRefused

__all__ = ["ABSENT", "FILES", "HnswFiles", "IdMap", "read_id_map"]

ABSENT = -1
"""The row of a label that the index does not hold."""
HEADER, RECORDS, LENGTHS, ID_MAP = "header.bin", "data_level0.bin", "length.bin", "index_metadata.pickle"
FILES = (HEADER, RECORDS, LENGTHS, ID_MAP)
# version, level 0 offset, capacity, rows, record size, label offset, vector offset, then the graph's parameters
_HEADER = struct.Struct("<iQQQQQQiIQQQdQ")
_VERSION = 1
_DELETED_OFFSET, _DELETED_BIT = 2, 1
_SCAN_BYTES = 8 << 20
_LARGEST_GAP_ROWS = 16

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


class _State:
    """Takes the attributes of Chroma 0.4-0.6's `PersistentData`; has no behaviour."""


class _DataUnpickler(pickle.Unpickler):
    """Builds plain data and `_State` alone: a pickle can otherwise run any code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("chromadb.segment.impl.vector.local_persistent_hnsw", "PersistentData"):
            return _State
        raise pickle.UnpicklingError(f"{module}.{name} has no place in an id map")


@dataclass(slots=True)
class IdMap:
    """Which label stands for which id. `is_read`: the file was there and whole. `problem` says why it was not, where
    that is a fault: an index that was never written has none.
    """

    label_of: dict[str, int] = field(default_factory=dict)
    max_seq_id: int | None = None
    is_read: bool = False
    problem: str = ""


def read_id_map(folder: Path) -> IdMap:
    """The id map of an index; empty when the index was never written, and when the file is lost or damaged."""
    file = folder / ID_MAP
    try:
        content: Any = _DataUnpickler(io.BytesIO(file.read_bytes())).load()
    except FileNotFoundError:
        return IdMap(problem=f"{ID_MAP} is missing" if _written_rows(folder / HEADER) else "")
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        return IdMap(problem=f"{ID_MAP} cannot be read ({error})")
    state = vars(content) if isinstance(content, _State) else content
    if not isinstance(state, dict) or not isinstance(state.get("id_to_label"), dict):
        return IdMap(problem=f"{ID_MAP} holds no id map")
    max_seq_id = state.get("max_seq_id")
    return IdMap(state["id_to_label"], max_seq_id if isinstance(max_seq_id, int) else None, is_read=True)


def _written_rows(header: Path) -> int:
    """Rows that an index has ever been written with. Chroma makes the other files before, empty."""
    try:
        content = header.read_bytes()
    except FileNotFoundError:
        return 0
    return int(_HEADER.unpack(content)[3]) if len(content) == _HEADER.size else 0


class HnswFiles:
    """Vectors of one index by label. `problem` says which file is lost or damaged: then no label is found.

    Raises StoreRefused for a layout that this reader does not know.
    """

    def __init__(self, folder: Path, dimension: int, *, has_lengths: bool) -> None:
        self.problem = ""
        self._dimension = dimension
        self._records = self._lengths = -1
        self._labels = self._rows = np.empty(0, dtype=np.int64)
        self._record = np.dtype([("vector", "<f4", (dimension,))])
        try:
            self._open(folder, has_lengths)
        except FileNotFoundError as error:
            self.problem = f"{Path(error.filename).name} is missing"

    def _open(self, folder: Path, has_lengths: bool) -> None:
        header = (folder / HEADER).read_bytes()
        if len(header) != _HEADER.size:
            self.problem = f"{HEADER} has {len(header)} bytes, not {_HEADER.size}"
            return
        version, start, _, rows, size, label, vector, *_ = _HEADER.unpack(header)
        if version != _VERSION or start or label - vector != 4 * self._dimension or label + 8 > size:
            raise StoreRefused(f"{folder / HEADER} has a layout that is not known", advice="Read through a server.")
        self._record = np.dtype(
            {
                "names": ["deleted", "vector", "label"],
                "formats": ["u1", ("<f4", (self._dimension,)), "<u8"],
                "offsets": [_DELETED_OFFSET, vector, label],
                "itemsize": size,
            }
        )
        self._records = os.open(folder / RECORDS, os.O_RDONLY)
        if has_lengths:
            self._lengths = os.open(folder / LENGTHS, os.O_RDONLY)
        self._index_labels(self._rows_on_disk(rows))

    def _rows_on_disk(self, rows: int) -> int:
        """Rows that all files hold whole; a file cut short loses the rows behind the cut."""
        whole = min(rows, os.fstat(self._records).st_size // self._record.itemsize)
        if whole < rows:
            self.problem = f"{RECORDS} is cut after row {whole} of {rows}"
        if self._lengths >= 0 and (lengths := os.fstat(self._lengths).st_size // 4) < whole:
            self.problem, whole = f"{LENGTHS} is cut after row {lengths} of {rows}", lengths
        return whole

    def _index_labels(self, rows: int) -> None:
        """Read every record's label once. Deleted records are left out; a later record wins over an earlier one."""
        labels, kept = np.empty(rows, dtype=np.int64), np.empty(rows, dtype=np.bool_)
        step = max(1, _SCAN_BYTES // self._record.itemsize)
        for first in range(0, rows, step):
            block = self._block(first, min(step, rows - first))
            labels[first : first + step] = block["label"]
            kept[first : first + step] = block["deleted"] & _DELETED_BIT == 0
        order = np.argsort(labels, kind="stable")
        order = order[kept[order]]
        self._labels, self._rows = labels[order], order.astype(np.int64)

    def _block(self, first: int, rows: int) -> npt.NDArray[np.void]:
        size = self._record.itemsize
        block = os.pread(self._records, rows * size, first * size)
        if len(block) != rows * size:
            raise StoreRefused(f"{RECORDS} became shorter while it was read", advice="Stop whatever uses the folder.")
        return np.frombuffer(block, dtype=self._record)

    def rows_of(self, labels: Rows) -> Rows:
        """The rows of `labels` `(n,) int64`; ABSENT where the index does not hold one."""
        if not len(self._labels):
            return np.full(len(labels), ABSENT, dtype=np.int64)
        places = np.searchsorted(self._labels, labels, side="right") - 1
        found: Rows = np.where(self._labels[places] == labels, self._rows[places], ABSENT)
        return found

    def gather(self, rows: Rows) -> Floats:
        """Vectors `(n, dim) float32` of `rows` `(n,) int64` as Chroma gives them (times their lengths for cosine).

        Neighbouring rows come with one read; what lies between them, up to 16 rows, is read and dropped.
        """
        vectors = np.empty((len(rows), self._dimension), dtype=np.float32)
        lengths = np.ones(len(rows), dtype=np.float32)
        order = np.argsort(rows, kind="stable")
        gaps = np.flatnonzero(np.diff(rows[order]) > _LARGEST_GAP_ROWS) + 1
        for places in np.split(order, gaps) if len(rows) else ():
            first, last = int(rows[places[0]]), int(rows[places[-1]])
            inside = rows[places] - first
            vectors[places] = self._block(first, last - first + 1)["vector"][inside]
            if self._lengths >= 0:
                raw = os.pread(self._lengths, (last - first + 1) * 4, first * 4)
                lengths[places] = np.frombuffer(raw, dtype="<f4")[inside]
        if self._lengths >= 0:
            with np.errstate(invalid="ignore", over="ignore"):
                vectors *= lengths[:, np.newaxis]
        return vectors

    def close(self) -> None:
        """Close the files. Idempotent."""
        for number in (self._records, self._lengths):
            if number >= 0:
                os.close(number)
        self._records = self._lengths = -1
