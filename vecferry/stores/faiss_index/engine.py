"""FAISS itself as the reader: of index classes that keep codes instead of vectors, and as the slow public path.

Only classes that are known to give vectors back are asked: some end the process instead of answering.
"""

from __future__ import annotations

import re
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from vecferry.errors import BadRecord, StoreRefused
from vecferry.stores.faiss_index.layout import Layout, Malformed
from vecferry.stores.faiss_index.vectors import Ids, Numbers, Vectors, mapped_ids

__all__ = ["VectorsByEngine"]

_EXACT_CODES = ("IndexFlat", "IndexFlatL2", "IndexFlatIP", "IndexFlatL2Panorama", "IndexFlatIPPanorama")
_LOSSY_CODES = (
    "IndexScalarQuantizer",
    "IndexPQ",
    "IndexLSH",
    "IndexResidualQuantizer",
    "IndexLocalSearchQuantizer",
    "IndexProductResidualQuantizer",
    "IndexProductLocalSearchQuantizer",
    "IndexRaBitQ",
)
_GRAPHS = (
    "IndexHNSWFlat",
    "IndexHNSWFlatPanorama",
    "IndexHNSWSQ",
    "IndexHNSWPQ",
    "IndexNSGFlat",
    "IndexNSGSQ",
    "IndexNSGPQ",
)
_EXACT_LISTS = ("IndexIVFFlat", "IndexIVFFlatPanorama")
_LOSSY_LISTS = (
    "IndexIVFScalarQuantizer",
    "IndexIVFPQ",
    "IndexIVFPQR",
    "IndexIVFResidualQuantizer",
    "IndexIVFLocalSearchQuantizer",
    "IndexIVFProductResidualQuantizer",
    "IndexIVFProductLocalSearchQuantizer",
    "IndexIVFRaBitQ",
)
_REFINED = ("IndexRefine", "IndexRefineFlat", "IndexRefinePanorama")
_MAPS = ("IndexIDMap", "IndexIDMap2")
_KNOWN = frozenset(
    (*_EXACT_CODES, *_LOSSY_CODES, *_GRAPHS, *_EXACT_LISTS, *_LOSSY_LISTS, *_REFINED, *_MAPS, "IndexPreTransform")
)
_QUANTIZERS = ("pq", "sq", "rq", "lsq", "prq", "plsq", "rabitq")
_SIGNATURE = re.compile(r"^Error in .* at \S+:\d+: (?:Error: )?", re.DOTALL)
_BINARY = b"IB"
_LEAST_LIMIT_BYTES = 64 << 20
_reading = threading.Lock()


class _Node(ABC):
    """An index within an index file: its rows, their ids (None: row numbers), and what it is."""

    rows: int
    claimed: int
    words: str
    lossy: str = ""
    ids: Ids | None = None
    ordered: bool = True

    @abstractmethod
    def read(self, start: int, stop: int) -> Numbers:
        """Rows `start` to `stop`, `(n, dim) float32`."""


class _Codes(_Node):
    """Rows one after the other."""

    def __init__(self, index: Any, name: str) -> None:
        self._index = index
        self.rows = self.claimed = int(index.ntotal)
        self.words = name.removeprefix("Index").removesuffix("L2").removesuffix("IP")
        self.lossy = "" if name in _EXACT_CODES else _words_of_loss(name)

    def read(self, start: int, stop: int) -> Numbers:
        found: Numbers = self._index.reconstruct_n(start, stop - start)
        return found


class _Lists(_Node):
    """Rows in inverted lists; ids stand beside them."""

    ordered = False

    def __init__(self, index: Any, name: str) -> None:
        if index.invlists is None:
            raise Malformed("its inverted lists, which hold the vectors, are not in the file")
        self._index, self._dimension = index, int(index.d)
        lists = index.invlists
        sizes = np.array([lists.list_size(number) for number in range(index.nlist)], dtype=np.int64)
        self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
        self.rows, self.claimed = int(sizes.sum()), int(index.ntotal)
        self.words = f"{name.removeprefix('Index')}, nlist {index.nlist}, nprobe {index.nprobe}"
        self.lossy = "" if name in _EXACT_LISTS else _words_of_loss(name)
        self.ids = np.zeros(self.rows, dtype=np.int64)
        for number in np.flatnonzero(sizes).tolist():
            held = faiss.rev_swig_ptr(lists.get_ids(number), int(sizes[number]))
            self.ids[self._starts[number] : self._starts[number + 1]] = held

    def read(self, start: int, stop: int) -> Numbers:
        out: Numbers = np.empty((stop - start, self._dimension), dtype=np.float32)
        rows = np.arange(start, stop)
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        offsets = (rows - self._starts[numbers]).tolist()
        for row, number, offset in zip(out, numbers.tolist(), offsets, strict=True):
            self._index.reconstruct_from_offset(number, offset, faiss.swig_ptr(row))
        return out


class _Mapped(_Node):
    """Rows whose ids an IDMap replaces."""

    def __init__(self, index: Any, name: str, inner: _Node) -> None:
        map_ = faiss.vector_to_array(index.id_map).astype(np.int64)
        if len(map_) != inner.rows:
            raise Malformed(f"its {name.removeprefix('Index')} has {len(map_)} ids for {inner.rows} vectors")
        self._inner = inner
        self.rows, self.claimed, self.lossy = inner.rows, inner.claimed, inner.lossy
        self.ordered = inner.ordered
        self.words = f"{name.removeprefix('Index')} over {inner.words}"
        self.ids = mapped_ids(map_, inner.ids)

    def read(self, start: int, stop: int) -> Numbers:
        return self._inner.read(start, stop)


class _Transformed(_Node):
    """Rows that were rotated, cut or scaled before they were stored; what comes out was transformed back."""

    def __init__(self, index: Any, inner: _Node) -> None:
        self._index, self._inner = index, inner
        self.rows, self.claimed, self.ids = inner.rows, inner.claimed, inner.ids
        self.ordered = inner.ordered
        self.words = f"PreTransform over {inner.words}"
        self.lossy = "it transforms vectors before it stores them, and what comes out was transformed back"

    def read(self, start: int, stop: int) -> Numbers:
        stored = np.ascontiguousarray(self._inner.read(start, stop))
        out: Numbers = np.empty((stop - start, int(self._index.d)), dtype=np.float32)
        self._index.reverse_chain(stop - start, faiss.swig_ptr(stored), faiss.swig_ptr(out))
        return out


def _words_of_loss(name: str) -> str:
    return f"{name} keeps codes, not vectors: what comes out is what FAISS reconstructs from them"


def _node(index: Any, dimension: int) -> _Node:
    index = faiss.downcast_index(index)
    name = type(index).__name__
    if name not in _KNOWN:
        raise StoreRefused(f"{name} cannot be read", advice="FAISS gives no vectors back from it, or not safely")
    _check_sizes(index, name, dimension)
    if name in _EXACT_CODES or name in _LOSSY_CODES:
        return _Codes(index, name)
    if name in _EXACT_LISTS or name in _LOSSY_LISTS:
        return _Lists(index, name)
    if name in _MAPS:
        return _Mapped(index, name, _node(index.index, dimension))
    if name in _GRAPHS:
        return _storage(index, name, dimension)
    if name in _REFINED:
        return _described(_node(index.refine_index, dimension), "Refine")
    return _Transformed(index, _node(index.index, int(index.index.d)))


def _check_sizes(index: Any, name: str, dimension: int) -> None:
    """Raise Malformed where parts of a damaged index contradict each other: FAISS would write beyond its buffers."""
    quantizers = [getattr(index, part) for part in _QUANTIZERS if hasattr(index, part)]
    dimensions = {dimension, int(index.d)} | {int(part.d) for part in quantizers}
    codes = {int(part.code_size) for part in quantizers}
    if quantizers:
        codes.add(int(index.code_size))
    if getattr(index, "invlists", None) is not None:
        dimensions.add(int(index.quantizer.d))
        codes |= {int(index.code_size), int(index.invlists.code_size)}
    if name in _LOSSY_CODES and index.codes.size() != index.ntotal * index.code_size:
        raise Malformed(f"{index.ntotal} codes of {index.code_size} bytes are not {index.codes.size()} bytes")
    if len(dimensions) > 1 or len(codes) > 1 or dimension < 1:
        sizes = f"dimensions {sorted(dimensions)}, bytes of a code {sorted(codes)}"
        raise Malformed(f"the parts of its {name.removeprefix('Index')} do not fit each other: {sizes}")


def _storage(index: Any, name: str, dimension: int) -> _Node:
    """The vectors below a graph."""
    if index.storage is None:
        raise Malformed("it holds a graph without its vectors (it was written with IO_FLAG_SKIP_STORAGE)")
    words = name.removeprefix("Index").removesuffix("Flat")
    if "HNSW" in name:
        words += f", ef_construct {index.hnsw.efConstruction}, ef_search {index.hnsw.efSearch}"
    return _described(_node(index.storage, dimension), f"{words},")


def _described(node: _Node, words: str) -> _Node:
    node.words = f"{words} over {node.words}"
    return node


class VectorsByEngine(Vectors):
    """An index that FAISS has opened.

    `layout` is given where every length in the file was held against its size: only such a file is mapped instead of
    held in memory, because FAISS reads beyond the end of one that was cut, which ends the process.
    """

    def __init__(self, path: Path, layout: Layout | None = None) -> None:
        self._path = path
        self._index = _opened(path, layout)
        self._node = _node(self._index, int(self._index.d))
        self.rows, self.claimed, self.ids = self._node.rows, self._node.claimed, self._node.ids
        self.dimension, self.metric = int(self._index.d), int(self._index.metric_type)
        self.words, self.lossy, self.ordered = self._node.words, self._node.lossy, self._node.ordered
        if self.rows:
            self.read(0, 1)

    def read(self, start: int, stop: int) -> Numbers:
        try:
            return self._node.read(start, stop)
        except RuntimeError as error:
            raise StoreRefused(
                f"FAISS gives no vectors back from {self._path}: {_reason(error)}",
                advice="migrate from the vectors that the index was built from",
            ) from error


def _opened(path: Path, layout: Layout | None) -> Any:
    """The index as FAISS reads it. Raises BadRecord."""
    size_bytes = path.stat().st_size
    with path.open("rb") as stream:
        if stream.read(4)[:2] == _BINARY:
            raise StoreRefused(f"{path} holds binary vectors, which no other store takes")
    with _reading:
        _limit(size_bytes)
        try:
            index = faiss.read_index(str(path), _flags(layout))
        except (RuntimeError, MemoryError) as error:
            raise BadRecord(f"{path} is not an index that FAISS can read: {_reason(error)}") from error
    if _in_data_file(index):
        raise StoreRefused(f"{path} keeps codes in a data file", advice="read it and write it whole with FAISS first")
    return index


def _in_data_file(index: Any) -> bool:
    """Whether the inverted lists somewhere within an index lie in a file of their own."""
    found = faiss.try_extract_index_ivf(index)
    lists = None if found is None else found.invlists
    return lists is not None and isinstance(faiss.downcast_InvertedLists(lists), faiss.OnDiskInvertedLists)


def _flags(layout: Layout | None) -> int:
    """How FAISS opens a file; nothing is written.

    Without the precomputed tables of a product quantizer a search would be slow; here nobody searches.
    """
    found: int = faiss.IO_FLAG_READ_ONLY | getattr(faiss, "IO_FLAG_SKIP_PRECOMPUTE_TABLE", 0)
    return found | (0 if layout is None else getattr(faiss, "IO_FLAG_MMAP_IFC", 0))


def _limit(size_bytes: int) -> None:
    """No part of an index is larger than its file: a damaged length must not take the machine's memory."""
    limit = max(size_bytes * 4, _LEAST_LIMIT_BYTES)
    if hasattr(faiss, "set_deserialization_vector_byte_limit"):
        faiss.set_deserialization_vector_byte_limit(limit)
        faiss.set_deserialization_loop_limit(limit)


def _reason(error: Exception) -> str:
    """What FAISS says, without its C++ signatures."""
    return _SIGNATURE.sub("", str(error)) or type(error).__name__
