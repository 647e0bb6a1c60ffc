"""Indexes: made with the collection, because Milvus reads nothing without one, and waited for after a load."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vecferry.address import Address
from vecferry.errors import BadOption, RetryLater, StoreRefused
from vecferry.model import Metric, VectorField, VectorKind
from vecferry.stores.milvus import partitions
from vecferry.stores.milvus.connection import Connection
from vecferry.stores.milvus.failures import Busy
from vecferry.stores.milvus.layout import METRICS
from vecferry.stores.milvus.schema import field_name, pairs

__all__ = ["IndexWish", "flush", "index_wish", "indexes_of", "is_loaded", "load", "make_indexes", "wait_for_indexes"]

_TYPES = ("AUTOINDEX", "FLAT", "HNSW")
_FIRST_PAUSE_S, _GROWTH, _LONGEST_PAUSE_S = 0.05, 1.25, 2.0  # a wait is a quarter longer than it must be, at most
_FINISHED = common_pb2.IndexState.Value("Finished")
_FAILED = common_pb2.IndexState.Value("Failed")
_LOADED = common_pb2.LoadState.Value("LoadStateLoaded")
_NO_INDEX = frozenset({11, 25, 700})


@dataclass(frozen=True, slots=True)
class IndexWish:
    """The index of dense vectors, and how long to wait for it. FLAT searches exactly."""

    kind: str
    m: int | None
    ef_construct: int | None
    timeout_s: float

    def settings(self, field: VectorField) -> dict[str, str]:
        """As Milvus takes them."""
        if field.kind is VectorKind.SPARSE:
            return {"index_type": "SPARSE_INVERTED_INDEX", "metric_type": METRICS[Metric.DOT], "params": "{}"}
        build = {"M": self.m, "efConstruction": self.ef_construct} if self.kind == "HNSW" else {}
        metric = METRICS[field.metric] if field.metric else ""
        return {"index_type": self.kind, "metric_type": metric, "params": orjson.dumps(build).decode()}


def index_wish(address: Address, default: str) -> IndexWish:
    """The options `index`, `m`, `ef_construct` and `ready_timeout_s` (BadOption for values that make no sense)."""
    kind = address.options.get("index", default).upper()
    if kind not in _TYPES:
        raise BadOption(f"index={address.options['index']} is not known", advice=f"known are {', '.join(_TYPES)}")
    given = [name for name in ("m", "ef_construct") if name in address.options]
    if given and kind != "HNSW":
        raise BadOption(f"{given[0]} is a setting of an HNSW index", advice="add index=HNSW")
    return IndexWish(
        kind,
        int(address.positive("m", 16)),
        int(address.positive("ef_construct", 200)),
        address.positive("ready_timeout_s", 3600.0),
    )


def indexes_of(connection: Connection, name: str) -> list[Any]:
    """The `IndexDescription`s of a collection; that it has none is an error for Milvus alone."""
    answer = connection.ask("DescribeIndex", milvus_pb2.DescribeIndexRequest(collection_name=name))
    if answer.status.code in _NO_INDEX or answer.status.error_code in _NO_INDEX:
        return []
    connection.require(answer.status)
    return list(answer.index_descriptions)


def make_indexes(connection: Connection, name: str, fields: tuple[VectorField, ...], wish: IndexWish) -> None:
    """An index for each vector that has none. Idempotent."""
    there = {index.field_name for index in indexes_of(connection, name)}
    for field in fields:
        if field_name(field) not in there:
            request = milvus_pb2.CreateIndexRequest(
                collection_name=name,
                field_name=field_name(field),
                index_name=field_name(field),
                extra_params=pairs(wish.settings(field)),
            )
            connection.call("CreateIndex", request)


def is_loaded(connection: Connection, name: str) -> bool:
    """Whether every record can be read.

    Asked for each partition: a server calls a collection loaded of which one partition is, and counts and gives that
    partition's records alone.
    """
    names = partitions.names_of(connection, name)
    request = milvus_pb2.GetLoadStateRequest(collection_name=name, partition_names=names)
    return bool(connection.call("GetLoadState", request).state == _LOADED)


def load(connection: Connection, name: str, timeout_s: float) -> None:
    """Load a collection and wait until it is. Idempotent."""
    if is_loaded(connection, name):
        return
    connection.call("LoadCollection", milvus_pb2.LoadCollectionRequest(collection_name=name, replica_number=1))
    _wait(lambda: is_loaded(connection, name), f"{connection.endpoint.url} is still loading", timeout_s)


def flush(connection: Connection, name: str, timeout_s: float) -> None:
    """Have all records stored for good and wait until they are: Milvus indexes nothing else.

    A server allows a flush every ten seconds or so; that is waited for as well.
    """
    url = connection.endpoint.url
    request = milvus_pb2.GetFlushStateRequest(collection_name=name)

    def flushed() -> bool:
        try:
            answer = connection.call("Flush", milvus_pb2.FlushRequest(collection_names=[name]))
        except Busy:
            return False
        request.segmentIDs.extend(answer.coll_segIDs[name].data if name in answer.coll_segIDs else [])
        request.flush_ts = answer.coll_flush_ts.get(name, 0)
        return True

    _wait(flushed, f"{url} cannot be flushed", timeout_s)
    if request.segmentIDs or request.flush_ts:
        _wait(lambda: bool(connection.call("GetFlushState", request).flushed), f"{url} is still flushing", timeout_s)


def wait_for_indexes(connection: Connection, name: str, timeout_s: float) -> None:
    """Wait until every index holds every record. Raises StoreRefused for an index that failed."""
    url = connection.endpoint.url

    def ready() -> bool:
        found = indexes_of(connection, name)
        failed = next((index for index in found if index.state == _FAILED), None)
        if failed is not None:
            raise StoreRefused(f"{url}: index {failed.index_name!r} failed: {failed.index_state_fail_reason}")
        return all(index.state == _FINISHED and not index.pending_index_rows for index in found)

    _wait(ready, f"{url} is still indexing", timeout_s)


def _wait(is_done: Callable[[], bool], says: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    for pause_s in _pauses():
        if is_done():
            return
        if time.monotonic() > deadline:
            raise RetryLater(
                f"{says} after {timeout_s:g} s",
                advice="the records are stored; `vecferry resume ID` waits on (or raise ?ready_timeout_s=)",
            )
        time.sleep(pause_s)


def _pauses() -> Iterator[float]:
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(_GROWTH * pause_s, _LONGEST_PAUSE_S)
