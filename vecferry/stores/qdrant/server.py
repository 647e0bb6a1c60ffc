"""`qdrant://HOST:6334/COLLECTION` and `qdrants://` (TLS): a Qdrant server or cloud.

gRPC where it answers, else REST (`?wire=grpc|rest`, `?rest_port=6333`, `?timeout_s=60`); behind a proxy with a path
REST alone (`?prefix=/qdrant`). TLS by the system's certificates or those of a file (`?ca=/etc/ca.pem`). The fast
reader takes answers apart as bytes, the public one is the official client in a connection of its own. Over gRPC
integers beyond int64 are refused (the capabilities say so, and a mapping keeps them as text); stored ones are read
over REST.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Protocol

import pyarrow as pa
from pydantic import ValidationError
from qdrant_client import models

from vecferry import batch as columns
from vecferry.address import Address
from vecferry.capabilities import Capabilities
from vecferry.conditions import Condition
from vecferry.contract import Aliasing, Reader
from vecferry.errors import NotFound, RetryLater, StoreRefused, TargetNotEmpty, VecferryError
from vecferry.forwarding import NarrowedSource
from vecferry.model import (
    ALL_PARTS,
    IDS_ONLY,
    CollectionSchema,
    Feature,
    JsonObject,
    Part,
    RecordId,
    Slice,
    VectorField,
)
from vecferry.stores.qdrant import capabilities, carrying, fast_path, server_schema, slicing
from vecferry.stores.qdrant.checks import Checked, check_batch, known_ids
from vecferry.stores.qdrant.connection import Connection, Endpoint, Wire, endpoint, server_errors
from vecferry.stores.qdrant.filters import filter_of, is_allowed
from vecferry.stores.qdrant.grpc_points import GrpcPoints
from vecferry.stores.qdrant.loading import switch_indexing_off, switch_indexing_on
from vecferry.stores.qdrant.payloads import INT64_MAX, UINT64_MAX
from vecferry.stores.qdrant.public_points import PublicPoints
from vecferry.stores.qdrant.records import driver_id
from vecferry.stores.qdrant.rest_points import RestPoints
from vecferry.stores.qdrant.schema import ID_KINDS, check_fields
from vecferry.stores.qdrant.snapshots import ServerSnapshots

__all__ = ["ServerStore", "open_source", "open_target"]

_REQUEST_BYTES = 16 << 20  # gRPC has no limit and REST one of 32 MiB, but proxies have their own
_FETCH_IDS = 1000
_COUNTED_IDS = 20_000
_SAMPLED_IDS = 10_000


class _Points(Protocol):
    def pages(
        self,
        wanted: slicing.Range,
        fields: tuple[VectorField, ...],
        parts: frozenset[Part],
        rows: int,
        only: models.Filter | None = None,
    ) -> Iterator[pa.RecordBatch]: ...

    def get(self, ids: pa.RecordBatch, fields: tuple[VectorField, ...], parts: frozenset[Part]) -> pa.RecordBatch: ...


class _WritablePoints(_Points, Protocol):
    def upsert(self, rows: Checked, max_rows: int, max_bytes: int) -> None: ...


def open_source(address: Address, reader: Reader = Reader.FAST) -> ServerStore:
    """Open an existing collection. Raises NotFound, RetryLater when no server answers, StoreRefused for a wrong key."""
    store = open_target(address, reader)
    store.require()
    return store


def open_target(address: Address, reader: Reader = Reader.FAST) -> ServerStore:
    """Open a collection that need not exist; the first call connects."""
    address.only_options("wire", "rest_port", "prefix", "ca", "timeout_s", "ready_timeout_s")
    ready_timeout_s = address.positive("ready_timeout_s", 3600.0)
    return ServerStore(endpoint(address), address.collection(), reader, ready_timeout_s)


class ServerStore(Aliasing):
    """One collection of a server. Its name may be an alias where it is only read."""

    def __init__(self, place: Endpoint, collection: str, reader: Reader, ready_timeout_s: float) -> None:
        self.url = place.url
        self._collection = collection
        self._connection = Connection(place)
        self._reader = reader
        self._ready_timeout_s = ready_timeout_s
        self._known: models.CollectionInfo | None = None

    # Reading

    def capabilities(self) -> Capabilities:
        return capabilities.server(rest=self._connection.wire is Wire.REST)

    def exists(self) -> bool:
        with server_errors(self.url):
            return bool(self._connection.client.collection_exists(self._collection))

    def require(self) -> None:
        """Raise NotFound unless the collection is there."""
        if not self.exists():
            raise NotFound(f"{self.url}: the server has no collection {self._collection!r}")

    def describe(self) -> CollectionSchema:
        info = self._look()
        fields = server_schema.fields_of(info)
        with server_errors(self.url):
            aliases = self._connection.client.get_collection_aliases(self._collection).aliases
        exposed = self._connection.endpoint.key_is_exposed
        return CollectionSchema(
            name=self._collection,
            vectors=fields,
            id_kinds=ID_KINDS,
            features=tuple(server_schema.features(info, [alias.alias_name for alias in aliases])),
            mark=server_schema.mark_of(info, self.url),
            missing_vectors=max((self._count_without(field.name) for field in fields), default=0),
            notes=tuple(_notes(exposed=exposed)),
        )

    def count(self) -> int:
        self._require_nothing_deferred(self._look())
        with server_errors(self.url):
            return int(self._connection.client.count(self._collection, exact=True).count)

    def slices(self, n: int) -> list[Slice]:
        return slicing.cut(self._sample(), n) if n > 1 else slicing.cut((), 1)

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        yield from self._pages(part, columns, batch_rows, None)

    def narrowed(self, conditions: Sequence[Condition], beside: str = "") -> NarrowedSource | None:
        info = self._look()
        only = filter_of(conditions, beside, info.payload_schema)
        keys = {condition.field for condition in conditions} | {beside} - {""}
        if only is None or not is_allowed(keys, len(conditions) + bool(beside), info):
            return None
        return NarrowedSource(self, partial(self._pages, only=only))

    def _pages(
        self, part: Slice, columns: frozenset[Part], batch_rows: int, only: models.Filter | None
    ) -> Iterator[pa.RecordBatch]:
        wanted, info = slicing.range_of(part.bounds, self.url), self._look()
        self._require_nothing_deferred(info)
        rows = min(batch_rows, server_schema.limits_of(info).scroll_rows)
        yield from self._reading().pages(wanted, server_schema.fields_of(info), columns, rows, only)

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        info, wanted = self._look(), known_ids(ids)
        fields, rows = server_schema.fields_of(info), min(_FETCH_IDS, server_schema.limits_of(info).scroll_rows)
        found = [
            self._reading().get(wanted.slice(start, rows), fields, columns) for start in range(0, len(wanted), rows)
        ]
        return pa.concat_batches(found) if found else _empty(fields, columns)

    def close(self) -> None:
        self._known = None
        self._connection.close()

    # Writing

    def create(self, schema: CollectionSchema, mark: JsonObject) -> None:
        check_fields(schema.vectors, self.url)
        if self.exists():
            raise TargetNotEmpty(f"{self.url} exists", advice="choose another collection name")
        try:
            with server_errors(self.url):
                carrying.create(self._connection.client, self._collection, schema, mark)
        except ValidationError as error:
            raise StoreRefused(f"{self.url} cannot be created with the settings of the source: {error}") from error
        except VecferryError:
            self._drop_half_made(mark)
            raise
        if server_schema.mark_of(self._look(), self.url) is None:
            self.drop()
            raise StoreRefused(
                f"{self.url}: the server keeps no collection metadata", advice="use Qdrant 1.16 or later"
            )

    def _drop_half_made(self, mark: JsonObject) -> None:
        """Remove what `create` made before it failed: only what bears its very mark, for another may be faster."""
        with contextlib.suppress(VecferryError):
            if self.exists() and server_schema.mark_of(self._look(), self.url) == mark:
                self.drop()

    def obstacles(self, features: Sequence[Feature]) -> dict[str, str]:
        with server_errors(self.url):
            return carrying.obstacles(self._connection.client, self._collection, features)

    def write(self, batch: pa.RecordBatch) -> None:
        if not batch.num_rows:
            return
        info = self._known or self._look()
        points = self._writing()
        integer_max = UINT64_MAX if isinstance(points, RestPoints) else INT64_MAX
        rows = check_batch(batch, server_schema.fields_of(info), integer_max, self.url)
        points.upsert(rows, server_schema.limits_of(info).upsert_rows, _REQUEST_BYTES)

    def delete(self, ids: pa.RecordBatch) -> None:
        wanted = [slicing.plain_id(item) for item in columns.record_ids(known_ids(ids))]
        rows = server_schema.limits_of(self._known or self._look()).upsert_rows
        for start in range(0, len(wanted), rows):
            with server_errors(self.url):
                selector = models.PointIdsList(points=list(wanted[start : start + rows]))
                result = self._connection.client.delete(self._collection, selector, wait=True)
            if result.status is not models.UpdateStatus.COMPLETED:
                raise RetryLater(f"{self.url}: a delete was taken but not applied in time ({result.status.value})")

    def drop(self) -> None:
        self._known = None
        with server_errors(self.url):
            self._connection.client.delete_collection(self._collection)

    def begin_load(self) -> None:
        with server_errors(self.url):
            carrying.complete(self._connection.client, self._collection)
        switch_indexing_off(self._connection.client, self._collection, self.url)

    def finish_load(self) -> None:
        switch_indexing_on(self._connection.client, self._collection, self.url, self._ready_timeout_s)
        with server_errors(self.url):
            carrying.settle(self._connection.client, self._collection, self.url)
        self._known = None

    def snapshots(self) -> ServerSnapshots:
        return ServerSnapshots(self._connection, self._collection, self._ready_timeout_s)

    # Aliases

    def alias_target(self, alias: str) -> str | None:
        with server_errors(self.url):
            return carrying.alias_target(self._connection.client, alias)

    def point_alias(self, alias: str) -> None:
        # One creation re-points; a list with a deletion is not all-or-nothing.
        creation = models.CreateAlias(collection_name=self._collection, alias_name=alias)
        with server_errors(self.url):
            self._connection.client.update_collection_aliases([models.CreateAliasOperation(create_alias=creation)])

    # The server

    def _look(self) -> models.CollectionInfo:
        with server_errors(self.url):
            self._known = self._connection.client.get_collection(self._collection)
        return self._known

    def _reading(self) -> _Points:
        return PublicPoints(self._connection, self._collection) if self._reader is Reader.PUBLIC else self._writing()

    def _writing(self) -> _WritablePoints:
        if self._connection.wire is Wire.REST:
            return RestPoints(self._connection, self._collection)
        kind = GrpcPoints if fast_path.fits() else PublicPoints
        return kind(self._connection, self._collection)

    def _require_nothing_deferred(self, info: models.CollectionInfo) -> None:
        deferred = info.update_queue.deferred_points if info.update_queue else None
        if deferred:
            raise RetryLater(
                f"{self.url} hides {deferred} points until they are optimised (prevent_unoptimized)",
                advice="wait until the server has optimised them",
            )

    def _count_without(self, vector: str) -> int:
        lacking = models.Filter(must_not=[models.HasVectorCondition(has_vector=vector)])
        with server_errors(self.url):
            return int(self._connection.client.count(self._collection, count_filter=lacking, exact=True).count)

    def _sample(self) -> list[RecordId]:
        """All ids of a small collection, random ones of a large one."""
        if self.count() <= _COUNTED_IDS:
            pages = self.read(slicing.cut((), 1)[0], IDS_ONLY, _COUNTED_IDS)
            return list(itertools.chain.from_iterable(columns.record_ids(page) for page in pages))
        rows = min(_SAMPLED_IDS, server_schema.limits_of(self._known or self._look()).scroll_rows)
        query = models.SampleQuery(sample=models.Sample.RANDOM)
        with server_errors(self.url):
            points = self._connection.client.query_points(self._collection, query=query, limit=rows).points
        return [driver_id(point.id) for point in points]


def _notes(*, exposed: bool) -> Iterator[str]:
    if exposed:
        yield "the key travels unencrypted; qdrants:// encrypts"
    if not fast_path.fits():
        yield "the installed qdrant-client has other messages than the fast path knows: gRPC goes through the client"


def _empty(fields: tuple[VectorField, ...], parts: frozenset[Part]) -> pa.RecordBatch:
    return columns.empty(fields, parts)
