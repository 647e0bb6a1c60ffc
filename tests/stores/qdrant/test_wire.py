"""The fast reading and writing of Qdrant's gRPC messages, held against the official classes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import grpc
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qdrant_client import grpc as official

from tests.stores.qdrant.shapes import (
    A_UUID,
    EDGES,
    bits,
    collections,
    column_of,
    float_bits,
    ids_of,
    official_answer,
    official_point,
    unhurried,
)
from vecferry import canonical
from vecferry.batch import Dense, Sparse, make
from vecferry.errors import BadRecord
from vecferry.model import IdKind, RecordId, VectorField, VectorKind
from vecferry.stores.qdrant import layout, messages
from vecferry.stores.qdrant.varint import pack, unpack, varint
from vecferry.stores.qdrant.wire import (
    CHANNEL_OPTIONS,
    BeyondInt64,
    Points,
    encode_points,
    parse_get,
    parse_scroll,
    raw_method,
)

UNNAMED = [VectorField(dimension=2)]


def listed_kinds(points: Points) -> list[IdKind]:
    return [points.kinds] * len(points) if isinstance(points.kinds, IdKind) else list(points.kinds)


def assert_same_rows(points: Points, fields: list[VectorField], rows: list[Any]) -> None:
    texts, kinds = ids_of(rows)
    assert points.ids.equals(texts)
    assert listed_kinds(points) == kinds
    assert points.payloads == [canonical.encode(row[2]) for row in rows]
    assert list(points.vectors) == [field.name for field in fields]
    for field in fields:
        assert bits(points.vectors[field.name], len(rows)) == bits(column_of(field, rows), len(rows))


# Reading


@unhurried
@given(collections(), st.booleans())
def test_an_answer_reads_as_the_official_classes_wrote_it(collection: Any, flat: bool) -> None:
    """Columns hold the same ids, vectors to the bit and payloads as the official message, in both server layouts."""
    fields, rows = collection
    points, following = parse_scroll(official_answer(fields, rows, flat=flat).SerializeToString(), fields)
    assert_same_rows(points, fields, rows)
    assert following is None


@unhurried
@given(collections())
def test_what_was_written_fast_reads_back_fast(collection: Any) -> None:
    """Columns that became an upsert and came back as an answer are the same columns."""
    fields, rows = collection
    texts, kinds = ids_of(rows)
    columns = {field.name: column_of(field, rows) for field in fields}
    request = official.UpsertPoints.FromString(
        encode_points(texts, kinds, columns, [row[2] for row in rows]).request(0, len(rows))
    )
    answer = official.GetResponse()
    for point in request.points:
        found = answer.result.add()
        found.id.CopyFrom(point.id)
        found.vectors.MergeFromString(point.vectors.SerializeToString())
        for key, value in point.payload.items():
            found.payload[key].CopyFrom(value)
    assert_same_rows(parse_get(answer.SerializeToString(), fields), fields, rows)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("name", ["", "named"])
def test_one_dense_vector_in_every_row_needs_no_message_a_row(
    name: str, flat: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that differ in their numbers alone become a matrix without a message class, the large ones too."""
    dimension = 1536
    values = np.random.default_rng(7).standard_normal((5, dimension)).astype(np.float32)
    field = VectorField(name, dimension=dimension)
    answer = official_answer([field], [(i, {name: row.tolist()}, {}) for i, row in enumerate(values)], flat=flat)
    monkeypatch.delattr(messages, "VectorsOutput")
    points, _ = parse_scroll(answer.SerializeToString(), [field])
    np.testing.assert_array_equal(points.vectors[name].values, values)
    assert points.vectors[name].present is None


def test_awkward_floats_keep_their_bits() -> None:
    """Infinities, NaN, denormals and negative zero come through as the bits that were sent."""
    field = VectorField(dimension=len(EDGES))
    points, _ = parse_scroll(official_answer([field], [(1, {"": EDGES}, {})]).SerializeToString(), [field])
    assert points.vectors[""].values.tobytes() == float_bits(*EDGES)


def test_columns_make_a_record_batch() -> None:
    """Parsed columns go into a record batch as they are."""
    answer = official_answer(UNNAMED, [(1, {"": [1.0, 2.0]}, {"n": 1}), (A_UUID, {"": [3.0, 4.0]}, {})])
    points, _ = parse_scroll(answer.SerializeToString(), UNNAMED)
    batch = make(points.ids, points.kinds, payloads=points.payloads)
    assert batch.to_pylist() == [
        {"id": "1", "id_kind": "uint64", "payload": '{"n":1}'},
        {"id": A_UUID, "id_kind": "uuid", "payload": "{}"},
    ]


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (official.PointId(num=0), RecordId(IdKind.UINT64, "0")),
        (official.PointId(uuid=A_UUID), RecordId(IdKind.UUID, A_UUID)),
    ],
)
def test_the_next_page_begins_at_a_typed_id(offset: official.PointId, expected: RecordId) -> None:
    """The offset of the next page is a typed id, 0 and UUIDs included."""
    answer = official.ScrollResponse(next_page_offset=offset)
    points, following = parse_scroll(answer.SerializeToString(), UNNAMED)
    assert len(points) == 0
    assert following == expected


def test_a_uuid_in_another_spelling_reads_in_canonical_text() -> None:
    """Upper case, braces or missing hyphens in an answer do not make another id."""
    spellings = [A_UUID.upper(), A_UUID.replace("-", ""), "{" + A_UUID + "}"]
    answer = official_answer([], [(spelling, {}, {}) for spelling in spellings])
    points, _ = parse_scroll(answer.SerializeToString(), [])
    assert points.ids.to_pylist() == [A_UUID] * 3


def test_payloads_that_were_not_asked_for_are_none() -> None:
    """Without payloads there is no column of them, rather than one of empty objects."""
    assert parse_scroll(official_answer([], [(1, {}, {})]).SerializeToString(), [], payload=False)[0].payloads is None


def dense_answer(dense: bytes) -> bytes:
    """A scroll answer with one record, whose `DenseVector` message is given raw."""
    vector = layout.field_head(101, len(dense)) + dense
    outer = layout.unnamed_head(len(vector)) + vector
    point = b"\x0a\x02\x08\x07" + layout.field_head(4, len(outer)) + outer
    return layout.field_head(2, len(point)) + point


@pytest.mark.parametrize(
    "dense",
    [
        b"\x0d" + float_bits(1.5) + b"\x0d" + float_bits(-2.0),
        b"\x0a\x04" + float_bits(1.5) + b"\x0a\x04" + float_bits(-2.0),
    ],
    ids=["unpacked", "two runs"],
)
def test_another_layout_of_the_numbers_is_read_by_the_official_classes(dense: bytes) -> None:
    """Numbers that are not one packed run are still read exactly."""
    points, _ = parse_scroll(dense_answer(dense), UNNAMED)
    assert points.vectors[""].values.tolist() == [[1.5, -2.0]]


SPARSE, MULTI = VectorField("v", VectorKind.SPARSE), VectorField("v", VectorKind.MULTI, dimension=2)
NAMED = VectorField("v", dimension=2)


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    ("sent", "value", "expected", "message"),
    [
        (NAMED, [1.0, 2.0, 3.0], NAMED, "3 numbers where 2 are expected"),
        (MULTI, [[1.0, 2.0, 3.0]], MULTI, "3 numbers where 2 are expected"),
        (SPARSE, [(1, 1.0), (2, 1.0)], NAMED, "'v'"),
        (MULTI, [[1.0, 2.0]], SPARSE, "'v'"),
        (NAMED, [1.0, 2.0], MULTI, "'v'"),
        (NAMED, [1.0, 2.0], VectorField("w", dimension=2), "vector 'v', which the schema does not"),
    ],
)
def test_a_vector_that_the_schema_does_not_describe_is_an_error(
    sent: VectorField, value: Any, expected: VectorField, message: str, flat: bool
) -> None:
    """A wrong size, a wrong kind or an unknown name is never taken for an absent vector."""
    answer = official_answer([sent], [(1, {"v": value}, {})], flat=flat).SerializeToString()
    with pytest.raises(BadRecord, match=message):
        parse_scroll(answer, [expected])


def test_vectors_that_were_not_asked_for_are_an_error() -> None:
    """An answer with vectors for a reader that expects none is not cut down in silence."""
    with pytest.raises(BadRecord, match="unnamed vector, which the schema does not"):
        parse_scroll(official_answer(UNNAMED, [(1, {"": [1.0, 2.0]}, {})]).SerializeToString(), [])


def test_an_unnamed_vector_that_the_schema_does_not_have_is_an_error() -> None:
    """An unnamed vector is not taken for a named one."""
    with pytest.raises(BadRecord, match="unnamed"):
        parse_scroll(official_answer(UNNAMED, [(1, {"": [1.0, 2.0]}, {})]).SerializeToString(), [NAMED])


def test_a_sparse_vector_with_fewer_indices_than_values_is_an_error() -> None:
    """Two rows whose counts agree only in sum are refused, not shifted against each other."""
    rows = [official.SparseVector(indices=i, values=[1.0] * n) for i, n in (([1], 2), ([2, 3], 1))]
    answer = official.ScrollResponse()
    for sparse in rows:
        named = official.NamedVectorsOutput(vectors={"v": official.VectorOutput(sparse=sparse)})
        answer.result.append(
            official.RetrievedPoint(id=official.PointId(num=1), vectors=official.VectorsOutput(vectors=named))
        )
    with pytest.raises(BadRecord, match="as many indices as values"):
        parse_scroll(answer.SerializeToString(), [SPARSE])


def test_a_damaged_answer_is_an_error() -> None:
    """An answer that is cut, or a record without an id, raises instead of giving fewer rows."""
    whole = official_answer(UNNAMED, [(1, {"": [1.0, 2.0]}, {"k": "v"})]).SerializeToString()
    for damaged in (whole[:-12], official.ScrollResponse(result=[official.RetrievedPoint()]).SerializeToString()):
        with pytest.raises(BadRecord, match="cannot be read"):
            parse_scroll(damaged, UNNAMED)


# Writing


@unhurried
@given(collections(), st.booleans())
def test_a_request_reads_as_what_the_client_would_send(collection: Any, wait: bool) -> None:
    """The official classes find in our bytes the message that they would have written themselves."""
    fields, rows = collection
    texts, kinds = ids_of(rows)
    columns = {field.name: column_of(field, rows) for field in fields}
    encoded = encode_points(texts, kinds, columns, [row[2] for row in rows])
    found = official.UpsertPoints.FromString(encoded.request(0, len(rows), collection_name="docs", wait=wait))
    expected = official.UpsertPoints(
        collection_name="docs", wait=wait, points=[official_point(fields, row) for row in rows]
    )
    # Deterministic bytes, because messages that hold a NaN never compare equal.
    assert found.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)


@unhurried
@given(st.lists(st.integers(0, 300), max_size=30), st.integers(1, 7), st.integers(1, 800))
def test_ranges_cover_every_point_once_within_the_limits(text_sizes: list[int], max_rows: int, max_bytes: int) -> None:
    """Requests together hold all points in order, none above the limits but a point too large by itself."""
    rows = len(text_sizes)
    ids = pa.array([str(number) for number in range(rows)], pa.string())
    encoded = encode_points(ids, IdKind.UINT64, {}, [{"t": "x" * size} for size in text_sizes])
    seen = []
    for start, stop in encoded.ranges(max_rows, max_bytes):
        request = encoded.request(start, stop)
        assert stop - start <= max_rows
        assert len(request) == encoded.size_bytes[start:stop].sum()
        assert len(request) <= max_bytes or stop - start == 1
        seen += [point.id.num for point in official.UpsertPoints.FromString(request).points]
    assert seen == list(range(rows))


@pytest.mark.parametrize("dtype", ["float16", "uint8", "int8", ">f4"])
def test_narrower_numbers_are_widened_exactly(dtype: str) -> None:
    """Types that float32 holds exactly are sent as float32, whatever the order of the array."""
    values = np.asfortranarray(np.array([[1, 2], [3, 4], [5, 100]], dtype=dtype))
    encoded = encode_points(pa.array(["1", "2", "3"]), IdKind.UINT64, {"": Dense(values)}, [{}, {}, {}])
    sent = official.UpsertPoints.FromString(encoded.request(0, 3)).points
    assert [list(point.vectors.vector.dense.data) for point in sent] == values.tolist()


def test_float64_is_refused_rather_than_rounded() -> None:
    """A column of doubles is an error here: rounding is a decision of the plan."""
    with pytest.raises(ValueError, match="float64 does not fit"):
        encode_points(pa.array(["1"]), IdKind.UINT64, {"": Dense(np.array([[0.1]]))}, [{}])


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("-1", IdKind.UINT64),
        (str(2**64), IdKind.UINT64),
        ("x", IdKind.UINT64),
        (A_UUID.upper(), IdKind.UUID),
        ("7", IdKind.INT64),
        ("7", IdKind.STRING),
    ],
)
def test_an_id_that_qdrant_does_not_have_is_refused(text: str, kind: IdKind) -> None:
    """Only uint64 numbers and UUIDs in canonical text are sent."""
    for kinds in (kind, [kind]):
        with pytest.raises(ValueError):
            encode_points(pa.array([text]), kinds, {}, [{}])


def test_columns_of_unequal_length_are_refused() -> None:
    """A missing vector row or payload is an error, not a shorter request."""
    ids = pa.array(["1", "2"])
    with pytest.raises(ValueError):
        encode_points(ids, IdKind.UINT64, {"": Dense(np.zeros((1, 2), np.float32))}, [{}, {}])
    with pytest.raises(ValueError):
        encode_points(ids, IdKind.UINT64, {"": Dense(np.zeros((2, 2), np.float32))}, [{}])


def test_an_integer_beyond_int64_names_its_row() -> None:
    """The store learns which row needs REST."""
    with pytest.raises(BeyondInt64, match=r"row 1 has the integer 9223372036854775808") as caught:
        encode_points(pa.array(["1", "2"]), IdKind.UINT64, {}, [{"n": 2**63 - 1}, {"n": [{"m": 2**63}]}])
    assert caught.value.row == 1


def test_an_empty_batch_is_an_empty_request() -> None:
    """No rows make no point, and no range."""
    columns = {"": Dense(np.zeros((0, 2), np.float32)), "s": _no_sparse()}
    encoded = encode_points(pa.array([], pa.string()), IdKind.UUID, columns, [])
    assert list(encoded.ranges(10, 10)) == []
    assert encoded.request(0, 0, collection_name="c") == official.UpsertPoints(collection_name="c").SerializeToString()


def _no_sparse() -> Sparse:
    return Sparse(np.zeros(0, np.uint32), np.zeros(0, np.float32), np.zeros(1, np.int32))


# The channel and the varints


@contextmanager
def answering(size_bytes: int, compression: grpc.Compression) -> Iterator[str]:
    """The address of a server whose `Scroll` answers so many zeros, compressed without asking the client."""
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: bytes(size_bytes))
    server = grpc.server(ThreadPoolExecutor(1), compression=compression)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("qdrant.Points", {"Scroll": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def test_the_channel_takes_answers_beyond_the_default_limit() -> None:
    """An answer of 6 MB, which a channel with default options refuses, arrives whole."""
    with (
        answering(6_000_000, grpc.Compression.NoCompression) as address,
        grpc.insecure_channel(address, options=[*CHANNEL_OPTIONS.items()]) as channel,
    ):
        assert len(raw_method(channel, "Scroll")(b"ask", timeout=20)) == 6_000_000


def test_the_channel_does_not_know_gzip() -> None:
    """The client lists identity alone as an encoding that it takes, so that no server spends its CPU on gzip."""
    with (
        answering(1000, grpc.Compression.Gzip) as address,
        grpc.insecure_channel(address, options=[*CHANNEL_OPTIONS.items()]) as channel,
        pytest.raises(grpc.RpcError, match="Compression algorithm not supported: gzip"),
    ):
        raw_method(channel, "Scroll")(b"ask", timeout=20)


@unhurried
@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 300)))
def test_arrays_of_varints_are_single_varints_in_a_row(values: list[int]) -> None:
    """Packing an array equals packing each number, and unpacking gives the numbers and their places back."""
    array = np.array(values, dtype=np.uint64)
    run, offsets = pack(array)
    assert run == b"".join(map(varint, values))
    assert [run[a:b] for a, b in pairwise(offsets)] == list(map(varint, values))
    found, ended = unpack(run)
    assert found.tolist() == values
    assert ended[offsets].tolist() == list(range(len(values) + 1))


@pytest.mark.parametrize("run", [b"\x80", b"\x01\xff", b"\xff" * 10 + b"\x01"])
def test_a_cut_or_overlong_varint_is_an_error(run: bytes) -> None:
    """A run that does not end with a number, or holds one of more than ten bytes, raises."""
    with pytest.raises(ValueError, match="cut or longer"):
        unpack(run)
