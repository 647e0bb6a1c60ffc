"""Lengths of vectors: smallest, mean, greatest; zeros, unit vectors, and what is not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry.model import DType, VectorField, VectorKind

__all__ = ["UNIT_TOLERANCE", "UNIT_TOLERANCE_FLOAT16", "Lengths", "id_at"]

UNIT_TOLERANCE = 1e-5
"""How far the length of a unit vector may be from 1: more than float32 rounds, less than anybody would mean."""

UNIT_TOLERANCE_FLOAT16 = 2e-3
"""The same for float16, whose numbers are rounded to 11 bits."""

_LARGEST = float(np.finfo(np.float64).max)
Numbers = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.signedinteger[Any]]
Mask = npt.NDArray[np.bool_]


class Lengths:
    """Counts rows of numbers by their length. Lengths beyond the greatest double count as that."""

    def __init__(self) -> None:
        self.rows = self.nonfinite = self.zeros = self.unit = 0
        self.nonfinite_example = self.zero_example = ""
        self.least: float | None = None
        self.greatest: float | None = None
        self._sum = 0.0

    def observe(self, batch: pa.RecordBatch, field: VectorField, values: Numbers, records: Rows) -> None:
        """Take rows of numbers `(p, dim)` of the records `(p,)`; a sparse vector's numbers come as rows of one."""
        squares, finite = _squares(values, field)
        if field.kind is VectorKind.SPARSE:
            squares, finite, records = _by_record(squares, finite, records)
        lengths = np.minimum(np.sqrt(squares[finite]), _LARGEST)
        self.rows += len(squares)
        self.nonfinite += len(finite) - len(lengths)
        if not (self.nonfinite_example or finite.all()):
            self.nonfinite_example = id_at(batch, int(records[np.argmin(finite)]))
        if len(lengths):
            self._observe_finite(batch, field, lengths, records[finite])

    def _observe_finite(self, batch: pa.RecordBatch, field: VectorField, lengths: Floats, records: Rows) -> None:
        zero = lengths == 0
        self.zeros += int(zero.sum())
        if not self.zero_example and zero.any():
            self.zero_example = id_at(batch, int(records[np.argmax(zero)]))
        tolerance = UNIT_TOLERANCE_FLOAT16 if field.dtype is DType.FLOAT16 else UNIT_TOLERANCE
        self.unit += int((np.abs(lengths - 1) <= tolerance).sum())
        with np.errstate(over="ignore"):
            self._extend(float(lengths.min()), float(lengths.max()), float(lengths.sum()))

    def _extend(self, low: float, high: float, total: float) -> None:
        self.least = low if self.least is None else min(self.least, low)
        self.greatest = high if self.greatest is None else max(self.greatest, high)
        self._sum += total

    def merge(self, other: Lengths) -> None:
        """Take everything that another one saw."""
        self.rows += other.rows
        self.nonfinite += other.nonfinite
        self.zeros += other.zeros
        self.unit += other.unit
        self.nonfinite_example = self.nonfinite_example or other.nonfinite_example
        self.zero_example = self.zero_example or other.zero_example
        if other.least is not None and other.greatest is not None:
            self._extend(other.least, other.greatest, other._sum)

    @property
    def mean(self) -> float | None:
        """The mean length of the finite rows."""
        finite = self.rows - self.nonfinite
        return min(self._sum / finite, _LARGEST) if finite else None


def id_at(batch: pa.RecordBatch, row: int) -> str:
    """The id of one row as people write it."""
    return str(columns.record_ids(batch.slice(row, 1))[0])


def _squares(values: Numbers, field: VectorField) -> tuple[Floats, Mask]:
    """The squared length of each row, and whether all of it is finite."""
    wide = values if field.dtype in (DType.FLOAT32, DType.FLOAT64) else values.astype(np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.einsum("ij,ij->i", wide, wide, dtype=np.float64)
    finite = np.isfinite(squares)
    if not finite.all():
        # A square may overflow where every number is finite.
        suspects = np.flatnonzero(~finite)
        finite[suspects] = np.isfinite(wide[suspects]).all(axis=1)
    return squares, finite


def _by_record(squares: Floats, finite: Mask, records: Rows) -> tuple[Floats, Mask, Rows]:
    """Squares of single numbers, added up for each record (which come in order)."""
    named, starts = np.unique(records, return_index=True)
    return np.add.reduceat(squares, starts), np.logical_and.reduceat(finite, starts), named
