"""Arrays in .npy files and .npz members, read by position: nothing is unpickled, mapped or held whole."""

from __future__ import annotations

import io
import math
import os
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from vecferry.errors import BadOption, BadRecord
from vecferry.model import DType
from vecferry.stores.staging import writing

__all__ = ["Header", "Matrix", "Numbers", "check_size", "header_bytes", "open_matrix", "parse_header"]

Numbers = npt.NDArray[Any]
_HEADER_LIMIT_BYTES = 64 << 10
_DTYPES = {np.dtype(dtype.value): dtype for dtype in DType}


@dataclass(frozen=True, slots=True)
class Header:
    """What a .npy file says of itself; `offset` is where its numbers begin, `stored` their type in the file."""

    stored: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool
    offset: int

    @property
    def dtype(self) -> DType:
        return _DTYPES[self.stored.newbyteorder("=")]

    @property
    def size_bytes(self) -> int:
        """What the whole file should have."""
        return self.offset + math.prod(self.shape) * self.stored.itemsize


def parse_header(start: bytes, place: str) -> Header:
    """The header from the first bytes of a file. Raises BadRecord naming `place` for what is not a plain array."""
    stream = io.BytesIO(start)
    try:
        version = np.lib.format.read_magic(stream)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = read(stream, max_header_size=_HEADER_LIMIT_BYTES)
    except KeyError as error:
        raise BadRecord(f"{place} is of a .npy version that is not known here: {error}") from error
    except (ValueError, struct.error) as error:
        raise BadRecord(f"{place} has no readable .npy header: {error}") from error
    if dtype.hasobject:
        raise BadRecord(f"{place} holds pickled Python objects, which are never loaded", advice="save it as numbers")
    if dtype.newbyteorder("=") not in _DTYPES:
        raise BadRecord(f"{place} holds {dtype}", advice=f"vectors are of {', '.join(DType)}; convert it with astype")
    return Header(dtype, tuple(shape), bool(fortran) and len(shape) > 1, stream.tell())


def check_size(header: Header, found_bytes: int, place: str) -> None:
    """Raise BadRecord when a file is shorter or longer than its header says."""
    if found_bytes < header.size_bytes:
        raise BadRecord(f"{place} is cut: its header says {header.size_bytes} bytes, it has {found_bytes}")
    if found_bytes > header.size_bytes:
        raise BadRecord(f"{place} has {found_bytes} bytes, its header says {header.size_bytes}")


def header_bytes(dtype: DType, shape: tuple[int, ...]) -> bytes:
    """The header of a file in C order."""
    stream = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(np.dtype(dtype.value))
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue()


class Matrix:
    """A 2-D array in a file: `rows` of `dimension` numbers, read by their place, from several threads at once."""

    def __init__(self, stream: BinaryIO, header: Header, base: int, place: str) -> None:
        if len(header.shape) != 2:
            raise BadRecord(
                f"{place} has the shape {header.shape}; one record a row needs two dimensions",
                advice="for a folder with one vector a file give the folder: numpy:///DIR",
            )
        self.rows, self.dimension = header.shape
        self.dtype = header.dtype
        self._stream = stream
        self._header = header
        self._begin = base + header.offset
        self._place = place

    def read(self, start: int, stop: int) -> Numbers:
        """Rows `start` to `stop`, `(n, dim)` in C order and native bytes."""
        if self._header.fortran:
            return self._native(self._columns(start, stop))
        width = self.dimension * self._header.stored.itemsize
        block = self._pread((stop - start) * width, self._begin + start * width)
        return self._native(np.frombuffer(block, self._header.stored).reshape(stop - start, self.dimension))

    def take(self, rows: Sequence[int]) -> Numbers:
        """These rows, `(n, dim)`."""
        return np.concatenate([self.read(row, row + 1) for row in rows])

    def _columns(self, start: int, stop: int) -> Numbers:
        """Fortran order lies column by column: one small read for each."""
        item = self._header.stored.itemsize
        out = np.empty((stop - start, self.dimension), self._header.stored)
        for column in range(self.dimension):
            place = self._begin + (column * self.rows + start) * item
            out[:, column] = np.frombuffer(self._pread((stop - start) * item, place), self._header.stored)
        return out

    def _native(self, values: Numbers) -> Numbers:
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def _pread(self, size: int, place: int) -> bytes:
        parts, left = [], size
        while left:
            part = os.pread(self._stream.fileno(), left, place + size - left)
            if not part:
                raise BadRecord(f"{self._place} was cut while it was read")
            parts.append(part)
            left -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def close(self) -> None:
        self._stream.close()


def open_matrix(path: Path, array: str | None = None) -> Matrix:
    """Open a 2-D .npy file, or an array of a .npz file.

    Raises BadRecord for a damaged file, BadOption where `array` is needed and not given, or names nothing.
    """
    if path.suffix == ".npz":
        return _open_member(path, array)
    stream = path.open("rb")
    return _checked(stream, 0, path.stat().st_size, str(path))


def _checked(stream: BinaryIO, base: int, size_bytes: int, place: str) -> Matrix:
    header = parse_header(os.pread(stream.fileno(), min(size_bytes, _HEADER_LIMIT_BYTES), base), place)
    check_size(header, size_bytes, place)
    return Matrix(stream, header, base, place)


def _open_member(path: Path, array: str | None) -> Matrix:
    try:
        with zipfile.ZipFile(path) as archive:
            member = _member(archive, path, array)
            place = f"{path} ({member.filename})"
            if member.compress_type == zipfile.ZIP_STORED:
                stream = path.open("rb")
                return _checked(stream, _data_offset(stream, member), member.file_size, place)
            return _checked(_spill(archive, member, place), 0, member.file_size, place)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
        raise BadRecord(f"{path} is not a readable .npz file: {error}") from error


def _member(archive: zipfile.ZipFile, path: Path, array: str | None) -> zipfile.ZipInfo:
    members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
    if array is None and len(members) == 1:
        return next(iter(members.values()))
    if array not in members:
        asked = f"{path} has no array {array!r}" if array else f"{path} holds several arrays"
        raise BadOption(asked, advice=f"choose one with ?array=NAME; it has {', '.join(sorted(members))}")
    return members[array]


def _data_offset(stream: BinaryIO, member: zipfile.ZipInfo) -> int:
    """Where a stored member's bytes begin: after its local header, whose two last fields give its length."""
    local = os.pread(stream.fileno(), 30, member.header_offset)
    name_bytes, extra_bytes = struct.unpack("<HH", local[26:30])
    return int(member.header_offset + 30 + name_bytes + extra_bytes)


def _spill(archive: zipfile.ZipFile, member: zipfile.ZipInfo, place: str) -> BinaryIO:
    """A compressed member unpacked into a nameless temporary file: rows can be read by place only there."""
    aside = tempfile.TemporaryFile(prefix="vecferry-")  # noqa: SIM115  # the matrix closes it
    with writing(f"the unpacked {place}"), archive.open(member) as packed:
        shutil.copyfileobj(packed, aside, 1 << 20)
        aside.flush()
    return aside
