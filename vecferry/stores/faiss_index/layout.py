"""Where the vectors and ids lie in an index file whose vectors are stored as they are.

Flat and HNSWFlat indexes, IVFFlat ones (their lists in the file, or in a data file beside it), and IDMap or IDMap2 over
any of these. A file begins with four letters that name its class; the class's fields follow without gaps, in little
endian, a C++ vector as its length and its items. Every length is held against the size of the file before it is used.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FLAT_CLASSES", "HEADER_BYTES", "Layout", "Malformed", "header", "read_layout"]

FLAT_CLASSES = {0: b"IxFI", 1: b"IxF2"}
"""The letters of a flat index by its metric; any other metric is `IxFl`."""

HEADER_BYTES = 37
"""Length of the letters and fields that every class begins with, for the metrics 0 and 1."""

_FLAT = {b"IxFI": 0, b"IxF2": 1, b"IxFl": None}
_MAPS = {b"IxMp": "IDMap", b"IxM2": "IDMap2"}
_MAX_DIMENSION = 1 << 20
_HASHTABLE = 2
_DUMMY = 1 << 20

Places = npt.NDArray[np.int64]


class Malformed(ValueError):
    """The file is not what its first letters say."""


class _OtherClass(Exception):
    """A class whose fields are not known here."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Runs of float32 vectors: `sizes` rows each, at `vectors_at`, all `(k,) int64`, places in bytes.

    `ids_at`: where the int64 ids of each run are; None: ids are row numbers. `map_at`: where the int64 ids are that
    stand for those, one a row. `claimed`: how many rows the index counts. `data_file`: the file that holds the runs,
    `""` for the index file itself.
    """

    words: str
    dimension: int
    metric: int
    claimed: int
    sizes: Places
    vectors_at: Places
    ids_at: Places | None = None
    map_at: int | None = None
    data_file: str = ""

    @property
    def rows(self) -> int:
        """How many vectors there are."""
        return int(self.sizes.sum())


@dataclass(frozen=True, slots=True)
class _Header:
    dimension: int
    rows: int
    metric: int


def header(letters: bytes, dimension: int, rows: int, metric: int) -> bytes:
    """The letters and fields that a class begins with; `metric` as FAISS numbers it."""
    fields = struct.pack("<iqqq?i", dimension, rows, _DUMMY, _DUMMY, True, metric)
    return letters + fields + (struct.pack("<f", 0.0) if metric > 1 else b"")


def read_layout(path: Path) -> Layout | None:
    """The layout of an index file, or None for a class that is not known here. Raises Malformed."""
    with path.open("rb") as stream:
        scan = _Scan(stream.fileno())
        try:
            found = _index(scan)
        except _OtherClass:
            return None
    if scan.at != scan.size_bytes:
        raise Malformed(f"the index ends at byte {scan.at}, the file has {scan.size_bytes}")
    return found


class _Scan:
    """A place in a file that only moves forward."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.size_bytes = os.fstat(handle).st_size
        self.at = 0

    def skip(self, size_bytes: int) -> int:
        """Pass over bytes; where they began."""
        start = self.at
        if size_bytes < 0 or size_bytes > self.size_bytes - start:
            raise Malformed(f"it is cut: {size_bytes} bytes belong at byte {start}, the file has {self.size_bytes}")
        self.at += size_bytes
        return start

    def take(self, size_bytes: int) -> bytes:
        """These many bytes."""
        start = self.skip(size_bytes)
        return os.pread(self._handle, size_bytes, start)

    def letters(self) -> bytes:
        """What names a class or a form."""
        return self.take(4)

    def fields(self, form: str) -> tuple[Any, ...]:
        """Numbers without gaps between them, of the types that `struct` names so."""
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def vector(self, item_bytes: int) -> tuple[int, int]:
        """Pass over a C++ vector: where its items are, and how many."""
        (count,) = self.fields("Q")
        return self.skip(count * item_bytes), count

    def sizes(self, columns: int) -> Places:
        """A C++ vector of rows of 64-bit sizes: `(n, columns) int64`."""
        (count,) = self.fields("Q")
        found = np.frombuffer(self.take(count * 8 * columns), dtype="<i8").astype(np.int64)
        if len(found) and found.min() < 0:
            raise Malformed(f"a size of {found.min()} stands before byte {self.at}")
        return found.reshape(-1, columns)


def _index(scan: _Scan) -> Layout:
    letters = scan.letters()
    if letters in _FLAT:
        return _flat(scan, letters)
    if letters == b"IHNf":
        return _hnsw(scan)
    if letters == b"IwFl":
        return _inverted(scan)
    if letters in _MAPS:
        return _mapped(scan, _MAPS[letters])
    raise _OtherClass


def _header(scan: _Scan) -> _Header:
    dimension, rows, _, _, _, metric = scan.fields("iqqq?i")
    if metric > 1:
        scan.fields("f")
    if not 0 <= dimension <= _MAX_DIMENSION or rows < 0:
        raise Malformed(f"it claims {rows} vectors of {dimension} dimensions")
    return _Header(dimension, rows, metric)


def _flat(scan: _Scan, letters: bytes) -> Layout:
    head = _header(scan)
    if _FLAT[letters] not in (None, head.metric):
        raise Malformed(f"its class {letters.decode()} and its metric {head.metric} contradict each other")
    place, count = scan.vector(4)
    if count != head.rows * head.dimension:
        raise Malformed(f"{head.rows} vectors of {head.dimension} dimensions are not {count} numbers")
    return Layout("Flat", head.dimension, head.metric, head.rows, _one(head.rows), _one(place))


def _hnsw(scan: _Scan) -> Layout:
    head = _header(scan)
    for item_bytes in (8, 4, 4, 8, 4):
        scan.vector(item_bytes)
    _, _, ef_construct, ef_search, _ = scan.fields("iiiii")
    storage = _inner(scan)
    if (storage.dimension, storage.claimed) != (head.dimension, head.rows):
        raise Malformed(f"its graph has {head.rows} rows, its storage {storage.claimed}")
    words = f"HNSW, ef_construct {ef_construct}, ef_search {ef_search}, over {storage.words}"
    return replace(storage, words=words, metric=head.metric)


def _inner(scan: _Scan) -> Layout:
    letters = scan.letters()
    if letters == b"null":
        raise Malformed("it holds a graph without its vectors (it was written with IO_FLAG_SKIP_STORAGE)")
    if letters not in _FLAT:
        raise _OtherClass
    return _flat(scan, letters)


def _mapped(scan: _Scan, name: str) -> Layout:
    head = _header(scan)
    inner = _index(scan)
    place, count = scan.vector(8)
    if inner.map_at is not None:
        raise _OtherClass
    if count != inner.rows or inner.dimension != head.dimension:
        raise Malformed(f"its {name} has {count} ids for {inner.rows} vectors")
    return replace(inner, words=f"{name} over {inner.words}", map_at=place)


def _inverted(scan: _Scan) -> Layout:
    head = _header(scan)
    nlist, nprobe = scan.fields("QQ")
    _index(scan)
    _skip_direct_map(scan)
    words = f"IVFFlat, nlist {nlist}, nprobe {nprobe}"
    nothing = np.zeros(0, dtype=np.int64)
    empty = Layout(words, head.dimension, head.metric, head.rows, nothing, nothing, nothing)
    letters = scan.letters()
    if letters == b"il00":
        raise Malformed("its inverted lists, which hold the vectors, are not in the file")
    if letters == b"ilar":
        return _lists_within(scan, empty, nlist)
    if letters == b"ilod":
        return _lists_beside(scan, empty, nlist)
    raise _OtherClass


def _skip_direct_map(scan: _Scan) -> None:
    (kind,) = scan.fields("b")
    scan.vector(8)
    if kind == _HASHTABLE:
        scan.vector(16)


def _check_lists(scan: _Scan, layout: Layout, nlist: int) -> None:
    found, code_bytes = scan.fields("QQ")
    if found != nlist or code_bytes != layout.dimension * 4:
        raise Malformed(f"it has {found} lists of {code_bytes} bytes a vector, its header says {nlist}")


def _lists_within(scan: _Scan, layout: Layout, nlist: int) -> Layout:
    _check_lists(scan, layout, nlist)
    sizes = _list_sizes(scan, nlist)
    row_bytes = layout.dimension * 4 + 8
    left = scan.size_bytes - scan.at
    if len(sizes) and (sizes.max() > left // row_bytes or sum(sizes.tolist()) > left // row_bytes):
        raise Malformed(f"it is cut: its lists need more than the {left} bytes that follow byte {scan.at}")
    ends = scan.at + np.cumsum(sizes * row_bytes)
    scan.skip(int(sizes.sum()) * row_bytes)
    starts = ends - sizes * row_bytes
    return replace(layout, sizes=sizes, vectors_at=starts, ids_at=starts + sizes * layout.dimension * 4)


def _list_sizes(scan: _Scan, nlist: int) -> Places:
    """The sizes of the lists in their order; empty ones may be left out."""
    form = scan.letters()
    sizes = scan.sizes(1).reshape(-1)
    if form == b"full" and len(sizes) == nlist:
        return sizes
    if form != b"sprs" or len(sizes) % 2:
        raise Malformed(f"the sizes of its lists are of the unknown form {form!r}")
    pairs = sizes.reshape(-1, 2)
    if len(pairs) and (pairs[:, 0].max() >= nlist or (np.diff(pairs[:, 0]) <= 0).any()):
        raise Malformed("the numbers of its lists are not in order")
    return pairs[:, 1].copy()


def _lists_beside(scan: _Scan, layout: Layout, nlist: int) -> Layout:
    """Lists of an OnDiskInvertedLists: size, capacity and place of each, in a file that is named here."""
    _check_lists(scan, layout, nlist)
    table = scan.sizes(3)
    scan.vector(16)
    (length,) = scan.fields("Q")
    name = scan.take(length).decode("utf-8", "surrogateescape")
    (size_bytes,) = scan.fields("Q")
    row_bytes = layout.dimension * 4 + 8
    if len(table) != nlist or (table[:, 0] > table[:, 1]).any() or not name:
        raise Malformed("the table of its lists contradicts itself")
    table = table[table[:, 0] > 0]
    if len(table) and (table[:, 1].max() > size_bytes // row_bytes or table[:, 2].max() > size_bytes):
        raise Malformed(f"its lists lie outside of the {size_bytes} bytes of its data file")
    ids_at = table[:, 2] + table[:, 1] * layout.dimension * 4
    return replace(layout, sizes=table[:, 0], vectors_at=table[:, 2], ids_at=ids_at, data_file=name)


def _one(number: int) -> Places:
    return np.array([number], dtype=np.int64)
