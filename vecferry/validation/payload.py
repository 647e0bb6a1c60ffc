"""V3: the payload and the document of every row, as canonical text, byte for byte."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as columns

__all__ = ["different_documents", "different_payloads"]


def different_payloads(expected: pa.RecordBatch, actual: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """`(n,) bool`: aligned rows whose payload texts differ."""
    return _unequal(expected.column(columns.PAYLOAD), actual.column(columns.PAYLOAD))


def different_documents(expected: pa.RecordBatch, actual: pa.RecordBatch) -> npt.NDArray[np.bool_]:
    """`(n,) bool`: aligned rows whose documents differ; none and empty are two things."""
    return _unequal(columns.documents(expected), columns.documents(actual))


def _unequal(left: pa.Array, right: pa.Array) -> npt.NDArray[np.bool_]:
    """Null equals null alone."""
    absent = pc.and_(left.is_null(), right.is_null())
    same = pc.or_(absent, pc.fill_null(pc.equal(left, right), False))
    unequal: npt.NDArray[np.bool_] = ~same.to_numpy(zero_copy_only=False)
    return unequal
