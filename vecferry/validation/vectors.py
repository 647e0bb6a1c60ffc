"""V4: every vector of every row, bit for bit or within the tolerance of the declared mapping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry.mapping import Tolerance
from vecferry.model import VectorField, VectorKind

__all__ = ["VectorDifferences", "compare_vectors", "direction"]

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class VectorDifferences:
    """Per row, `(n,) bool`: differs beyond tolerance; and within tolerance without being bit-equal."""

    different: Mask
    near: Mask


def compare_vectors(
    expected: pa.RecordBatch, actual: pa.RecordBatch, field: VectorField, tolerance: Tolerance
) -> VectorDifferences:
    """Compare one vector of aligned rows."""
    if field.kind is VectorKind.DENSE:
        return _compare_dense(expected, actual, field.name, tolerance)
    rows = range(expected.num_rows)
    if field.kind is VectorKind.SPARSE:
        pair = columns.sparse_column(expected, field.name), columns.sparse_column(actual, field.name)
        found = [_compare_ragged_row(*pair, row, tolerance) for row in rows]
    else:
        multi = columns.multi_column(expected, field.name), columns.multi_column(actual, field.name)
        found = [_compare_ragged_row(*multi, row, tolerance) for row in rows]
    table = np.array(found, dtype=bool).reshape(-1, 2)
    return VectorDifferences(table[:, 0], table[:, 1])


def _compare_dense(
    expected: pa.RecordBatch, actual: pa.RecordBatch, name: str, tolerance: Tolerance
) -> VectorDifferences:
    left, right = columns.dense_column(expected, name), columns.dense_column(actual, name)
    rows = expected.num_rows
    absent = _absent(left.present, rows), _absent(right.present, rows)
    different = absent[0] != absent[1]
    if left.values.shape[1:] != right.values.shape[1:]:
        return VectorDifferences(~(absent[0] & absent[1]), np.zeros(rows, dtype=bool))
    both = ~(absent[0] | absent[1])
    wanted, got = left.full()[both], right.full()[both]
    unequal = _unequal_bits(wanted, got)
    beyond = np.zeros(len(wanted), dtype=bool)
    beyond[unequal] = ~_near(wanted[unequal], got[unequal], tolerance)
    different[both] = beyond
    near = np.zeros(rows, dtype=bool)
    near[both] = unequal & ~beyond
    return VectorDifferences(different, near)


def _absent(present: Mask | None, rows: int) -> Mask:
    return np.zeros(rows, dtype=bool) if present is None else ~present


def _unequal_bits(left: Numbers, right: Numbers) -> Mask:
    """Rows that are not equal bit for bit: -0.0 is not 0.0, a NaN equals only the same NaN."""
    if left.dtype != right.dtype:
        return np.ones(len(left), dtype=bool)
    kind = np.dtype(f"u{left.dtype.itemsize}")
    unequal: Mask = (np.ascontiguousarray(left).view(kind) != np.ascontiguousarray(right).view(kind)).any(axis=1)
    return unequal


def _near(wanted: Numbers, got: Numbers, tolerance: Tolerance) -> Mask:
    if tolerance.relative == 0.0 and tolerance.absolute == 0.0:
        return np.zeros(len(wanted), dtype=bool)
    exact = direction(wanted) if tolerance.direction else wanted.astype(np.float64)
    with np.errstate(invalid="ignore"):
        distance = np.abs(exact - got.astype(np.float64))
        allowed = np.maximum(np.abs(exact) * tolerance.relative, tolerance.absolute)
        close: Mask = np.all(distance <= allowed, axis=1)
    return close


def direction(vectors: Numbers) -> npt.NDArray[np.float64]:
    """`(n, dim)` unit vectors in float64; zero vectors stay zero."""
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    np.divide(wide, norms, out=wide, where=norms > 0)
    return wide


def _compare_ragged_row(
    left: columns.Sparse | columns.Multi, right: columns.Sparse | columns.Multi, row: int, tolerance: Tolerance
) -> tuple[bool, bool]:
    """(differs, near) of one sparse or multi vector."""
    here, there = _is_present(left.present, row), _is_present(right.present, row)
    if not (here and there):
        return here != there, False
    if not np.array_equal(_indices(left, row), _indices(right, row)):
        return True, False
    wanted, got = _row_values(left, row), _row_values(right, row)
    if wanted.shape != got.shape:
        return True, False
    unequal = _unequal_bits(wanted, got)
    if not unequal.any():
        return False, False
    near = bool(_near(wanted[unequal], got[unequal], tolerance).all())
    return not near, near


def _is_present(present: Mask | None, row: int) -> bool:
    return present is None or bool(present[row])


def _indices(column: columns.Sparse | columns.Multi, row: int) -> Numbers:
    if isinstance(column, columns.Multi):
        return np.zeros(0, dtype=np.uint32)
    return column.indices[column.offsets[row] : column.offsets[row + 1]]


def _row_values(column: columns.Sparse | columns.Multi, row: int) -> Numbers:
    values = column.values[column.offsets[row] : column.offsets[row + 1]]
    return values if values.ndim == 2 else values.reshape(-1, 1)
