"""What Qdrant is known to mangle, hide or half-do, each by name: one clear error or a listed decision, never silence.

The traps of the embedded engine's ids, payloads and sparse vectors stand in `test_edge.py`.
"""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pytest
from qdrant_client import QdrantClient, models

from tests.stores.qdrant.samples import payloads_of, records, schema, with_ids, with_payloads
from tests.stores.qdrant.test_paths import WIRES, address_of
from tests.support.migrating import Harness
from tests.support.qdrant_server import QdrantServer
from vecferry import batch as columns
from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.contract import Reader
from vecferry.errors import BadRecord, LossRefused, RetryLater, StoreRefused
from vecferry.mapping import Profiler, Rules, decide
from vecferry.model import (
    IDS_ONLY,
    CollectionSchema,
    DType,
    IdKind,
    Metric,
    Outcome,
    RecordId,
    VectorField,
    VectorKind,
)
from vecferry.stores import registry

SPELLING = "7d444840-9dc0-11d1-b245-5ffdce74fad2"


@pytest.fixture(params=WIRES)
def address(server: QdrantServer, unique: str, request: pytest.FixtureRequest) -> Address:
    """A collection that is not there yet, by each wire."""
    return address_of(server, request.param, unique)


@pytest.fixture
def edge(tmp_path: Path) -> Address:
    """A folder that is not there yet."""
    return parse(f"qdrant+edge://{tmp_path}/docs")


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Harness:
    """A ledger and home folder of this test's own."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    return Harness(tmp_path)


def typed(dtype: DType, kind: VectorKind = VectorKind.DENSE) -> CollectionSchema:
    """One unnamed vector of two numbers of a type."""
    field = VectorField("", kind, dtype, 2, Metric.DOT)
    return CollectionSchema("docs", (field,), frozenset({IdKind.UINT64}))


def numbers(*rows: list[float], dtype: Any = np.float32) -> pa.RecordBatch:
    """Records with these vectors, ids from 1."""
    ids = [str(at + 1) for at in range(len(rows))]
    vectors = {"": columns.dense_array(np.array(rows, dtype))}
    return columns.make(ids, IdKind.UINT64, vectors=vectors, payloads=[b"{}"] * len(rows))


# Ids


@pytest.mark.parametrize(
    "spelling", [SPELLING.upper(), f"{{{SPELLING}}}", f"urn:uuid:{SPELLING}", SPELLING.replace("-", "")]
)
def test_spellings_of_a_uuid_are_one_id(raw: QdrantClient, address: Address, spelling: str) -> None:
    """A UUID in any spelling is read in its canonical text; as an id to write, only that text is taken."""
    with registry.open_target(address) as target:
        target.create(schema(), {})
        raw.upsert(address.collection(), [models.PointStruct(id=spelling, vector=[1.0] * 4)])
        assert list(payloads_of(target)) == [SPELLING]
        with pytest.raises(BadRecord, match="canonical"):
            target.write(with_ids([RecordId(IdKind.UUID, spelling)]))
        target.write(with_ids([RecordId(IdKind.UUID, SPELLING)]))
        assert target.count() == 1


def test_a_text_that_is_a_number_or_a_uuid_is_not_that_id(address: Address) -> None:
    """`"12"` is a string and Qdrant has no string ids: refused, and asking for it finds nothing."""
    strings = [RecordId(IdKind.STRING, "12"), RecordId(IdKind.STRING, SPELLING)]
    with registry.open_target(address) as target:
        target.create(schema(), {})
        target.write(with_ids([RecordId(IdKind.UINT64, "12"), RecordId(IdKind.UUID, SPELLING)]))
        for item in strings:
            with pytest.raises(BadRecord):
                target.write(with_ids([item]))
        assert target.fetch(columns.ids_batch(strings)).num_rows == 0


# Numbers of vectors


@pytest.mark.parametrize(
    ("dtype", "value"),
    [(DType.FLOAT16, 70_000.0), (DType.FLOAT16, 0.1), (DType.UINT8, 300.0), (DType.UINT8, 1.7), (DType.UINT8, -1.0)],
)
def test_numbers_that_a_type_would_change_never_reach_it(edge: Address, dtype: DType, value: float) -> None:
    """float16 makes 70,000 an infinity, uint8 clamps and cuts: float32 numbers are refused by such a collection."""
    with registry.open_target(edge) as target:
        target.create(typed(dtype), {})
        with pytest.raises(BadRecord, match="holds vector ''"):
            target.write(numbers([1.0, value]))
        assert target.count() == 0


@pytest.mark.parametrize("dtype", [DType.FLOAT16, DType.UINT8])
def test_a_narrow_type_stays_narrow(address: Address, dtype: DType) -> None:
    """A collection of float16 or uint8 moves to one of the same type, bit for bit: no number is widened on the way."""
    given = numbers([1.0, 2.0], [3.0, 250.0], dtype=np.dtype(dtype.value))
    with registry.open_target(address) as target:
        target.create(typed(dtype), {})
        target.write(given)
        for reader in Reader:
            with registry.open_source(address, reader) as source:
                assert source.describe().vectors[0].dtype is dtype
                (page,) = list(source.read(source.slices(1)[0]))
                assert page.column("vector").equals(given.column("vector"))


def test_float64_to_qdrant_is_a_loss_to_be_agreed_to(edge: Address) -> None:
    """Doubles that float32 cannot hold are a lossy decision with a name, never rounded in silence."""
    wide = CollectionSchema("docs", (VectorField("", VectorKind.DENSE, DType.FLOAT64, 2, Metric.DOT),), frozenset())
    profiler = Profiler()
    profiler.observe(numbers([0.1, 0.2], dtype=np.float64))
    with registry.open_target(edge) as target:
        capabilities = target.capabilities()
        mapping = decide(wide, profiler.profile(), capabilities, capabilities, Rules())
    (rounded,) = [item for item in mapping.refusals() if item.outcome is Outcome.LOSSY]
    assert rounded.consent == "vector_dtype"


def test_a_nan_that_grpc_stored_never_moves_on(
    server: QdrantServer, harness: Harness, unique: str, tmp_path: Path
) -> None:
    """A NaN that an application stored over gRPC stops the migration by the id of its record, on either wire."""
    source = address_of(server, "grpc", unique)
    with registry.open_target(source) as target:
        target.create(schema(), {})
        target.write(records(20))
    client = QdrantClient(
        host="127.0.0.1", port=server.rest_port, grpc_port=server.grpc_port, prefer_grpc=True, check_compatibility=False
    )
    with contextlib.closing(client):
        client.upsert(unique, [models.PointStruct(id=77, vector=[float("nan")] * 4)], wait=True)
    for wire in WIRES:
        with pytest.raises((BadRecord, LossRefused), match="77"):
            harness.migrate(str(address_of(server, wire, unique)), f"qdrant+edge://{tmp_path}/{wire}", route=wire)


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_no_nonfinite_number_is_written(address: Address, edge: Address, value: float) -> None:
    """Neither wire and neither engine gets a NaN or an infinity from here, whatever it would do with it."""
    for place in (address, edge):
        with registry.open_target(place) as target:
            target.create(typed(DType.FLOAT32), {})
            with pytest.raises(BadRecord, match="record 2"):
                target.write(numbers([1.0, 2.0], [1.0, value]))
            assert target.count() == 0


# Payload


@pytest.mark.parametrize("levels", [33, 123, 127])
def test_payload_too_deep_for_a_restart_is_refused(address: Address, levels: int) -> None:
    """Beyond 32 levels Python's client cannot read it, beyond 122 a server does not start again: named, not sent."""
    text = b'{"a":' * levels + b"1" + b"}" * levels
    with registry.open_target(address) as target:
        target.create(schema(), {})
        with pytest.raises(BadRecord, match=r"record 5.*32 levels"):
            target.write(with_payloads([text], first_id=5))
        assert target.count() == 0


def test_payload_of_32_levels_goes_both_ways(address: Address) -> None:
    """What is said to fit does fit, on both readers."""
    text = b'{"a":' * 32 + b"1" + b"}" * 32
    with registry.open_target(address) as target:
        target.create(schema(), {})
        target.write(with_payloads([text]))
    for reader in Reader:
        with registry.open_source(address, reader) as source:
            assert payloads_of(source) == {"0": text}


@pytest.mark.parametrize("number", [2**63, 2**64 - 1])
def test_integers_beyond_int64(address: Address, number: int) -> None:
    """REST keeps them exactly; over gRPC, which has none, the record is named and a mapping keeps the value as text."""
    text = canonical.encode({"n": number})
    with registry.open_target(address) as target:
        target.create(schema(), {})
        if address.options["wire"] == "rest":
            target.write(with_payloads([text]))
            assert payloads_of(target) == {"0": text}
        else:
            assert target.capabilities().payload.integer_max == 2**63 - 1
            with pytest.raises(BadRecord, match=str(number)):
                target.write(with_payloads([text]))


# Sparse vectors


def test_sparse_vectors_have_no_order(address: Address) -> None:
    """Indices given in any order come back ascending, by both readers, with their values beside them."""
    field = VectorField("s", VectorKind.SPARSE, metric=Metric.DOT)
    values = columns.Sparse(
        np.array([9, 2, 5], np.uint32), np.array([1.0, 2.0, 3.0], np.float32), np.array([0, 3], np.int32)
    )
    array = columns.sparse_array(values)
    with registry.open_target(address) as target:
        target.create(CollectionSchema("docs", (field,), frozenset()), {})
        target.write(columns.make(["1"], IdKind.UINT64, vectors={"s": array}, payloads=[b"{}"]))
    for reader in Reader:
        with registry.open_source(address, reader) as source:
            (page,) = list(source.read(source.slices(1)[0]))
            found = columns.sparse_column(page, "s")
            assert (found.indices.tolist(), found.values.tolist()) == ([2, 5, 9], [2.0, 3.0, 1.0])


def test_a_repeated_sparse_index_never_leaves(address: Address) -> None:
    """A server refuses the request, after it stored part of it perhaps: the record is named before."""
    field = VectorField("s", VectorKind.SPARSE, metric=Metric.DOT)
    twice = columns.Sparse(np.array([3, 1, 1], np.uint32), np.ones(3, np.float32), np.array([0, 1, 3], np.int32))
    batch = columns.make(["1", "2"], IdKind.UINT64, vectors={"s": columns.sparse_array(twice)}, payloads=[b"{}", b"{}"])
    with registry.open_target(address) as target:
        target.create(CollectionSchema("docs", (field,), frozenset()), {})
        with pytest.raises(BadRecord, match="record 2"):
            target.write(batch)
        assert target.count() == 0


# Half-done and hidden


def test_a_refused_batch_may_be_stored_in_part(server: QdrantServer, raw: QdrantClient, address: Address) -> None:
    """When a collection loses a vector under the writer, a refused batch is written again whole, and ends complete."""
    name = address.collection()
    two = tuple(VectorField(key, VectorKind.DENSE, DType.FLOAT32, 2, Metric.DOT) for key in ("a", "b"))
    rows = 40
    vectors = {key: columns.dense_array(np.full((rows, 2), at + 1, np.float32)) for at, key in enumerate(("a", "b"))}
    batch = columns.make([str(at) for at in range(rows)], IdKind.UINT64, vectors=vectors, payloads=[b"{}"] * rows)
    with registry.open_target(address) as target:
        target.create(CollectionSchema(name, two, frozenset()), {})
        target.describe()
        raw.delete_collection(name)
        raw.create_collection(name, {"a": models.VectorParams(size=2, distance=models.Distance.DOT)})
        with pytest.raises(StoreRefused, match="vector name"):
            target.write(batch)
        raw.delete_collection(name)
        target.create(CollectionSchema(name, two, frozenset()), {})
        target.write(batch)
        assert target.count() == rows


def test_a_write_that_was_not_waited_for_is_no_write(server: QdrantServer, address: Address) -> None:
    """`wait_timeout` means taken and not applied: RetryLater for writes and deletes, on both wires."""
    with registry.open_target(address) as target:
        target.create(schema(), {})
        oddities = server.oddities(address.collection())
        oddities.wait_timeouts = 1
        with pytest.raises(RetryLater, match="not applied in time"):
            target.write(records(3))
        target.write(records(3))
        oddities.wait_timeouts = 1
        with pytest.raises(RetryLater, match="not applied in time"):
            target.delete(columns.ids_of(records(2)))
        target.delete(columns.ids_of(records(2)))
        assert target.count() == 1


def test_deferred_points_are_waited_for(server: QdrantServer, address: Address) -> None:
    """Points that `prevent_unoptimized` hides are neither missed nor overlooked: count and read are RetryLater."""
    with registry.open_target(address) as target:
        target.create(schema(), {})
        target.write(records(10))
        oddities = server.oddities(address.collection())
        oddities.deferred_points = 4
        for ask in (target.count, lambda: payloads_of(target), lambda: target.slices(3)):
            with pytest.raises(RetryLater, match="hides 4 points"):
                ask()
        oddities.deferred_points = 0
        assert len(payloads_of(target)) == target.count() == 10


def test_the_approximate_count_is_never_used(server: QdrantServer, address: Address) -> None:
    """`points_count` may say anything: the count is asked for exactly."""
    with registry.open_target(address) as target:
        target.create(schema(), {})
        target.write(records(10))
        server.oddities(address.collection()).points_count_off = 5
        assert target.count() == 10
        assert len(payloads_of(target)) == 10


def test_an_index_that_never_settles_is_told(server: QdrantServer, unique: str) -> None:
    """A load whose queue does not empty ends as RetryLater, with the option that waits longer."""
    address = parse(f"{address_of(server, 'grpc', unique)}&ready_timeout_s=0.2")
    with registry.open_target(address) as target:
        target.create(schema(), {})
        server.oddities(unique).deferred_points = 1
        with pytest.raises(RetryLater, match="still") as told:
            target.finish_load()
        assert "ready_timeout_s" in told.value.advice


# Strict mode and names


def test_strict_limits_are_read_before_they_bite(raw: QdrantClient, server: QdrantServer, address: Address) -> None:
    """Pages and batches keep to the collection's limits, also when they come while the store is open."""
    name = address.collection()
    with registry.open_target(address) as target:
        target.create(schema(), {})
        target.write(records(60))
        strict = models.StrictModeConfig(enabled=True, max_query_limit=7, upsert_max_batchsize=9)
        raw.update_collection(name, strict_mode_config=strict)
        assert len(payloads_of(target)) == 60
        with registry.open_source(address, Reader.PUBLIC) as public:
            assert len(payloads_of(public)) == 60
            assert public.fetch(columns.ids_of(records(60)), IDS_ONLY).num_rows == 60
    server.requests.clear()
    with registry.open_target(address) as again:
        again.write(records(60))
    assert len(server.requests.of("upsert", name)) == 7


@pytest.mark.slow
@pytest.mark.parametrize("name", [" ", "a b", "ž", "a%b", "a&b=c", "a#b", "..a", "x" * 255, "+"])
def test_odd_names_are_collections(server: QdrantServer, raw: QdrantClient, name: str) -> None:
    """A name that a server takes is reached by its percent-encoded form, on both wires, and no other is."""
    for wire in WIRES:
        unique = f"{uuid.uuid4().hex}{name}"[:255]
        with registry.open_target(address_of(server, wire, quote(unique, safe=""))) as target:
            target.create(schema(), {})
            target.write(records(3))
            assert target.count() == 3
            assert unique in {found.name for found in raw.get_collections().collections}
            target.drop()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a/b", "a:b", "a*b", "a?b", 'a"b', "a\\b", "x" * 256])
def test_names_that_a_server_refuses_are_told(server: QdrantServer, name: str) -> None:
    """A forbidden or too long name is one clear error at creation, and nothing is made."""
    for wire in WIRES:
        target = registry.open_target(address_of(server, wire, quote(name, safe="")))
        with target, pytest.raises(StoreRefused):
            target.create(schema(), {})
