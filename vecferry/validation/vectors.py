"""V4: every vector of every row, bit for bit or within the tolerance of the declared mapping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry.mapping import Tolerance
from vecferry.model import VectorField, VectorKind

__all__ = ["VectorDifferences", "compare_vectors", "direction", "explain"]

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class VectorDifferences:
    """Per row, `(n,) bool`: differs beyond tolerance; and within tolerance without being bit-equal."""

    different: Mask
    near: Mask


@dataclass(frozen=True, slots=True)
class _Entries:
    """A vector column: row i holds the next `lengths[i]` rows of `values` `(total, width)`, none where absent.

    A dense vector is one entry, a multi-vector several; a sparse one has an entry of width 1 for each of its `indices`.
    """

    present: Mask
    lengths: npt.NDArray[np.int64]
    values: Numbers
    indices: npt.NDArray[np.uint32] | None = None

    def only(self, rows: Mask) -> _Entries:
        """The rows where the mask is true; the others become absent."""
        if rows.all():
            return self
        kept = np.repeat(rows, self.lengths)
        indices = None if self.indices is None else self.indices[kept]
        return _Entries(self.present & rows, self.lengths * rows, self.values[kept], indices)


def compare_vectors(
    expected: pa.RecordBatch, actual: pa.RecordBatch, field: VectorField, tolerance: Tolerance
) -> VectorDifferences:
    """Compare one vector of aligned rows. A column that is not there, or of another type, differs in every row."""
    if _type(expected, field.name) != _type(actual, field.name):
        different = _is_present(expected, field.name) | _is_present(actual, field.name)
        return VectorDifferences(different, np.zeros(len(different), dtype=bool))
    wanted, got = _entries(expected, field), _entries(actual, field)
    different = (wanted.present != got.present) | (wanted.lengths != got.lengths)
    wanted, got = wanted.only(~different), got.only(~different)
    unequal = _unequal_bits(wanted.values, got.values)
    beyond = unequal.copy()
    beyond[unequal] = ~_near(wanted.values[unequal], got.values[unequal], tolerance)
    if wanted.indices is not None and got.indices is not None:
        beyond |= wanted.indices != got.indices
    near = np.zeros(len(different), dtype=bool)
    if unequal.any() or beyond.any():
        rows = np.repeat(np.arange(len(different)), wanted.lengths)
        different[rows[beyond]] = True
        near[rows[unequal]] = True
    return VectorDifferences(different, near & ~different)


def _type(batch: pa.RecordBatch, name: str) -> VectorField | None:
    """Kind, dtype and dimension of a vector's column, or None where it is not there."""
    return next((found for found in columns.fields_of(batch.schema) if found.name == name), None)


def _is_present(batch: pa.RecordBatch, name: str) -> Mask:
    column = columns.column_name(name)
    if column not in batch.schema.names:
        return np.zeros(batch.num_rows, dtype=bool)
    present: Mask = batch.column(column).is_valid().to_numpy(zero_copy_only=False)
    return present


def _entries(batch: pa.RecordBatch, field: VectorField) -> _Entries:
    present = _is_present(batch, field.name)
    if field.kind is VectorKind.DENSE:
        return _Entries(present, present.astype(np.int64), columns.dense_column(batch, field.name).values)
    if field.kind is VectorKind.MULTI:
        multi = columns.multi_column(batch, field.name)
        return _Entries(present, np.diff(multi.offsets).astype(np.int64), multi.values)
    sparse = columns.sparse_column(batch, field.name)
    return _Entries(present, np.diff(sparse.offsets).astype(np.int64), sparse.values.reshape(-1, 1), sparse.indices)


def _unequal_bits(left: Numbers, right: Numbers) -> Mask:
    """Rows that are not equal bit for bit: -0.0 is not 0.0, a NaN equals only the same NaN."""
    unequal: Mask = (_bits(left) != _bits(right)).any(axis=1)
    return unequal


def _bits(values: Numbers) -> npt.NDArray[np.unsignedinteger]:
    """Rows of numbers as rows of the widest integers that their bytes divide into."""
    values = np.ascontiguousarray(values)
    row_bytes = values.shape[1] * values.dtype.itemsize
    width = next(width for width in (8, 4, 2, 1) if row_bytes % width == 0)
    return values.view(f"u{width}")


def _near(wanted: Numbers, got: Numbers, tolerance: Tolerance) -> Mask:
    if tolerance.relative == 0.0 and tolerance.absolute == 0.0:
        return np.zeros(len(wanted), dtype=bool)
    exact, found = _exact(wanted, tolerance), got.astype(np.float64)
    with np.errstate(invalid="ignore"):
        distance = np.abs(exact - found)
        allowed = np.maximum(np.abs(exact) * tolerance.relative, tolerance.absolute)
        # An infinity allows an infinite distance: it is near to itself alone.
        close: Mask = (((distance <= allowed) & np.isfinite(distance)) | (exact == found)).all(axis=1)
    return close


def _exact(wanted: Numbers, tolerance: Tolerance) -> npt.NDArray[np.float64]:
    return direction(wanted) if tolerance.direction else wanted.astype(np.float64)


def direction(vectors: Numbers) -> npt.NDArray[np.float64]:
    """`(n, dim)` unit vectors in float64; zero vectors stay zero."""
    wide = vectors.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    np.divide(wide, norms, out=wide, where=norms > 0)
    return wide


def explain(expected: pa.RecordBatch, actual: pa.RecordBatch, field: VectorField, tolerance: Tolerance) -> str:
    """How the vector of one row, a batch each, differs: in words, for people."""
    if _type(expected, field.name) != _type(actual, field.name):
        return f"expected {_in_words(_type(expected, field.name))}, found {_in_words(_type(actual, field.name))}"
    wanted, got = _entries(expected, field), _entries(actual, field)
    if not (wanted.present.all() and got.present.all()):
        return "expected nothing, found a vector" if got.present.all() else "expected a vector, found nothing"
    if len(wanted.values) != len(got.values):
        return f"expected {len(wanted.values)} entries, found {len(got.values)}"
    if wanted.indices is not None and got.indices is not None and not np.array_equal(wanted.indices, got.indices):
        at = int(np.argmax(wanted.indices != got.indices))
        return f"entry {at}: expected index {wanted.indices[at]}, found {got.indices[at]}"
    return _worst_number(wanted.values, got.values, tolerance)


def _in_words(found: VectorField | None) -> str:
    if found is None:
        return "nothing"
    return " ".join(str(word) for word in (found.kind, found.dimension, found.dtype) if word is not None)


def _worst_number(wanted: Numbers, got: Numbers, tolerance: Tolerance) -> str:
    """The number that is farthest off; among NaN the first whose bits differ."""
    exact = _exact(wanted, tolerance).reshape(-1)
    kind = f"u{wanted.dtype.itemsize}"
    ours, theirs = wanted.reshape(-1), got.reshape(-1)
    differs = ours.view(kind) != theirs.view(kind)
    with np.errstate(invalid="ignore"):
        distance = np.abs(exact - theirs.astype(np.float64))
    at = int(np.argmax(np.where(differs, np.nan_to_num(distance, nan=np.inf), -1.0)))
    say = f"number {at} of {len(ours)}"
    if tolerance.direction:
        return f"{say}: the unit vector has {exact[at]!s}, found {theirs[at]!s}"
    expected, found = str(ours[at]), str(theirs[at])
    if expected == found:
        expected, found = (f"{float(side[at]):g} (bits {side.view(kind)[at]:x})" for side in (ours, theirs))
    return f"{say}: expected {expected}, found {found}"
