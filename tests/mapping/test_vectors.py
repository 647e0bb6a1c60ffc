"""Vectors in targets that hold fewer kinds, other number types, or unit vectors alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.mapping.cases import CHROMA, FILES, QDRANT, decisions, make_batch, make_schema, mapping_for
from tests.support.examples import examples
from vecferry import batch as columns
from vecferry.capabilities import VectorSupport
from vecferry.errors import BadRecord
from vecferry.mapping.casts import NotHeld, cast, nearest_dtype, widens
from vecferry.mapping.vectors import EXACT, NEAR, NEAR_FLOAT16
from vecferry.model import CollectionSchema, DType, IdKind, Metric, VectorField, VectorKind

UINT64 = IdKind.UINT64


def one_vector(values, dtype=DType.FLOAT32, target=CHROMA, metric=Metric.DOT, **rules):
    """A batch of these rows, its schema's mapping, and the batch."""
    matrix = np.asarray(values, dtype=np.dtype(dtype))
    batch = make_batch([(UINT64, str(row)) for row in range(len(matrix))], vectors=matrix)
    schema = make_schema(UINT64, dtype=dtype, dimension=matrix.shape[1], metric=metric)
    return mapping_for(schema, batch, target, **rules), batch


def two_vectors():
    """Records with two dense vectors, a sparse and a multi-vector, some absent, and their schema."""
    present = np.array([True, False, True])
    dense = np.arange(6, dtype=np.float32).reshape(3, 2)
    sparse = columns.Sparse(
        np.array([3, 1, 7], np.uint32), np.array([1, 2, 3], np.float32), np.array([0, 2, 2, 3], np.int32), present
    )
    multi = columns.Multi(np.ones((3, 2), np.float32), np.array([0, 1, 1, 3], np.int32), present)
    batch = columns.make(
        ["0", "1", "2"],
        UINT64,
        vectors={
            "a": columns.dense_array(dense, present),
            "b": columns.dense_array(dense * 2),
            "m": columns.multi_array(multi),
            "s": columns.sparse_array(sparse),
        },
        documents=[None] * 3,
        payloads=[b"{}"] * 3,
    )
    fields = (
        VectorField("a", dimension=2, metric=Metric.DOT),
        VectorField("b", dimension=2, metric=Metric.DOT),
        VectorField("m", VectorKind.MULTI, dimension=2, metric=Metric.DOT),
        VectorField("s", VectorKind.SPARSE),
    )
    return batch, CollectionSchema("docs", fields, frozenset({UINT64}))


def test_vectors_that_fit_are_not_copied():
    """The very same buffer is written."""
    mapping, batch = one_vector(np.ones((4, 3)))
    assert mapping.tolerances == {"": EXACT}
    assert (
        columns.dense_column(mapping.forward(batch)).values.ctypes.data
        == columns.dense_column(batch).values.ctypes.data
    )


@settings(max_examples=examples(60), deadline=None)
@given(
    data=st.data(),
    pair=st.sampled_from([(old, new) for old in DType for new in DType if widens(old, new) and old is not new]),
)
def test_a_wider_number_type_is_undone_bit_for_bit(data, pair):
    """Every number of the old type comes back from the new one, -0.0 and the smallest included."""
    old, new = pair
    numbers = hnp.from_dtype(np.dtype(old), allow_nan=False)
    values = data.draw(hnp.arrays(np.dtype(old), (2, 2), elements=numbers))
    there = cast(values, new, rounds=False)
    assert there.dtype == np.dtype(new)
    assert cast(there, old, rounds=old not in (DType.UINT8, DType.INT8)).tobytes() == values.tobytes()


@pytest.mark.parametrize("dtype", [DType.UINT8, DType.INT8, DType.FLOAT16])
def test_small_number_types_are_widened_for_a_target_of_float32(dtype):
    """The decision says so, and the way back gives the small type again."""
    mapping, batch = one_vector([[0, 1], [100, 127]], dtype)
    there = mapping.forward(batch)
    assert columns.dense_column(there).values.dtype == np.float32
    assert decisions(mapping)["vector numbers"] == "encoded"
    assert mapping.backward(there).equals(batch)


def test_float64_that_fits_float32_needs_no_consent():
    """Every number was looked at, so nothing is lost."""
    mapping, batch = one_vector([[0.5, 0.25]], DType.FLOAT64)
    assert mapping.refusals() == ()
    assert mapping.backward(mapping.forward(batch)).equals(batch)


def test_float64_that_would_be_rounded_needs_consent():
    """The count of records and the exact word to agree with are given."""
    mapping, batch = one_vector([[0.1, 0.5], [0.5, 0.5]], DType.FLOAT64)
    (refusal,) = mapping.refusals()
    assert (refusal.rows, refusal.consent) == (1, "vector_dtype")
    with pytest.raises(BadRecord, match="record '0'"):
        mapping.forward(batch)
    agreed, batch = one_vector([[0.1, 0.5]], DType.FLOAT64, consent=frozenset({"vector_dtype"}))
    assert agreed.refusals() == ()
    assert columns.dense_column(agreed.forward(batch)).values.tolist() == [[np.float32(0.1), 0.5]]


def test_float64_that_nobody_looked_at_needs_consent():
    """Not checked is never ok."""
    schema = make_schema(UINT64, dtype=DType.FLOAT64)
    assert mapping_for(schema, make_batch([]), CHROMA).refusals()[0].consent == "vector_dtype"


def test_agreed_rounding_does_not_turn_numbers_into_infinity():
    """A double beyond float32 is an error that names the record."""
    mapping, _ = one_vector([[0.1, 0.5]], DType.FLOAT64, consent=frozenset({"vector_dtype"}))
    late = make_batch([(UINT64, "7"), (UINT64, "8")], vectors=np.array([[1.0, 2.0], [3.0, 1e300]]))
    with pytest.raises(BadRecord, match="record '8': 1e\\+300"):
        mapping.forward(late)


def test_numbers_that_are_no_integers_do_not_come_back_as_integers():
    """An application's fractions are not cut to bytes on the way back."""
    mapping, batch = one_vector([[1, 2]], DType.UINT8)
    there = mapping.forward(batch)
    column = columns.dense_array(np.array([[1.5, 2.0]], np.float32))
    changed = there.set_column(there.schema.get_field_index("vector"), "vector", column)
    with pytest.raises(BadRecord, match=r"1\.5"):
        mapping.backward(changed)


def test_a_cast_names_the_first_number_that_changes():
    """Counted through the whole array, row by row."""
    with pytest.raises(NotHeld) as error:
        cast(np.array([[0.5, 0.5], [0.5, 0.1]]), DType.FLOAT32, rounds=False)
    assert (error.value.position, error.value.number) == (3, 0.1)


def test_nan_is_no_change():
    """Where NaN is held it survives a cast, in both directions."""
    values = np.array([[np.nan, np.inf, -np.inf]], np.float32)
    assert np.array_equal(cast(values, DType.FLOAT16, rounds=False), values.astype(np.float16), equal_nan=True)


def test_a_target_of_unsuitable_number_types_refuses():
    """Floats do not go into bytes."""
    bytes_only = VectorSupport(dtypes=frozenset({DType.UINT8}))
    assert nearest_dtype(DType.FLOAT32, bytes_only) is None
    target = replace(CHROMA, vectors=replace(CHROMA.vectors, dtypes=frozenset({DType.UINT8})))
    assert one_vector([[0.5]], target=target)[0].refusals()[0].feature == "vector numbers"


def test_named_vectors_of_every_kind_reach_a_target_that_has_them():
    """Absent vectors stay absent, empty ones empty, and everything comes back."""
    batch, schema = two_vectors()
    mapping = mapping_for(schema, batch, QDRANT)
    assert mapping.refusals() == ()
    assert decisions(mapping)["missing vectors"] == "exact"
    assert mapping.forward(batch).equals(batch)
    assert mapping.backward(mapping.forward(batch)).equals(batch)


def test_sparse_and_multi_vectors_change_their_number_type_too():
    """Widening keeps indices, borders and absences."""
    batch, schema = two_vectors()
    wide = replace(FILES, vectors=replace(FILES.vectors, dtypes=frozenset({DType.FLOAT64})))
    mapping = mapping_for(schema, batch, wide)
    there = mapping.forward(batch)
    assert [field.dtype for field in columns.fields_of(there.schema)] == [DType.FLOAT64] * 4
    assert mapping.backward(there).equals(batch)


def test_several_vectors_for_a_target_of_one_are_a_choice_to_make():
    """Nothing is dropped until it was named; naming all but one leaves that one."""
    batch, schema = two_vectors()
    full = batch.slice(2)
    consents = {item.consent for item in mapping_for(schema, full, CHROMA).refusals()}
    assert consents == {"vector:a", "vector:b", "vector:m", "vector:s"}
    mapping = mapping_for(schema, full, CHROMA, consent=consents - {"vector:b"})
    assert mapping.refusals() == ()
    there = mapping.forward(full)
    assert columns.dense_column(there).values.tolist() == [[8.0, 10.0]]
    assert columns.vector_names(mapping.backward(there)) == ["b"]
    assert [field.name for field in mapping.original_schema(mapping.target_schema).vectors] == ["b"]


def test_consent_to_drop_every_vector_is_refused():
    """A record without any vector is no record."""
    batch, schema = two_vectors()
    consent = frozenset(f"vector:{name}" for name in "abms")
    assert any(item.feature == "vectors" for item in mapping_for(schema, batch, CHROMA, consent=consent).refusals())


def test_one_named_vector_becomes_the_unnamed_one():
    """Its name comes back on the way back."""
    batch, schema = two_vectors()
    batch = batch.select(["id", "id_kind", "vector.b", "document", "payload"])
    mapping = mapping_for(replace(schema, vectors=schema.vectors[1:2]), batch, CHROMA)
    assert decisions(mapping)["vector 'b'"] == "encoded"
    assert columns.vector_names(mapping.forward(batch)) == [""]
    assert mapping.backward(mapping.forward(batch)).equals(batch)


def test_records_without_their_vector_stop_a_target_that_needs_it():
    """The plan counts them; without consent a record is named, with it they stay behind and are listed."""
    vectors = columns.dense_array(np.ones((3, 2), np.float32), np.array([True, False, True]))
    batch = columns.make(
        ["a", "b", "c"], IdKind.STRING, vectors={"": vectors}, documents=[None] * 3, payloads=[b"{}"] * 3
    )
    schema = make_schema(IdKind.STRING, dimension=2)
    (refusal,) = mapping_for(schema, batch, CHROMA).refusals()
    assert (refusal.rows, refusal.consent) == (1, "missing_vectors")
    with pytest.raises(BadRecord, match="'b'"):
        mapping_for(schema, batch, CHROMA).forward(batch)
    agreed = mapping_for(schema, batch, CHROMA, consent=frozenset({"missing_vectors"}))
    assert columns.id_texts(agreed.forward(batch)).to_pylist() == ["a", "c"]
    assert columns.id_texts(agreed.left_behind(batch)).to_pylist() == ["b"]
    assert agreed.refusals() == ()


def test_missing_vectors_that_the_source_knows_of_count_without_a_look():
    """A lost index shows in the schema."""
    schema = replace(make_schema(IdKind.STRING), missing_vectors=5)
    assert mapping_for(schema, None, CHROMA).refusals()[0].rows == 5


def test_a_target_that_keeps_unit_vectors_is_compared_by_direction():
    """Cosine in Qdrant: within the tolerance, after normalising; dot: bit for bit."""
    mapping, _ = one_vector([[3, 4]], target=QDRANT, metric=Metric.COSINE)
    assert mapping.tolerances == {"": replace(NEAR, direction=True)}
    assert decisions(mapping)["vector length"] == "encoded"
    assert one_vector([[3, 4]], target=QDRANT)[0].tolerances == {"": EXACT}


def test_a_target_that_rounds_lengths_is_compared_within_tolerance():
    """Cosine in Chroma: the length is kept, off by a rounding."""
    mapping, _ = one_vector([[3, 4], [0, 0]], metric=Metric.COSINE)
    assert mapping.tolerances == {"": NEAR}
    assert any("1 zero vector" in item.detail for item in mapping.decisions)


def test_number_types_that_are_not_normalised_are_compared_as_they_are():
    """Qdrant leaves bytes alone under cosine, and its float16 has a tolerance of its own."""
    small = replace(QDRANT, vectors=replace(QDRANT.vectors, dtypes=frozenset({DType.UINT8, DType.FLOAT16})))
    assert one_vector([[3, 4]], DType.UINT8, small, Metric.COSINE)[0].tolerances == {"": EXACT}
    found = one_vector([[3, 4]], DType.FLOAT16, small, Metric.COSINE)[0].tolerances
    assert found == {"": replace(NEAR_FLOAT16, direction=True)}


def test_lengths_that_overflow_are_refused():
    """Chroma gives NaN back for them."""
    mapping, _ = one_vector([[3e19, 0]], metric=Metric.COSINE)
    assert [item.feature for item in mapping.refusals()] == ["vector length"]


def test_nan_and_infinity_are_refused_by_name():
    """The first record that holds one is named, where the target would refuse or swallow it."""
    mapping, _ = one_vector([[1, 2], [np.nan, 1], [np.inf, 1]])
    (refusal,) = mapping.refusals()
    assert (refusal.rows, "the first is 1" in refusal.detail) == (2, True)
    assert one_vector([[np.nan, 1]], target=FILES)[0].refusals() == ()


@pytest.mark.parametrize("dimension", [None, 70_000])
def test_a_dimension_that_the_target_cannot_have_is_refused(dimension):
    """Unknown, or beyond the limit."""
    assert mapping_for(make_schema(UINT64, dimension=dimension), None, QDRANT).refusals()[0].feature == "vector"


def test_a_sparse_number_that_changes_names_its_record():
    """The position in the flat values leads to the row."""
    values = columns.Sparse(
        np.array([1, 2, 3], np.uint32), np.array([0.5, 0.5, 0.1]), np.array([0, 1, 1, 3], np.int32), None
    )
    batch = columns.make(
        ["x", "y", "z"],
        IdKind.STRING,
        vectors={"s": columns.sparse_array(values)},
        documents=pa.nulls(3, pa.string()),
        payloads=[b"{}"] * 3,
    )
    schema = CollectionSchema("docs", (VectorField("s", VectorKind.SPARSE, DType.FLOAT64),), frozenset({IdKind.STRING}))
    target = replace(FILES, vectors=replace(FILES.vectors, dtypes=frozenset({DType.FLOAT32})))
    with pytest.raises(BadRecord, match=r"record 'z': 0\.1"):
        mapping_for(schema, batch, target).forward(batch)
