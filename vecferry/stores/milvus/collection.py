"""A collection of Milvus as source and target: the same code for a folder of milvus-lite and a server."""

from __future__ import annotations

import itertools
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

import pyarrow as pa
from pymilvus.grpc_gen import milvus_pb2

from vecferry import batch as batches
from vecferry.address import Address
from vecferry.conditions import Condition
from vecferry.contract import Reader, Target
from vecferry.errors import NotFound, StoreRefused, TargetNotEmpty, VecferryError
from vecferry.forwarding import NarrowedSource
from vecferry.model import ALL_PARTS, IDS_ONLY, CollectionSchema, IdKind, JsonObject, Part, Slice, VectorKind
from vecferry.stores.milvus import loading, partitions, schema, slicing
from vecferry.stores.milvus.checks import (
    Limits,
    check_batch,
    check_name,
    check_schema,
    known_ids,
    possible_name,
)
from vecferry.stores.milvus.connection import Connection
from vecferry.stores.milvus.failures import NoRight, NoSuchCall, NotLoaded, TooLarge, status_failure
from vecferry.stores.milvus.filters import KeyFilter, filter_of
from vecferry.stores.milvus.hidden import refuse_hidden
from vecferry.stores.milvus.layout import Layout
from vecferry.stores.milvus.narrowed import EVERYTHING, Narrower
from vecferry.stores.milvus.probing import wire_is_exact
from vecferry.stores.milvus.public_rows import PublicRows
from vecferry.stores.milvus.records import WireRows, counted

__all__ = ["MilvusCollection"]

_WINDOW_ROWS = 16_384  # a server's largest answer to a filter with a limit
_WINDOW_BYTES = 16 << 20
_FETCH_IDS = 1000
_Answer = TypeVar("_Answer")


class _Rows(Protocol):
    def ask(
        self, expression: str, layout: Layout, parts: frozenset[Part], limit: int | None = None, partition: str = ""
    ) -> pa.RecordBatch: ...

    def put(self, batch: pa.RecordBatch, layout: Layout) -> None: ...


class MilvusCollection(Target):
    """One collection. Where it is, and how a connection is opened there, is told by `_connect` and `_is_there`."""

    limits = Limits()

    def __init__(self, address: Address, wish: loading.IndexWish, reader: Reader, *, loads: bool) -> None:
        """`loads`: a collection that is not loaded is loaded. The option `partition_field` is read here."""
        self.url = str(address)
        self._name = address.collection()
        self._wish = wish
        self._public = reader is Reader.PUBLIC or not wire_is_exact()
        self._loads = loads
        self._partition_field = address.options.get("partition_field", "")
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
        found = self._look()
        rows = self._partition_rows(found)
        found = replace(found, partition_rows=rows, partition_field=self._partition_field)
        return schema.collection_schema(found, self._name)

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
        return self._pages(part, columns, batch_rows, EVERYTHING)

    def narrowed(self, conditions: Sequence[Condition], beside: str = "") -> NarrowedSource | None:
        named = "" if beside else partitions.named(conditions, self._partition_field)
        only = Narrower(partition=named) if named else Narrower(filter_of(conditions, beside, self._layout()))
        return None if only == EVERYTHING else NarrowedSource(self, partial(self._pages, only=only))

    def _pages(
        self, part: Slice, columns: frozenset[Part], batch_rows: int, only: Narrower
    ) -> Iterator[pa.RecordBatch]:
        layout = self._layout()
        wanted = slicing.range_of(part.bounds, layout.key.kind, self.url)
        for partition in self._partitions(columns):
            if partition and only.partition not in (None, partition):
                continue
            for page in self._windows(wanted, columns, layout, partition, only):
                for start in range(0, page.num_rows, batch_rows):
                    yield page.slice(start, batch_rows)

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        layout = self._layout()
        wanted = known_ids(ids, layout.key.kind)
        found = [
            self._fetch(wanted[start : start + _FETCH_IDS], layout, columns, partition)
            for partition in self._partitions(columns)
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

    def _partitions(self, parts: frozenset[Part]) -> list[str]:
        """Which are read one by one: each where payloads tell it, otherwise all at once, which is `""`."""
        if not self._partition_field or Part.PAYLOAD not in parts:
            return [""]
        return partitions.names_of(self._connection(), self._name)

    def _partition_rows(self, found: schema.Found) -> dict[str, int]:
        """The records of each partition; none of one alone, of those that Milvus made, where nothing is loaded."""
        connection, name = self._connection(), self._name
        if len(found.partitions) < 2 or found.partition_key:
            return {}
        if connection.is_lite:
            return {one: partitions.stored_rows(connection, name, one) for one in found.partitions}
        if not loading.is_loaded(connection, name):
            return {}
        return {one: counted(connection, name, partition=one) for one in found.partitions}

    def _all_keys(self) -> Iterator[pa.StringArray]:
        """Every key, in order."""
        return map(batches.id_texts, self._windows(slicing.Range(None, None), IDS_ONLY, self._layout()))

    def _windows(
        self,
        wanted: slicing.Range,
        parts: frozenset[Part],
        layout: Layout,
        partition: str = "",
        only: Narrower = EVERYTHING,
    ) -> Iterator[pa.RecordBatch]:
        """The records of a range in the order of their keys; halved where an answer would be too large.

        A short answer is not the end: servers stop where one of their segments has no more.
        """
        keys, rows = KeyFilter(layout.key), _window_rows(layout, parts)
        expression = keys.within(wanted.start, wanted.stop)
        while expression:
            try:
                page = self._ask(only.within(expression), layout, parts, rows, partition)
            except TooLarge:
                if rows == 1:
                    raise
                rows //= 2
                continue
            if not page.num_rows:
                return
            yield page
            expression = keys.after(_last_key(page, self.url), wanted.stop)

    def _fetch(self, ids: list[str], layout: Layout, parts: frozenset[Part], partition: str) -> pa.RecordBatch:
        """The present ones of these records; halved where an answer would be too large."""
        try:
            return self._ask(KeyFilter(layout.key).among(ids), layout, parts, None, partition)
        except TooLarge:
            if len(ids) == 1:
                raise
            half = len(ids) // 2
            halves = (ids[:half], ids[half:])
            return pa.concat_batches([self._fetch(some, layout, parts, partition) for some in halves])

    def _ask(
        self, expression: str, layout: Layout, parts: frozenset[Part], limit: int | None, partition: str
    ) -> pa.RecordBatch:
        page = self._reading(lambda: self._rows().ask(expression, layout, parts, limit, partition))
        return partitions.labelled(page, self._partition_field, partition, self.url) if partition else page

    def _rows(self) -> _Rows:
        return (PublicRows if self._public else WireRows)(self._connection(), self._name)

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
        if self._partition_field:
            raise StoreRefused(f"{self.url} is read with its partitions as payload keys; it is not written so")
        checked, into = check_batch(batch, layout, self.limits, self.url), self._rows()
        for start, rows in checked.cuts():
            into.put(checked.batch.slice(start, rows), layout)

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
            self._refuse_aliased()
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

    def _refuse_aliased(self) -> None:
        """Milvus before 2.4 drops a collection with its aliases, and whoever asks for one of those finds nothing."""
        answer = self._described(self._connection())
        if answer.schema.name != self._name:
            raise StoreRefused(f"{self.url} is an alias of the collection {answer.schema.name!r}: nothing was dropped")
        aliases = self._aliases(answer)
        if aliases:
            raise StoreRefused(
                f"{self.url} serves the alias {aliases[0]!r}, which would go with it: nothing was dropped",
                advice="point that alias at another collection first",
            )

    def _aliases(self, answer: Any) -> list[str]:
        """The aliases of the collection: those of its description, and those that are listed to who may list them."""
        try:
            listed = self._connection().ask("ListAliases", milvus_pb2.ListAliasesRequest(collection_name=self._name))
        except (NoRight, NoSuchCall):
            return sorted(answer.aliases)
        return sorted({*listed.aliases, *answer.aliases})

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
                f"{self.url} is not loaded, or not every partition of it: not all of its records can be read",
                advice="load it whole, or add ?load=true to have it loaded (it takes memory there, and stays loaded)",
            )
        loading.load(connection, self._name, self._wish.timeout_s)

    def _look(self) -> schema.Found:
        """What Milvus says of the collection now. Raises NotFound."""
        if not self._is_there():
            raise NotFound(f"{self.url} does not exist", advice="check the path")
        connection, name = self._connection(), self._name
        answer = self._found(connection)
        found, parted = loading.indexes_of(connection, name), partitions.names_of(connection, name)
        seen = schema.described(answer, found, parted, self._aliases(answer), self.url, lite=connection.is_lite)
        if connection.is_lite:
            _refuse_nullable_vectors(seen.layout, self.url)
        return seen

    def _found(self, connection: Connection) -> Any:
        try:
            return self._described(connection)
        except NotFound as error:
            raise NotFound(str(error), advice=f"found there: {_there(connection)}") from error

    def _described(self, connection: Connection) -> Any:
        if not connection.is_lite and not possible_name(self._name):
            raise NotFound(f"{self.url} does not exist: Milvus takes no such name")
        return connection.call("DescribeCollection", milvus_pb2.DescribeCollectionRequest(collection_name=self._name))

    def _live_layout(self) -> Layout | None:
        """The fields, or None where there is no collection."""
        if self._known is None and not self.exists():
            return None
        return self._known or self._look().layout


def _there(connection: Connection) -> str:
    """What could have been meant: the collections of the database, or the databases, for a message."""
    answer = connection.ask("ShowCollections", milvus_pb2.ShowCollectionsRequest())
    if status_failure("", answer.status) is None:
        return ", ".join(sorted(answer.collection_names)) or "no collection"
    databases = connection.ask("ListDatabases", milvus_pb2.ListDatabasesRequest()).db_names
    return f"the databases {', '.join(sorted(databases))}" if databases else "no such database"


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
