"""Vectors as JSON has them: their shapes, and columns of numbers made from many of them.

JSON numbers are decimal text. Each becomes the nearest double, then the nearest number of the column's type.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as batches
from vecferry.model import DType, VectorField, VectorKind

__all__ = ["BadRow", "Shapes", "column", "named"]

Numbers = npt.NDArray[Any]
_SPARSE = {"indices", "values"}


class BadRow(ValueError):
    """The vector in row `row` of those given cannot be read."""

    def __init__(self, message: str, row: int) -> None:
        super().__init__(message)
        self.row = row


def named(vector: Any, known: frozenset[str] = frozenset()) -> Mapping[str, Any]:
    """A record's vectors by name, absent ones left out; `known` are the names that the collection is known to have."""
    if vector is None:
        return {}
    if isinstance(vector, list):
        return {"": vector}
    if not isinstance(vector, dict):
        raise ValueError(f"its vector is {type(vector).__name__}, neither a list nor an object")
    if set(vector) == _SPARSE and not known & _SPARSE and all(isinstance(item, list) for item in vector.values()):
        return {"": vector}
    return {name: item for name, item in vector.items() if item is not None}


class Shapes:
    """What the vectors seen so far look like; the first of a name decides, later ones must agree (ValueError)."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[VectorKind, int | None]] = {}
        self._empty: set[str] = set()
        self.rows = 0
        self.present: dict[str, int] = {}

    def see(self, vector: Any) -> None:
        """Look at one record's vectors."""
        self.rows += 1
        for name, item in named(vector).items():
            self.present[name] = self.present.get(name, 0) + 1
            shape = _shape(name, item)
            if shape is None:
                self._empty.add(name)
            elif self._found.setdefault(name, shape) != shape:
                raise ValueError(f"{_called(name)} is {_words(shape)}, those before are {_words(self._found[name])}")

    def fields(self, dtype: DType) -> tuple[VectorField, ...]:
        """The vectors of the collection. Raises ValueError for one of which only empty ones were seen."""
        unknown = self._empty - set(self._found)
        if unknown:
            raise ValueError(f"{_called(sorted(unknown)[0])} has no number in any record")
        return tuple(VectorField(name, kind, dtype, size) for name, (kind, size) in sorted(self._found.items()))


def _called(name: str) -> str:
    return f"the vector {name!r}" if name else "the vector"


def _words(shape: tuple[VectorKind, int | None]) -> str:
    return shape[0].value if shape[1] is None else f"{shape[0].value} of {shape[1]} numbers"


def _shape(name: str, item: Any) -> tuple[VectorKind, int | None] | None:
    """Kind and dimension; None for an empty list, which may be of any kind."""
    if isinstance(item, dict):
        return VectorKind.SPARSE, None
    if not isinstance(item, list):
        raise ValueError(f"{_called(name)} is {type(item).__name__}, not a list of numbers")
    if not item:
        return None
    return (VectorKind.MULTI, len(item[0])) if isinstance(item[0], list) else (VectorKind.DENSE, len(item))


def column(field: VectorField, rows: Sequence[Any]) -> pa.Array:
    """The Arrow column of one vector, from what each row has for it (None: absent). Raises BadRow."""
    present = np.fromiter((row is not None for row in rows), dtype=np.bool_, count=len(rows))
    if field.kind is VectorKind.DENSE:
        return _dense(field, rows, present)
    if field.kind is VectorKind.SPARSE:
        return _sparse(field, rows, present)
    return _multi(field, rows, present)


def _dense(field: VectorField, rows: Sequence[Any], present: npt.NDArray[np.bool_]) -> pa.Array:
    dimension = field.dimension or 0
    for at, row in enumerate(rows):
        if row is not None:
            _check(field, row, dimension, at)
    found = rows if present.all() else [row for row in rows if row is not None]
    values = _numbers(field, found, np.flatnonzero(present)).reshape(len(found), dimension)
    if len(found) < len(rows):
        spread = np.zeros((len(rows), dimension), dtype=values.dtype)
        spread[present] = values
        values = spread
    return batches.dense_array(values, present)


def _check(field: VectorField, row: Any, length: int | None, at: int) -> None:
    """Raise BadRow unless `row` is a list of that many numbers. Adding them up is the quickest look at every type."""
    if not isinstance(row, list):
        raise BadRow(f"{_called(field.name)} is {type(row).__name__}, not a list of numbers", at)
    if length is not None and len(row) != length:
        raise BadRow(f"{_called(field.name)} has {len(row)} numbers, the collection has {length}", at)
    try:
        sum(row)
    except (TypeError, OverflowError):
        raise BadRow(f"{_called(field.name)} holds something that is not a number", at) from None


def _numbers(field: VectorField, rows: Any, places: Numbers) -> Numbers:
    """Lists of numbers as an array of the field's type; `places[i]` is the row that list i came from."""
    dtype = np.dtype(field.dtype.value)
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = np.array(rows, dtype=dtype if dtype.kind == "f" else np.float64)
    if dtype.kind == "f":
        wrong = ~np.isfinite(narrow)
        if wrong.any():
            wrong &= np.isfinite(np.array(rows, dtype=np.float64))
    else:
        wide, narrow = narrow, _whole(narrow, dtype)
        wrong = narrow != wide
    if wrong.any():
        at = np.flatnonzero(wrong.reshape(len(wrong), -1).any(axis=1))[0]
        raise BadRow(f"{_called(field.name)} has a number that does not fit {field.dtype}", int(places[at]))
    return narrow


def _whole(wide: Numbers, dtype: np.dtype[Any]) -> Numbers:
    """Doubles as integers of a small type; those outside its range become its borders."""
    limits = np.iinfo(dtype)
    whole: Numbers = np.clip(np.nan_to_num(wide), limits.min, limits.max).astype(dtype)
    return whole


def _offsets(lengths: Sequence[int]) -> npt.NDArray[np.int32]:
    offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _sparse(field: VectorField, rows: Sequence[Any], present: npt.NDArray[np.bool_]) -> pa.Array:
    for at, row in enumerate(rows):
        if row is not None:
            _check_sparse(field, row, at)
    found = [row for row in rows if row is not None]
    offsets = _offsets([0 if row is None else len(row["indices"]) for row in rows])
    places = np.repeat(np.arange(len(rows)), np.diff(offsets))
    indices = np.array(list(chain.from_iterable(row["indices"] for row in found)), dtype=np.float64)
    odd = (indices < 0) | (indices >= 2**32) | (indices != np.floor(indices))
    if odd.any():
        raise BadRow(f"{_called(field.name)} has an index that is not a uint32", int(places[np.argmax(odd)]))
    values = _numbers(field, list(chain.from_iterable(row["values"] for row in found)), places)
    return batches.sparse_array(batches.Sparse(indices.astype(np.uint32), values, offsets, present))


def _check_sparse(field: VectorField, row: Any, at: int) -> None:
    if not isinstance(row, dict) or set(row) != _SPARSE:
        raise BadRow(f"{_called(field.name)} is sparse and needs exactly indices and values", at)
    _check(field, row["indices"], None, at)
    _check(field, row["values"], len(row["indices"]), at)


def _multi(field: VectorField, rows: Sequence[Any], present: npt.NDArray[np.bool_]) -> pa.Array:
    dimension = field.dimension or 0
    for at, row in enumerate(rows):
        if row is None:
            continue
        if not isinstance(row, list):
            raise BadRow(f"{_called(field.name)} is {type(row).__name__}, not a list of lists", at)
        for inner in row:
            _check(field, inner, dimension, at)
    offsets = _offsets([0 if row is None else len(row) for row in rows])
    places = np.repeat(np.arange(len(rows)), np.diff(offsets))
    found = list(chain.from_iterable(row for row in rows if row is not None))
    values = _numbers(field, found, places).reshape(len(found), dimension)
    return batches.multi_array(batches.Multi(values, offsets, present))
