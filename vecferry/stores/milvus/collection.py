"""A collection of Milvus as source and target: the same code for a folder of milvus-lite and a server."""

from __future__ import annotations

import itertools
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TypeVar

import pyarrow as pa
from pymilvus.grpc_gen import milvus_pb2

from vecferry import batch as batches
from vecferry.contract import Target
from vecferry.errors import NotFound, StoreRefused, TargetNotEmpty, VecferryError
from vecferry.model import ALL_PARTS, IDS_ONLY, CollectionSchema, IdKind, JsonObject, Part, Slice, VectorKind
from vecferry.stores.milvus import columns, loading, schema, slicing
from vecferry.stores.milvus.checks import (
    Checked,
    Limits,
    check_batch,
    check_name,
    check_schema,
    known_ids,
    possible_name,
)
from vecferry.stores.milvus.connection import Connection
from vecferry.stores.milvus.failures import NotLoaded, TooLarge
from vecferry.stores.milvus.filters import KeyFilter
from vecferry.stores.milvus.hidden import refuse_hidden
from vecferry.stores.milvus.layout import Layout
from vecferry.stores.milvus.public_rows import PublicRows
from vecferry.stores.milvus.records import WireRows, counted

__all__ = ["MilvusCollection"]

_WINDOW_ROWS = 16_384  # a server's largest answer to a filter with a limit
_WINDOW_BYTES = 16 << 20
_FETCH_IDS = 1000
_Answer = TypeVar("_Answer")


class _Rows(Protocol):
    def ask(
        self, expression: str, layout: Layout, parts: frozenset[Part], limit: int | None = None
    ) -> pa.RecordBatch: ...


class MilvusCollection(Target):
    """One collection. Where it is, and how a connection is opened there, is told by `_connect` and `_is_there`."""

    limits = Limits()

    def __init__(self, url: str, name: str, wish: loading.IndexWish, *, public: bool, loads: bool) -> None:
        self.url = url
        self._name = name
        self._wish = wish
        self._public = public
        self._loads = loads
        self._lock = threading.RLock()
        self._opened: Connection | None = None
        self._known: Layout | None = None

    @abstractmethod
    def _connect(self) -> Connection:
        """Open a connection."""

    @abstractmethod
    def _is_there(self) -> bool:
        """Whether there is anything to connect to; opening what is absent could make it."""

    # Reading

    def exists(self) -> bool:
        if not self._is_there():
            return False
        try:
            self._described(self._connection())
        except NotFound:
            return False
        return True

    def describe(self) -> CollectionSchema:
        return schema.collection_schema(self._look(), self._name)

    def count(self) -> int:
        self._layout()
        return self._count("")

    def slices(self, n: int) -> list[Slice]:
        kind, before = self._layout().key.kind, self.count()
        found = slicing.cut(self._all_keys(), n, kind)
        if found.seen < min(before, self.count()):
            refuse_hidden(self._all_keys(), KeyFilter(self._layout().key), self._count, self.url)
        return found.slices

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        layout = self._layout()
        wanted = slicing.range_of(part.bounds, layout.key.kind, self.url)
        for page in self._windows(wanted, columns, layout):
            for start in range(0, page.num_rows, batch_rows):
                yield page.slice(start, batch_rows)

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        layout = self._layout()
        wanted = known_ids(ids, layout.key.kind)
        found = [
            self._fetch(wanted[start : start + _FETCH_IDS], layout, columns)
            for start in range(0, len(wanted), _FETCH_IDS)
        ]
        return pa.concat_batches(found) if found else batches.empty(layout.fields, columns)

    def close(self) -> None:
        with self._lock:
            opened, self._opened, self._known = self._opened, None, None
            if opened is not None:
                opened.close()

    def _count(self, expression: str) -> int:
        return self._reading(lambda: counted(self._connection(), self._name, expression))

    def _all_keys(self) -> Iterator[pa.StringArray]:
        """Every key, in order."""
        return map(batches.id_texts, self._windows(slicing.Range(None, None), IDS_ONLY, self._layout()))

    def _windows(self, wanted: slicing.Range, parts: frozenset[Part], layout: Layout) -> Iterator[pa.RecordBatch]:
        """The records of a range in the order of their keys; halved where an answer would be too large.

        A short answer is not the end: servers stop where one of their segments has no more.
        """
        keys, rows = KeyFilter(layout.key), _window_rows(layout, parts)
        expression = keys.within(wanted.start, wanted.stop)
        while expression:
            try:
                page = self._ask(expression, layout, parts, rows)
            except TooLarge:
                if rows == 1:
                    raise
                rows //= 2
                continue
            if not page.num_rows:
                return
            yield page
            expression = keys.after(_last_key(page, self.url), wanted.stop)

    def _fetch(self, ids: list[str], layout: Layout, parts: frozenset[Part]) -> pa.RecordBatch:
        """The present ones of these records; halved where an answer would be too large."""
        try:
            return self._ask(KeyFilter(layout.key).among(ids), layout, parts, None)
        except TooLarge:
            if len(ids) == 1:
                raise
            half = len(ids) // 2
            return pa.concat_batches([self._fetch(some, layout, parts) for some in (ids[:half], ids[half:])])

    def _ask(self, expression: str, layout: Layout, parts: frozenset[Part], limit: int | None) -> pa.RecordBatch:
        connection = self._connection()
        rows: _Rows = PublicRows(connection, self._name) if self._public else WireRows(connection, self._name)
        return self._reading(lambda: rows.ask(expression, layout, parts, limit))

    def _reading(self, ask: Callable[[], _Answer]) -> _Answer:
        """Ask, and once more after loading, where a server was started again or somebody released the collection."""
        try:
            return ask()
        except NotFound:
            self._known = None
            raise
        except NotLoaded:
            if not self._loads:
                raise
            loading.load(self._connection(), self._name, self._wish.timeout_s)
            return ask()

    # Writing

    def create(self, schema: CollectionSchema, mark: JsonObject) -> None:
        check_name(self._name, self.url)
        check_schema(schema, self.url)
        if self.exists():
            raise TargetNotEmpty(f"{self.url} exists", advice="choose another collection name")
        connection = self._connection()
        connection.call("CreateCollection", _creation(self._name, schema, mark, connection))
        try:
            if self._look().ours.get("mark") is None:
                raise StoreRefused(f"{self.url}: the server keeps no description of collections")
            self.begin_load()
        except VecferryError:
            self.drop()
            raise

    def write(self, batch: pa.RecordBatch) -> None:
        layout = self._layout()
        if not batch.num_rows:
            return
        checked = check_batch(batch, layout, self.limits, self.url)
        connection = self._connection()
        for start, rows in checked.cuts():
            method, request = _mutation(self._name, checked, layout, start, rows, lite=connection.is_lite)
            connection.call(method, request)

    def delete(self, ids: pa.RecordBatch) -> None:
        layout = self._layout()
        wanted = known_ids(ids, layout.key.kind)
        keys = KeyFilter(layout.key)
        for start in range(0, len(wanted), _FETCH_IDS):
            expression = keys.among(wanted[start : start + _FETCH_IDS])
            self._connection().call("Delete", milvus_pb2.DeleteRequest(collection_name=self._name, expr=expression))

    def drop(self) -> None:
        self._known = None
        if self.exists():
            self._connection().call("DropCollection", milvus_pb2.DropCollectionRequest(collection_name=self._name))

    def begin_load(self) -> None:
        """Indexes and loading, where a crash of `create` left them out: Milvus reads nothing without."""
        layout, connection = self._look().layout, self._connection()
        loading.make_indexes(connection, self._name, layout.fields, self._wish)
        loading.load(connection, self._name, self._wish.timeout_s)

    def finish_load(self) -> None:
        """Everything stored for good, indexed, loaded, and waited for."""
        self.begin_load()
        connection, timeout_s = self._connection(), self._wish.timeout_s
        loading.flush(connection, self._name, timeout_s)
        loading.wait_for_indexes(connection, self._name, timeout_s)
        loading.load(connection, self._name, timeout_s)

    # Milvus

    def _connection(self) -> Connection:
        with self._lock:
            if self._opened is None:
                self._opened = self._connect()
            return self._opened

    def _layout(self) -> Layout:
        """The fields of the collection, looked up once. Raises NotFound, and NotLoaded where nothing can be read."""
        with self._lock:
            if self._known is None:
                layout = self._look().layout
                self._require_loaded()
                self._known = layout
            return self._known

    def _require_loaded(self) -> None:
        connection = self._connection()
        if loading.is_loaded(connection, self._name):
            return
        if not self._loads:
            raise NotLoaded(
                f"{self.url} is not loaded, so that nothing of it can be read",
                advice="load it, or add ?load=true to have it loaded (it takes memory there, and stays loaded)",
            )
        loading.load(connection, self._name, self._wish.timeout_s)

    def _look(self) -> schema.Found:
        """What Milvus says of the collection now. Raises NotFound."""
        if not self._is_there():
            raise NotFound(f"{self.url} does not exist", advice="check the path")
        connection, name = self._connection(), self._name
        answer = self._found(connection)
        parted = connection.call("ShowPartitions", milvus_pb2.ShowPartitionsRequest(collection_name=name))
        listed = connection.ask("ListAliases", milvus_pb2.ListAliasesRequest(collection_name=name)).aliases
        aliases = {*listed, *answer.aliases}
        found = loading.indexes_of(connection, name)
        seen = schema.described(answer, found, list(parted.partition_names), list(aliases), self.url)
        if connection.is_lite:
            _refuse_nullable_vectors(seen.layout, self.url)
        return seen

    def _found(self, connection: Connection) -> Any:
        try:
            return self._described(connection)
        except NotFound as error:
            there = connection.ask("ShowCollections", milvus_pb2.ShowCollectionsRequest()).collection_names
            advice = f"found there: {', '.join(sorted(there)) or 'no collection'}"
            raise NotFound(str(error), advice=advice) from error

    def _described(self, connection: Connection) -> Any:
        if not connection.is_lite and not possible_name(self._name):
            raise NotFound(f"{self.url} does not exist: Milvus takes no such name")
        return connection.call("DescribeCollection", milvus_pb2.DescribeCollectionRequest(collection_name=self._name))

    def _live_layout(self) -> Layout | None:
        """The fields, or None where there is no collection."""
        if self._known is None and not self.exists():
            return None
        return self._known or self._look().layout


def _refuse_nullable_vectors(layout: Layout, url: str) -> None:
    for place in layout.vectors:
        if place.nullable and place.vector.kind is VectorKind.DENSE:
            raise StoreRefused(
                f"{url}: vector field {place.field!r} may be null, which milvus-lite stores as zeros: which ones are "
                "null cannot be told",
                advice="copy the collection to one whose vectors may not be null",
            )


def _window_rows(layout: Layout, parts: frozenset[Part]) -> int:
    row_bytes = 64 + 1024 * (Part.PAYLOAD in parts)
    if Part.VECTORS in parts:
        row_bytes += sum(4 * (field.dimension or 256) for field in layout.fields)
    return max(1, min(_WINDOW_ROWS, _WINDOW_BYTES // row_bytes))


def _last_key(page: pa.RecordBatch, url: str) -> str:
    """The greatest key of a page. Raises StoreRefused when the page is out of order: the rest would be lost."""
    texts = batches.id_texts(page)
    found = texts.cast(pa.int64()).to_pylist() if batches.single_kind(page) is IdKind.INT64 else texts.to_pylist()
    if any(one >= other for one, other in itertools.pairwise(found)):
        raise StoreRefused(f"{url} gives records out of the order of their keys, or a key twice; some would be lost")
    return str(found[-1])


def _creation(name: str, wanted: CollectionSchema, mark: JsonObject, connection: Connection) -> Any:
    return schema.collection_request(name, wanted, mark, lite=connection.is_lite)


def _mutation(name: str, checked: Checked, layout: Layout, start: int, rows: int, *, lite: bool) -> tuple[str, Any]:
    """The call that replaces some records whole: on a server an upsert. On milvus-lite an upsert keeps old keys of
    the payload, and an insert replaces."""
    kind = milvus_pb2.InsertRequest if lite else milvus_pb2.UpsertRequest
    request, batch = kind(collection_name=name, num_rows=rows), checked.batch.slice(start, rows)
    columns.add_key(request, layout.key, batches.id_texts(batch))
    for place in layout.vectors:
        if place.vector.kind is VectorKind.SPARSE:
            columns.add_sparse(request, place, batches.sparse_column(batch, place.vector.name))
        else:
            columns.add_dense(request, place, batches.dense_column(batch, place.vector.name))
    columns.add_dynamic(request, batches.payloads(batch))
    return ("Insert" if lite else "Upsert"), request
