"""Milvus's messages to and from columns, for types that no embedded engine has as well."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

from vecferry import batch as batches
from vecferry.errors import BadRecord, NotFound, RetryLater, StoreRefused, TargetNotEmpty
from vecferry.model import DType, IdKind, VectorField
from vecferry.stores.milvus import columns
from vecferry.stores.milvus.failures import NoSuchCall, NotLoaded, TooLarge, grpc_failure, status_failure
from vecferry.stores.milvus.filters import KeyFilter
from vecferry.stores.milvus.layout import Key, VectorPlace, layout_of
from vecferry.stores.milvus.payloads import Unfit, dynamic_texts

kind = schema_pb2.DataType.Value
NUMBERS = np.array([[1.0, -0.5, 3.25], [0.0, 2.0, -4.0]], dtype=np.float32)


def place(data_type: str, dtype: DType) -> VectorPlace:
    """A vector field of three dimensions."""
    return VectorPlace("v", kind(data_type), VectorField("v", dimension=3, dtype=dtype))


def test_a_matrix_becomes_a_message_that_the_client_would_have_made() -> None:
    """Packed bytes give the message that one float at a time gives."""
    request = milvus_pb2.UpsertRequest()
    columns.add_dense(request, place("FloatVector", DType.FLOAT32), batches.Dense(NUMBERS))
    plain = milvus_pb2.UpsertRequest()
    field = plain.fields_data.add(field_name="v", type=kind("FloatVector"))
    field.vectors.dim = 3
    field.vectors.float_vector.data.extend(NUMBERS.reshape(-1).tolist())
    assert request.SerializeToString(deterministic=True) == plain.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    ("data_type", "slot", "raw", "dtype"),
    [
        ("Float16Vector", "float16_vector", NUMBERS.astype("<f2").tobytes(), DType.FLOAT16),
        ("BFloat16Vector", "bfloat16_vector", (NUMBERS.view("<u4") >> 16).astype("<u2").tobytes(), DType.FLOAT32),
        ("Int8Vector", "int8_vector", NUMBERS.astype(np.int8).tobytes(), DType.INT8),
    ],
)
def test_vectors_of_other_types_are_read(data_type: str, slot: str, raw: bytes, dtype: DType) -> None:
    """float16 and int8 keep their type; bfloat16 becomes float32, which holds each of its numbers."""
    field = schema_pb2.FieldData(type=kind(data_type))
    setattr(field.vectors, slot, raw)
    column = columns.read_vector(field, place(data_type, dtype), 2, "milvus://h/c")
    values = column.flatten().to_numpy().reshape(2, 3)
    assert values.dtype == np.dtype(dtype.value)
    assert np.array_equal(values, NUMBERS.astype(dtype.value))


@pytest.mark.parametrize("compact", [True, False])
def test_a_null_vector_is_null(compact: bool) -> None:
    """Servers leave null vectors out of the numbers, or put zeros in their place; both are null."""
    field = schema_pb2.FieldData(type=kind("FloatVector"), valid_data=[True, False, True])
    rows = [NUMBERS[0], *([] if compact else [np.zeros(3)]), NUMBERS[1]]
    field.vectors.float_vector.data.extend(np.concatenate(rows).tolist())
    column = columns.read_vector(field, place("FloatVector", DType.FLOAT32), 3, "milvus://h/c")
    assert column.to_pylist() == [NUMBERS[0].tolist(), None, NUMBERS[1].tolist()]


def test_a_short_answer_is_damage() -> None:
    """A vector field with too few numbers is BadRecord, not rows of another shape."""
    field = schema_pb2.FieldData(type=kind("FloatVector"))
    field.vectors.float_vector.data.extend([1.0, 2.0])
    with pytest.raises(BadRecord, match="gives 2 numbers"):
        columns.read_vector(field, place("FloatVector", DType.FLOAT32), 1, "milvus://h/c")


def _schema(*fields: schema_pb2.FieldSchema, **more: Any) -> schema_pb2.CollectionSchema:
    key = schema_pb2.FieldSchema(name="id", is_primary_key=True, data_type=kind("Int64"))
    return schema_pb2.CollectionSchema(fields=[key, *fields], **more)


def test_fields_that_cannot_be_read_are_named() -> None:
    """Binary vectors, unknown types, lists of objects and unknown metrics are refused by the name of the field."""
    dimension = [common_pb2.KeyValuePair(key="dim", value="8")]
    binary = schema_pb2.FieldSchema(name="bits", data_type=kind("BinaryVector"), type_params=dimension)
    with pytest.raises(StoreRefused, match=r"'bits'.*BinaryVector"):
        layout_of(_schema(binary), {}, {}, "milvus://h/c")
    with pytest.raises(StoreRefused, match=r"'odd'.*77"):
        layout_of(_schema(schema_pb2.FieldSchema(name="odd", data_type=77)), {}, {}, "x")  # type: ignore[arg-type]
    structs = [schema_pb2.StructArrayFieldSchema(name="parts")]
    with pytest.raises(StoreRefused, match="'parts'"):
        layout_of(_schema(struct_array_fields=structs), {}, {}, "x")
    dense = schema_pb2.FieldSchema(name="v", data_type=kind("FloatVector"), type_params=dimension)
    with pytest.raises(StoreRefused, match=r"'v'.*JACCARD"):
        layout_of(_schema(dense), {"v": "JACCARD"}, {}, "x")


def test_what_a_function_makes_is_not_read() -> None:
    """The output of a BM25 function is no vector of the collection: servers do not give it back."""
    words = schema_pb2.FieldSchema(name="words", data_type=kind("SparseFloatVector"))
    function = schema_pb2.FunctionSchema(name="bm25", input_field_names=["text"], output_field_names=["words"])
    assert layout_of(_schema(words, functions=[function]), {}, {}, "x").vectors == ()


def test_filters_say_every_id() -> None:
    """Texts are escaped as Milvus parses them, and the least int64, which is no literal, is written around."""
    text, number = KeyFilter(Key("id", IdKind.STRING)), KeyFilter(Key("id", IdKind.INT64))
    assert text.within(None, None) == 'id >= ""'
    assert text.within("a", 'b"') == 'id >= "a" and id < "b\\""'
    assert text.after("a\n", None) == 'id > "a\\n"'
    assert text.among(["x', 'b", "\\"]) == 'id in ["x\', \'b", "\\\\"]'
    assert number.within(None, None) == "id <= 9223372036854775807"
    assert number.within(None, "5") == "id < 5"
    assert number.after("-9223372036854775808", "5") == "id >= -9223372036854775807 and id < 5"
    assert number.after("9223372036854775807", None) == ""
    assert number.among(["-9223372036854775808", "3"]) == "(id in [3] or id < -9223372036854775807)"


@pytest.mark.parametrize(
    ("status", "wanted"),
    [
        (common_pb2.Status(code=100, reason="x"), NotFound),
        (common_pb2.Status(error_code=4, reason="can't find collection"), NotFound),  # type: ignore[arg-type]
        (common_pb2.Status(code=800, reason="database not found[database=x]"), NotFound),
        (common_pb2.Status(code=6, reason="database 'x' does not exist"), NotFound),
        (common_pb2.Status(code=1, reason="collection 'c' already exists"), TargetNotEmpty),
        (common_pb2.Status(code=101, reason="collection not loaded"), NotLoaded),
        (common_pb2.Status(code=8, reason="rate limit exceeded"), RetryLater),
        (common_pb2.Status(code=5, reason="internal", retriable=True), RetryLater),
        (common_pb2.Status(code=65535, reason="auth check failure, please check username"), StoreRefused),
        (common_pb2.Status(code=1, reason="[Errno 28] No space left on device"), StoreRefused),
        (common_pb2.Status(code=65535, reason="exceed the maxOutputSize Limit"), TooLarge),
        (common_pb2.Status(code=1100, reason="invalid parameter"), StoreRefused),
    ],
)
def test_a_refusal_inside_of_an_answer_is_told_by_what_to_do(status: common_pb2.Status, wanted: type) -> None:
    """Numbers of old and new servers and of milvus-lite lead to the error that says what to do."""
    assert isinstance(status_failure("milvus://h/c", status), wanted)


def test_errors_of_the_wire_are_told_by_what_to_do() -> None:
    """Dead, slow, busy, too large, forbidden and unknown are told apart."""
    wanted = {
        "UNAVAILABLE": RetryLater,
        "DEADLINE_EXCEEDED": RetryLater,
        "INTERNAL": RetryLater,
        "UNAUTHENTICATED": StoreRefused,
        "UNIMPLEMENTED": NoSuchCall,
        "INVALID_ARGUMENT": StoreRefused,
    }
    assert {code: type(grpc_failure("u", code, "x")) for code in wanted} == wanted
    assert isinstance(grpc_failure("u", "RESOURCE_EXHAUSTED", "quota"), RetryLater)
    assert isinstance(grpc_failure("u", "RESOURCE_EXHAUSTED", "message larger than max"), TooLarge)
    assert status_failure("u", common_pb2.Status()) is None


def test_dynamic_fields_of_others_are_read_exactly() -> None:
    """Spaces, escapes, large integers and white space become canonical text; a key that stands twice is refused."""
    raws = [b'{"b": 1.0, "a": "\\u00fc"}', b"{}", b'{"n": 1180591620717411303424}', b' {"t": "a:b"} ']
    assert dynamic_texts(raws) == ['{"a":"ü","b":1.0}'.encode(), b"{}", b'{"n":1180591620717411303424}', b'{"t":"a:b"}']
    with pytest.raises(Unfit) as caught:
        dynamic_texts([b"{}", b'{"a": 1, "a": 2}'])
    assert caught.value.row == 1
    with pytest.raises(Unfit):
        dynamic_texts([b"[1]"])
