"""Vectors of a batch as counts: missing, not finite, zero, their norms, and what float32 cannot hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry.mapping.profile import VectorProfile
from vecferry.model import DType, VectorField, VectorKind

__all__ = ["merge_vectors", "observe_vectors"]

Numbers = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def observe_vectors(batch: pa.RecordBatch) -> dict[str, VectorProfile]:
    """One profile per vector that was read."""
    return {field.name: _observe(batch, field) for field in columns.fields_of(batch.schema)}


def _observe(batch: pa.RecordBatch, field: VectorField) -> VectorProfile:
    values, rows, missing = _numbers(batch, field)
    if not values.size:
        return VectorProfile(batch.num_rows, missing)
    wide = values if values.dtype == np.float64 else values.astype(np.float32, copy=False)
    finite = np.isfinite(wide).all(axis=1)
    norms = _norms(wide[finite] if not finite.all() else wide)
    example = ""
    if not finite.all():
        row = int(rows[np.argmin(finite)])
        example = str(columns.record_ids(batch.slice(row, 1))[0])
    return VectorProfile(
        batch.num_rows,
        missing,
        int((~finite).sum()),
        example,
        int((norms == 0).sum()),
        float(norms.min()) if len(norms) else None,
        float(norms.max()) if len(norms) else None,
        _not_float32(values) if field.dtype is DType.FLOAT64 else 0,
    )


def _norms(values: Numbers) -> npt.NDArray[np.float64]:
    """Lengths of the rows as float64, which float32 vectors cannot overflow (float64 ones are capped)."""
    with np.errstate(over="ignore"):
        lengths = np.sqrt(np.einsum("ij,ij->i", values, values, dtype=np.float64))
    capped: npt.NDArray[np.float64] = np.minimum(lengths, np.finfo(np.float64).max)
    return capped


def _not_float32(values: Numbers) -> int:
    with np.errstate(over="ignore", invalid="ignore"):
        back = values.astype(np.float32).astype(np.float64)
    return int(((back != values) & ~np.isnan(values.astype(np.float64))).any(axis=1).sum())


def _numbers(batch: pa.RecordBatch, field: VectorField) -> tuple[Numbers, npt.NDArray[np.signedinteger[Any]], int]:
    """Rows of numbers `(p, dim)`, the record of each, and how many records lack the vector.

    A sparse vector's values count one by one, a multi-vector's rows too.
    """
    if field.kind is VectorKind.DENSE:
        dense = columns.dense_column(batch, field.name)
        if dense.present is None:
            return dense.values, np.arange(batch.num_rows), 0
        return dense.values, np.flatnonzero(dense.present), int((~dense.present).sum())
    sparse = field.kind is VectorKind.SPARSE
    column: columns.Sparse | columns.Multi
    column = columns.sparse_column(batch, field.name) if sparse else columns.multi_column(batch, field.name)
    values = column.values.reshape(-1, 1) if sparse else column.values
    missing = 0 if column.present is None else int((~column.present).sum())
    return values, np.repeat(np.arange(batch.num_rows), np.diff(column.offsets)), missing


def merge_vectors(left: Mapping[str, VectorProfile], right: Mapping[str, VectorProfile]) -> dict[str, VectorProfile]:
    """Both together, by name."""
    merged = dict(left)
    for name, found in right.items():
        merged[name] = _merge(merged[name], found) if name in merged else found
    return merged


def _merge(left: VectorProfile, right: VectorProfile) -> VectorProfile:
    minima = [norm for norm in (left.norm_min, right.norm_min) if norm is not None]
    maxima = [norm for norm in (left.norm_max, right.norm_max) if norm is not None]
    return VectorProfile(
        left.rows + right.rows,
        left.missing + right.missing,
        left.nonfinite + right.nonfinite,
        left.nonfinite_example or right.nonfinite_example,
        left.zeros + right.zeros,
        min(minima, default=None),
        max(maxima, default=None),
        left.not_float32 + right.not_float32,
    )
