"""The fast path and the official client's give equal batches, on both wires; which is taken, and how it overlaps."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from qdrant_client import grpc as official

from tests.stores.qdrant.samples import payloads_of, records, schema
from tests.stores.qdrant.shapes import collections
from tests.support.examples import examples
from tests.support.qdrant_server import QdrantServer
from vecferry import batch as columns
from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.batch import Dense, Multi, Sparse
from vecferry.contract import Reader
from vecferry.errors import RetryLater
from vecferry.model import CollectionSchema, DType, IdKind, Metric, VectorField, VectorKind
from vecferry.stores import registry
from vecferry.stores.qdrant import fast_path, slicing, wire
from vecferry.stores.qdrant.checks import check_batch
from vecferry.stores.qdrant.connection import Connection, endpoint
from vecferry.stores.qdrant.grpc_points import GrpcPoints
from vecferry.stores.qdrant.payloads import INT64_MAX
from vecferry.stores.qdrant.public_points import PublicPoints
from vecferry.stores.qdrant.rest_points import RestPoints
from vecferry.testing.rows import rows_of

WIRES = ("grpc", "rest")


def address_of(server: QdrantServer, wire_name: str, collection: str) -> Address:
    """A collection by one wire."""
    port = server.grpc_port if wire_name == "grpc" else server.rest_port
    return parse(f"qdrant://127.0.0.1:{port}/{collection}?wire={wire_name}&rest_port={server.rest_port}")


# Equal batches


@pytest.mark.parametrize("wire_name", WIRES)
@given(collection=collections())
@settings(deadline=None, max_examples=examples(5), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_both_writers_and_both_readers_give_equal_batches(
    server: QdrantServer, wire_name: str, collection: Any
) -> None:
    """What the fast writer and the client's write of any records, both readers show with the same bits."""
    fields, rows = sound(*collection)
    if not rows:
        return
    batch = batch_of(fields, rows)
    shown = {}
    for writer in ("fast", "public"):
        address = address_of(server, wire_name, f"paths_{uuid4().hex}")
        with registry.open_target(address) as target:
            target.create(CollectionSchema("c", tuple(fields), frozenset({IdKind.UINT64, IdKind.UUID})), {})
            checked = check_batch(batch, fields, INT64_MAX, target.url)
            connection = Connection(endpoint(address))
            fast = GrpcPoints if wire_name == "grpc" else RestPoints
            kind: Any = fast if writer == "fast" else PublicPoints
            kind(connection, address.collection()).upsert(checked, 3, 1 << 20)
            for reader in Reader:
                with registry.open_source(address, reader) as source:
                    found = [page for part in source.slices(1) for page in source.read(part, batch_rows=2)]
                    shown[writer, reader] = rows_of(found)
            connection.close()
            target.drop()
    first = shown["fast", Reader.FAST]
    assert len(first) == batch.num_rows
    assert all(other == first for other in shown.values())


def sound(fields: list[VectorField], rows: list[Any]) -> tuple[list[VectorField], list[Any]]:
    """What a collection can hold of drawn data: typed fields, finite vectors, each id once, sparse ones named."""
    named = [
        VectorField(
            field.name or ("s" if field.kind is VectorKind.SPARSE else ""),
            field.kind,
            DType.FLOAT32,
            field.dimension,
            Metric.DOT,
        )
        for field in fields
    ]
    kept, seen = [], set()
    for key, vectors, payload in rows:
        renamed = {new.name: vectors[old.name] for old, new in zip(fields, named, strict=True) if old.name in vectors}
        if key not in seen and all(finite(value) for value in renamed.values()):
            seen.add(key)
            kept.append((key, renamed, payload))
    return named, kept


def finite(value: Any) -> bool:
    """Whether a drawn vector of any kind holds neither NaN nor infinity."""
    if isinstance(value, list | tuple):
        return all(finite(item) for item in value)
    return value - value == 0


def batch_of(fields: list[VectorField], rows: list[Any]) -> pa.RecordBatch:
    """Drawn rows as a batch."""
    arrays = {}
    for field in fields:
        given_rows = [vectors.get(field.name) for _, vectors, _ in rows]
        present = np.array([row is not None for row in given_rows])
        lengths = [0 if row is None else len(row) for row in given_rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        flat = [item for row in given_rows if row is not None for item in row]
        if field.kind is VectorKind.DENSE:
            values = np.array(flat, np.float32).reshape(-1, field.dimension or 0)
            arrays[field.name] = columns.dense_array(Dense(values, present).full(), present)
        elif field.kind is VectorKind.MULTI:
            values = np.array(flat, np.float32).reshape(-1, field.dimension or 0)
            arrays[field.name] = columns.multi_array(Multi(values, offsets, present))
        else:
            indices = np.array([index for index, _ in flat], np.uint32)
            numbers = np.array([number for _, number in flat], np.float32)
            arrays[field.name] = columns.sparse_array(Sparse(indices, numbers, offsets, present))
    kinds = [IdKind.UINT64 if isinstance(key, int) else IdKind.UUID for key, _, _ in rows]
    payloads = [canonical.encode(payload) for _, _, payload in rows]
    return columns.make([str(key) for key, _, _ in rows], kinds, vectors=arrays, payloads=payloads)


# The probe


def test_the_fast_path_fits_the_installed_client() -> None:
    """With the client of today both directions agree, so no note is given."""
    assert fast_path.writes_alike(wire.encode_points)
    assert fast_path.reads_alike(wire.parse_scroll)
    assert fast_path.fits()


def test_an_encoder_that_means_something_else_is_found() -> None:
    """Bytes that the official classes read in another way, or not at all, do not fit."""

    def swapped(ids: Any, kinds: Any, vectors: Any, payloads: Any) -> Any:
        return wire.encode_points(
            ids, kinds, {**vectors, "d": Dense(-vectors["d"].values, vectors["d"].present)}, payloads
        )

    class Broken:
        def request(self, *_: Any, **__: Any) -> bytes:
            return b"\xff\xff"

    def moved(ids: Any, kinds: Any, vectors: Any, payloads: Any) -> Any:
        return wire.encode_points(ids, kinds, vectors, [payloads[1], payloads[0]])

    for encoder in (swapped, moved, lambda *_: Broken()):
        assert not fast_path.writes_alike(encoder)


def test_a_parser_that_reads_something_else_is_found() -> None:
    """A parser that loses the last row, the next page or the payload does not fit."""

    def later_layout(answer: bytes, fields: Any) -> Any:
        message = official.ScrollResponse.FromString(answer)
        del message.result[1:]
        return wire.parse_scroll(message.SerializeToString(), fields)

    def no_payload(answer: bytes, fields: Any) -> Any:
        return wire.parse_scroll(answer, fields, payload=False)

    for parser in (later_layout, no_payload, lambda answer, fields: wire.parse_scroll(answer[:-4], fields)):
        assert not fast_path.reads_alike(parser)


# Overlap


@pytest.mark.parametrize("wire_name", WIRES)
def test_the_next_page_is_asked_for_while_one_is_used(server: QdrantServer, unique: str, wire_name: str) -> None:
    """When the first page is handed out, the request for the second is already at the server."""
    address = address_of(server, wire_name, unique)
    with registry.open_target(address) as target:
        target.create(schema(), {})
        target.write(records(30))
        with server.faults.hold("scroll", skip=1, collection=unique) as gate:
            pages = target.read(slicing.cut((), 1)[0], batch_rows=10)
            first = next(pages)
            assert gate.wait_for_request()
            gate.open()
            rest = list(pages)
        assert first.num_rows + sum(page.num_rows for page in rest) == 30


@pytest.mark.parametrize("wire_name", WIRES)
def test_several_writes_are_under_way_at_once(server: QdrantServer, unique: str, wire_name: str) -> None:
    """While one request is held the next arrives; the write returns when the held one is applied too."""
    address = address_of(server, wire_name, unique)
    with registry.open_target(address) as target, ThreadPoolExecutor(1) as pool:
        target.create(schema(), {})
        target.describe()
        with (
            server.faults.hold("upsert", collection=unique) as first,
            server.faults.hold("upsert", skip=1, collection=unique) as second,
        ):
            written = pool.submit(target.write, records(1600))
            assert first.wait_for_request()
            assert second.wait_for_request()
            second.open()
            assert not written.done()
        written.result()
        assert target.count() == 1600


@pytest.mark.parametrize("wire_name", WIRES)
def test_a_reading_that_is_given_up_leaves_nothing_behind(server: QdrantServer, unique: str, wire_name: str) -> None:
    """Who stops after the first page can close at once, and the store works on."""
    address = address_of(server, wire_name, unique)
    with registry.open_target(address) as target:
        target.create(schema(), {})
        target.write(records(30))
        pages = target.read(slicing.cut((), 1)[0], batch_rows=10)
        next(pages)
        pages.close()  # type: ignore[attr-defined]
        assert len(payloads_of(target)) == 30


def test_a_failed_page_ahead_is_told_when_its_turn_comes(server: QdrantServer, unique: str) -> None:
    """A fault of the page under way does not spoil the page at hand, and is not lost."""
    address = address_of(server, "rest", unique)
    with registry.open_target(address) as target:
        target.create(schema(), {})
        target.write(records(30))
        server.faults.fail("scroll", skip=1, collection=unique)
        pages = target.read(slicing.cut((), 1)[0], batch_rows=10)
        assert next(pages).num_rows == 10
        with pytest.raises(RetryLater):
            next(pages)
