"""Record batches: the columns, their types, and the way of numbers in and out without a copy."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from vecferry import batch as batches
from vecferry.batch import Multi, Sparse
from vecferry.errors import BadRecord
from vecferry.model import ALL_PARTS, IDS_ONLY, DType, IdKind, Part, RecordId, VectorField, VectorKind

FIELDS = (
    VectorField("", VectorKind.DENSE, DType.FLOAT32, 3),
    VectorField("half", VectorKind.DENSE, DType.FLOAT16, 2),
    VectorField("s.with.dots", VectorKind.SPARSE, DType.FLOAT32),
    VectorField("m", VectorKind.MULTI, DType.UINT8, 4),
)
MASKS = st.lists(st.booleans(), max_size=8).map(lambda flags: np.array(flags, dtype=np.bool_))


def numbers(count: int, dimension: int, dtype: DType = DType.FLOAT32) -> Any:
    return np.arange(count * dimension).reshape(count, dimension).astype(dtype.value)


def offsets_of(lengths: list[int]) -> Any:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


# Schemas


def test_the_schema_names_every_column() -> None:
    """Column names and types are fixed; vectors may be null, ids and payloads may not."""
    schema = batches.arrow_schema(FIELDS, ALL_PARTS, sealed=True)
    assert schema.names == [
        "id",
        "id_kind",
        "vector",
        "vector.half",
        "vector.s.with.dots",
        "vector.m",
        "document",
        "payload",
        "source_hash",
    ]
    assert [field.name for field in schema if not field.nullable] == ["id", "id_kind", "payload", "source_hash"]
    assert schema.field("vector.m").type == pa.list_(pa.list_(pa.uint8(), 4))
    assert batches.vector_names(schema) == ["", "half", "s.with.dots", "m"]


def test_fields_are_read_back_from_a_schema() -> None:
    """An Arrow schema shows the vectors that it was made from (it has no place for a metric)."""
    assert tuple(batches.fields_of(batches.arrow_schema(FIELDS))) == FIELDS


@pytest.mark.parametrize("part", Part)
def test_a_part_that_is_not_wanted_has_no_column(part: Part) -> None:
    """Each part adds its own columns and no other."""
    assert batches.parts_of(batches.empty(FIELDS, frozenset({part}))) == {part}
    assert batches.parts_of(batches.empty(FIELDS, ALL_PARTS - {part})) == ALL_PARTS - {part}
    assert batches.empty(FIELDS, IDS_ONLY).schema.names == ["id", "id_kind"]


def test_an_unknown_dimension_has_no_type() -> None:
    """A dense vector whose dimension nobody knows cannot have a column."""
    with pytest.raises(ValueError, match="dimension of vector 'x' is not known"):
        batches.arrow_schema((VectorField("x"),))


def test_made_batches_have_the_schema_of_the_contract() -> None:
    """What `make` gives equals `arrow_schema` to the last flag."""
    made = batches.make(
        ["1"],
        IdKind.UINT64,
        vectors={"": batches.dense_array(numbers(1, 3))},
        documents=[None],
        payloads=[b"{}"],
    )
    assert made.schema.equals(batches.arrow_schema(FIELDS[:1]))


# Ids


def test_ids_keep_kind_and_text() -> None:
    """Kinds are a dictionary column that may differ from row to row."""
    ids = [RecordId(IdKind.UINT64, "12"), RecordId(IdKind.STRING, "12"), RecordId(IdKind.STRING, "")]
    batch = batches.ids_batch(ids)
    assert batches.record_ids(batch) == ids
    assert batches.single_kind(batch) is None
    assert batches.single_kind(batch.slice(1)) is IdKind.STRING
    assert batches.single_kind(batch.slice(3)) is None
    assert batches.ids_of(batches.make(["a"], IdKind.STRING, payloads=[b"{}"])).schema.equals(batch.schema)


# Dense vectors


@pytest.mark.parametrize("dtype", DType)
def test_dense_numbers_go_in_and_out_without_a_copy(dtype: DType) -> None:
    """The buffer of the array is the buffer of the column, both ways, for every dtype."""
    values = numbers(5, 3, dtype)
    batch = batches.make(["a"] * 5, IdKind.STRING, vectors={"": batches.dense_array(values)})
    back = batches.dense_column(batch)
    assert back.present is None
    assert np.shares_memory(back.values, values)
    assert back.values.dtype == values.dtype


def test_a_slice_of_a_batch_shows_its_own_rows() -> None:
    """Offsets are respected: a window of two rows gives these two rows, still without a copy."""
    values = numbers(9, 3)
    batch = batches.make(["a"] * 9, IdKind.STRING, vectors={"": batches.dense_array(values)}).slice(4, 2)
    assert batches.dense_column(batch).values.tolist() == values[4:6].tolist()
    assert np.shares_memory(batches.dense_column(batch).values, values)


@settings(max_examples=examples(60), deadline=None)
@given(MASKS, st.integers(0, 8), st.integers(0, 8))
def test_absent_dense_vectors_stay_absent(present: Any, start: int, length: int) -> None:
    """The rows that are present come back in order, in any window; the others are no rows of zeros."""
    values = numbers(len(present), 2)
    array = batches.dense_array(values, present)
    window = batches.make(["a"] * len(present), IdKind.STRING, vectors={"": array}).slice(start, length)
    expected = present[start : start + length]
    found = batches.dense_column(window)
    assert (np.ones(len(expected), bool) if found.present is None else found.present).tolist() == expected.tolist()
    assert found.values.tolist() == values[start : start + length][expected].tolist()
    full = found.full(fill=-1)
    assert full[expected].tolist() == found.values.tolist()
    assert (full[~expected] == -1).all()


def test_a_null_inside_a_vector_is_a_bad_record() -> None:
    """A missing number is another fault than a missing vector."""
    array = pa.array([[1.0, None], [1.0, 2.0]], pa.list_(pa.float32(), 2))
    with pytest.raises(BadRecord, match="null among its numbers"):
        batches.dense_column(batches.make(["a", "b"], IdKind.STRING, vectors={"": array}))


def test_column_order_is_made_row_order() -> None:
    """An array in Fortran order gives the same records."""
    values = numbers(4, 3)
    assert batches.dense_array(np.asfortranarray(values)).equals(batches.dense_array(values))


# Sparse and multi vectors


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.integers(0, 3), max_size=8), st.data(), st.integers(0, 8), st.integers(0, 8))
def test_sparse_vectors_go_in_and_out(lengths: list[int], data: st.DataObject, start: int, length: int) -> None:
    """Indices, values, empty rows and absent rows come back, in any window."""
    present = np.array([data.draw(st.booleans()) for _ in lengths], dtype=np.bool_)
    offsets = offsets_of([size if here else 0 for size, here in zip(lengths, present, strict=True)])
    indices = np.arange(offsets[-1], dtype=np.uint32) + 2**31
    values = np.arange(offsets[-1], dtype=np.float32)
    array = batches.sparse_array(Sparse(indices, values, offsets, present))
    window = batches.make(["a"] * len(lengths), IdKind.STRING, vectors={"": array}).slice(start, length)
    found = batches.sparse_column(window)
    rows = range(len(lengths))[start : start + length]
    assert window.num_rows == len(rows)
    for at, row in enumerate(rows):
        here = found.present is None or bool(found.present[at])
        assert here == bool(present[row])
        entries = slice(found.offsets[at], found.offsets[at + 1])
        original = slice(offsets[row], offsets[row + 1])
        assert found.indices[entries].tolist() == indices[original].tolist()
        assert found.values[entries].tolist() == values[original].tolist()


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.integers(0, 3), max_size=8), st.data(), st.integers(0, 8), st.integers(0, 8))
def test_multi_vectors_go_in_and_out(lengths: list[int], data: st.DataObject, start: int, length: int) -> None:
    """Rows of rows come back, empty and absent ones apart, in any window."""
    present = np.array([data.draw(st.booleans()) for _ in lengths], dtype=np.bool_)
    offsets = offsets_of([size if here else 0 for size, here in zip(lengths, present, strict=True)])
    values = numbers(int(offsets[-1]), 2)
    array = batches.multi_array(Multi(values, offsets, present))
    window = batches.make(["a"] * len(lengths), IdKind.STRING, vectors={"": array}).slice(start, length)
    found = batches.multi_column(window)
    for at, row in enumerate(range(len(lengths))[start : start + length]):
        assert (found.present is None or bool(found.present[at])) == bool(present[row])
        inner = found.values[found.offsets[at] : found.offsets[at + 1]]
        assert inner.tolist() == values[offsets[row] : offsets[row + 1]].tolist()


# Non-finite numbers


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("kind", VectorKind)
def test_the_row_of_a_nonfinite_number_is_found(kind: VectorKind, number: float) -> None:
    """The first row with NaN or infinity is named, counted through rows that lack the vector."""
    present, offsets = np.array([True, False, True, True]), np.array([0, 1, 1, 2, 3], np.int32)
    values = np.array([[1.0], [number], [1.0]], dtype=np.float32)
    if kind is VectorKind.DENSE:
        array = batches.dense_array(np.array([[1.0], [0.0], [number], [1.0]], dtype=np.float32), present)
    elif kind is VectorKind.SPARSE:
        array = batches.sparse_array(Sparse(np.zeros(3, np.uint32), values[:, 0], offsets, present))
    else:
        array = batches.multi_array(Multi(values, offsets, present))
    batch = batches.make(["a"] * 4, IdKind.STRING, vectors={"v": array})
    assert batches.nonfinite_row(batch) == ("v", 2)
    assert batches.nonfinite_row(batch.slice(1, 2)) == ("v", 1)
    assert batches.nonfinite_row(batch.slice(3)) is None


def test_whole_numbers_are_always_finite() -> None:
    """Vectors of integers are not looked at."""
    array = batches.dense_array(numbers(2, 3, DType.INT8))
    assert batches.nonfinite_row(batches.make(["a", "b"], IdKind.STRING, vectors={"": array})) is None


# Text and hashes


def test_text_buffers_respect_a_slice() -> None:
    """Bytes and borders of a window are those of its own texts."""
    data, offsets = batches.text_buffers(pa.array(["a", "", "üü", None, "end"]).slice(1, 3))
    assert [bytes(data[start:end]) for start, end in pairwise(offsets)] == [
        b"",
        "üü".encode(),
        b"",
    ]


def test_text_buffers_of_nothing_are_empty() -> None:
    """A column without rows has one border."""
    data, offsets = batches.text_buffers(pa.array([], pa.string()))
    assert bytes(data) == b""
    assert offsets.tolist() == [0]


def test_hashes_are_a_column_of_fixed_bytes() -> None:
    """`(n, 48)` bytes go in and out, in any window, and can be dropped."""
    values = np.arange(4 * 48, dtype=np.uint8).reshape(4, 48)
    plain = batches.make(["a"] * 4, IdKind.STRING, payloads=[b"{}"] * 4)
    sealed = batches.with_hashes(plain, values)
    assert np.array_equal(batches.stored_hashes(sealed), values)
    assert np.array_equal(batches.stored_hashes(sealed.slice(1, 2)), values[1:3])
    assert batches.drop_hashes(sealed).equals(plain)
    assert batches.drop_hashes(plain).equals(plain)


def test_payloads_may_be_given_as_bytes_or_text() -> None:
    """Both give the same column; reading gives bytes."""
    texts = ['{"ü":1}', "{}"]
    made = [
        batches.make(["a", "b"], IdKind.STRING, payloads=given) for given in (texts, [text.encode() for text in texts])
    ]
    assert made[0].equals(made[1])
    assert batches.payloads(made[0]) == [text.encode() for text in texts]


def test_sparse_indices_are_put_in_ascending_order_within_each_row() -> None:
    """The order of a sparse vector's entries means nothing, so equal vectors have equal columns and hashes."""
    indices, values = np.array([7, 2, 5, 1], np.uint32), np.array([0.7, 0.2, 0.5, 0.1], np.float32)
    column = batches.sparse_array(Sparse(indices, values, np.array([0, 2, 2, 4], np.int32)))
    found = column.to_pylist()
    assert [row["indices"] for row in found] == [[2, 7], [], [1, 5]]
    assert [row["values"] for row in found] == [pytest.approx([0.2, 0.7]), [], pytest.approx([0.1, 0.5])]
