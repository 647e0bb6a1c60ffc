"""Vectors of batches: how long they are, which stand twice, and the smallest type that would hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as columns
from vecferry import sealing
from vecferry.model import DType, Part, VectorField, VectorKind
from vecferry.survey.distinct import Repeats
from vecferry.survey.findings import VectorSurvey
from vecferry.survey.lengths import Lengths, id_at

__all__ = ["VectorColumn"]

_BY_SIZE = (DType.UINT8, DType.INT8, DType.FLOAT16, DType.FLOAT32, DType.FLOAT64)
_FIRST_ROWS = 64
Numbers = npt.NDArray[Any]
Rows = npt.NDArray[np.signedinteger[Any]]
Mask = npt.NDArray[np.bool_]


class VectorColumn:
    """Observes one vector of a collection. Memory: 16 bytes a record, up to `distinct.REPEAT_HASHES`."""

    def __init__(self) -> None:
        self._present = self._missing = self._count = 0
        self._lengths = Lengths()
        self._repeats = Repeats()
        self._repeat_example = ""
        # All types that could still hold every number, the smallest first.
        self._fitting = list(_BY_SIZE)

    def observe(self, batch: pa.RecordBatch, field: VectorField) -> None:
        """Take the vector `field` of one batch."""
        values, records, present = _numbers(batch, field)
        found = int(np.count_nonzero(present))
        self._present += found
        self._missing += len(present) - found
        self._count += values.size
        if values.size:
            self._fitting = [dtype for dtype in self._fitting if _fits(values, dtype)]
            self._lengths.observe(batch, field, values, records)
        self._observe_repeats(batch, field, present)

    def _observe_repeats(self, batch: pa.RecordBatch, field: VectorField, present: Mask) -> None:
        alone = batch.select([columns.ID, columns.ID_KIND, columns.column_name(field.name)])
        hashes = sealing.hash_part(alone, Part.VECTORS)
        repeated = self._repeats.add(hashes if present.all() else hashes[present])
        if not self._repeat_example and repeated.any():
            self._repeat_example = id_at(batch, int(np.flatnonzero(present)[np.argmax(repeated)]))

    def merge(self, other: VectorColumn) -> None:
        """Take everything that another one saw; it must not be used afterwards."""
        self._present += other._present
        self._missing += other._missing
        self._count += other._count
        self._lengths.merge(other._lengths)
        self._repeats.merge(other._repeats)
        self._repeat_example = self._repeat_example or other._repeat_example
        self._fitting = [dtype for dtype in self._fitting if dtype in other._fitting]

    def survey(self) -> VectorSurvey:
        """What is known, frozen."""
        lengths = self._lengths
        return VectorSurvey(
            present=self._present,
            missing=self._missing,
            rows=lengths.rows,
            numbers=self._count,
            nonfinite=lengths.nonfinite,
            nonfinite_example=lengths.nonfinite_example,
            zeros=lengths.zeros,
            zero_example=lengths.zero_example,
            unit=lengths.unit,
            norm_min=lengths.least,
            norm_mean=lengths.mean,
            norm_max=lengths.greatest,
            repeats=self._repeats.count,
            repeats_exact=self._repeats.exact,
            repeat_example=self._repeat_example,
            smallest_dtype=self._fitting[0] if self._count else None,
        )


def _numbers(batch: pa.RecordBatch, field: VectorField) -> tuple[Numbers, Rows, Mask]:
    """Rows of numbers `(p, dim)`, the record of each `(p,)`, and which records have the vector `(n,)`.

    A sparse vector's numbers come as rows of one.
    """
    if field.kind is VectorKind.DENSE:
        dense = columns.dense_column(batch, field.name)
        present = _mask(dense.present, batch.num_rows)
        return dense.values, np.flatnonzero(present), present
    sparse = field.kind is VectorKind.SPARSE
    column: columns.Sparse | columns.Multi
    column = columns.sparse_column(batch, field.name) if sparse else columns.multi_column(batch, field.name)
    records = np.repeat(np.arange(batch.num_rows), np.diff(column.offsets))
    return column.values.reshape(-1, 1) if sparse else column.values, records, _mask(column.present, batch.num_rows)


def _mask(present: Mask | None, rows: int) -> Mask:
    return np.ones(rows, dtype=np.bool_) if present is None else present


def _fits(values: Numbers, dtype: DType) -> bool:
    """Whether a type holds all numbers exactly; a few rows are tried first."""
    narrow = np.dtype(dtype)
    return values.dtype == narrow or (_holds(values[:_FIRST_ROWS], narrow) and _holds(values[_FIRST_ROWS:], narrow))


def _holds(values: Numbers, dtype: np.dtype[Any]) -> bool:
    with np.errstate(over="ignore", invalid="ignore"):
        same = values.astype(dtype) == values
    if dtype.kind == "f":
        return bool((same | np.isnan(values)).all())
    # An integer has no -0.0.
    return bool(same.all()) and not bool((np.signbit(values) & (values == 0)).any())
