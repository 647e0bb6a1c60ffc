"""Vectors: lengths, zeros, what is not finite, missing or repeated, and the smallest type that would hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from vecferry import batch
from vecferry.model import DType, IdKind, VectorField, VectorKind
from vecferry.survey import Surveyor, VectorSurvey
from vecferry.survey.lengths import UNIT_TOLERANCE


def rows(array: pa.Array, start: int = 0) -> pa.RecordBatch:
    """Records `start`, `start + 1`, ... with this vector column."""
    names = [str(start + number) for number in range(len(array))]
    return batch.make(names, IdKind.UINT64, vectors={"": array})


def surveyed(*arrays: pa.Array) -> VectorSurvey:
    """What is found in vectors that come in these batches."""
    surveyor, start = Surveyor(), 0
    for array in arrays:
        surveyor.observe(rows(array, start))
        start += len(array)
    return surveyor.survey().vectors[""]


def dense(values: Any, dtype: str = "float32", present: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """A dense column."""
    return batch.dense_array(np.array(values, dtype=dtype), present)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.lists(st.floats(width=32, allow_nan=True, allow_infinity=True), min_size=3, max_size=3),
        min_size=1,
        max_size=20,
    ),
    st.integers(0, 20),
)
def test_lengths_and_counts_are_those_of_numpy(values: list[list[float]], cut: int) -> None:
    """However the rows are cut into batches and merged."""
    array = np.array(values, dtype=np.float32)
    left, right = Surveyor(), Surveyor()
    left.observe(rows(batch.dense_array(array[:cut])))
    right.observe(rows(batch.dense_array(array[cut:]), cut))
    left.merge(right)
    found = left.survey().vectors[""]
    finite = np.isfinite(array).all(axis=1)
    lengths = np.linalg.norm(array[finite].astype(np.float64), axis=1)
    assert (found.rows, found.nonfinite, found.zeros) == (len(array), (~finite).sum(), (lengths == 0).sum())
    assert found.unit == (np.abs(lengths - 1) <= UNIT_TOLERANCE).sum()
    assert found.repeats == len(array) - len({row.tobytes() for row in array})
    if len(lengths):
        expected = lengths.min(), lengths.mean(), lengths.max()
        assert (found.norm_min, found.norm_mean, found.norm_max) == pytest.approx(expected, rel=1e-9)
    else:
        assert found.norm_mean is None


def test_faults_are_counted_and_one_record_is_named_for_each() -> None:
    """Missing, not finite, zero, repeated: the first of each, by its id."""
    present = np.array([True, True, False, True])
    found = surveyed(
        dense([[1, 0], [np.nan, 0], [9, 9], [0, np.inf]], present=present), dense([[0, 0], [1, 0], [3, 4], [-0.0, 0]])
    )
    assert (found.present, found.missing, found.rows, found.numbers) == (7, 1, 7, 14)
    assert (found.nonfinite, found.nonfinite_example) == (2, "1")
    assert (found.zeros, found.zero_example) == (2, "4")
    assert (found.repeats, found.repeat_example) == (1, "5")
    assert (found.unit, found.norm_max) == (2, 5.0)


def test_a_square_that_overflows_is_not_taken_for_infinity() -> None:
    """float64 vectors may be longer than the greatest double; they count as that long, and as finite."""
    found = surveyed(dense([[1e300, 1e300], [1e308, 1e308], [np.inf, 1]], "float64"))
    assert (found.nonfinite, found.zeros) == (1, 0)
    assert found.norm_max == found.norm_mean == np.finfo(np.float64).max


@pytest.mark.parametrize(
    ("stored", "values", "smallest"),
    [
        ("float32", [[0, 255]], DType.UINT8),
        ("float32", [[0, 256]], DType.FLOAT16),
        ("float32", [[-128, 127]], DType.INT8),
        ("float32", [[-1, 255]], DType.FLOAT16),
        ("float32", [[-0.0, 1]], DType.FLOAT16),
        ("float32", [[0.5, np.nan]], DType.FLOAT16),
        ("float32", [[0.1, 1]], DType.FLOAT32),
        ("float32", [[70000.5, 1]], DType.FLOAT32),
        ("float64", [[np.float32(0.1), 1]], DType.FLOAT32),
        ("float64", [[0.1, 1]], DType.FLOAT64),
        ("int8", [[1, 2]], DType.UINT8),
    ],
)
def test_the_smallest_type_that_holds_every_number_is_told(stored: str, values: Any, smallest: DType) -> None:
    """Bit for bit: a NaN and a -0.0 included. One row that does not fit, in any batch, is enough."""
    assert surveyed(dense(values, stored)).smallest_dtype is smallest
    if stored == "float32":
        assert surveyed(dense([[1, 2]]), dense([[1, 2]] * 99 + [[0.1, 2]])).smallest_dtype is DType.FLOAT32


def test_sparse_and_multi_vectors_are_counted_by_record() -> None:
    """A sparse vector's length is that of its values together; each row of a multi-vector has its own."""
    indices, numbers = np.array([1, 5, 2], np.uint32), np.array([3, 4, 1], np.float32)
    sparse = batch.sparse_array(batch.Sparse(indices, numbers, np.array([0, 2, 3], np.int32)))
    found = surveyed(sparse)
    assert (found.rows, found.numbers, found.norm_min, found.norm_max, found.unit) == (2, 3, 1.0, 5.0, 1)
    multi = batch.multi_array(
        batch.Multi(np.array([[3, 4], [0, 0], [0, 1]], np.float32), np.array([0, 2, 3], np.int32))
    )
    found = surveyed(multi, multi)
    assert (found.present, found.rows, found.zeros, found.repeats) == (4, 6, 2, 2)
    assert batch.fields_of(rows(multi).schema)[0] == VectorField("", VectorKind.MULTI, DType.FLOAT32, 2)


def test_a_vector_that_no_record_has_has_no_lengths() -> None:
    """Nothing is invented for it."""
    found = surveyed(dense(np.zeros((2, 2)), present=np.array([False, False])))
    assert (found.present, found.missing, found.norm_mean, found.smallest_dtype) == (0, 2, None, None)
