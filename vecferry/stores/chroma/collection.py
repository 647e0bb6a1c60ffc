"""A collection through Chroma's client, as source and target: the same code for a folder's engine and a server."""

from __future__ import annotations

import contextlib
import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry.conditions import Condition
from vecferry.contract import Target
from vecferry.errors import NotFound
from vecferry.forwarding import NarrowedSource
from vecferry.model import ALL_PARTS, CollectionSchema, JsonObject, Metric, Part, Slice, VectorField
from vecferry.stores.chroma import records, replacing
from vecferry.stores.chroma import schema as schemas
from vecferry.stores.chroma.capabilities import MAX_BATCH_ROWS
from vecferry.stores.chroma.checks import check_batch, check_name, check_schema, known_ids, possible_name
from vecferry.stores.chroma.connection import Connection, Model
from vecferry.stores.chroma.failures import LostVector
from vecferry.stores.chroma.filters import where_of
from vecferry.stores.chroma.in_flight import in_order
from vecferry.stores.chroma.slicing import IdList

__all__ = ["ClientCollection"]

_PAGE_ROWS = 1000
_PAGE_BYTES, _NUMBER_BYTES = 8 << 20, 12


class ClientCollection(Target):
    """One collection. Where it is, and how a client is opened there, is told by `_connect` and `_is_there`.

    `_pages_in_flight`: pages that are asked for while the caller works on one.
    """

    _pages_in_flight = 0

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self._name = name
        self._lock = threading.RLock()
        self._opened: Connection | None = None
        self._known: Model | None = None
        self._listed: IdList | None = None

    @abstractmethod
    def _connect(self) -> Connection:
        """Open a client."""

    @abstractmethod
    def _is_there(self) -> bool:
        """Whether there is anything to connect to; opening what is absent could make it."""

    # Reading

    def exists(self) -> bool:
        if not self._is_there() or not possible_name(self._name):
            return False
        with self._lock:
            self._known = self._connection().model(self._name)
            return self._known is not None

    def describe(self) -> CollectionSchema:
        if not self.exists():
            raise self._not_found()
        model = self._model()
        return schemas.collection_schema(self._name, self._field(model), model.metadata, model.configuration_json or {})

    def identity(self) -> str:
        return str(self._model().id)

    def count(self) -> int:
        model = self._model()
        return self._connection().count(model)

    def slices(self, n: int) -> list[Slice]:
        return self._ids().slices(n)

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        yield from self._read(self._ids(), part, columns, batch_rows)

    def narrowed(self, conditions: Sequence[Condition], beside: str = "") -> NarrowedSource | None:
        where = where_of(conditions)
        if beside or where is None:
            return None

        def read(part: Slice, columns: frozenset[Part], batch_rows: int) -> Iterator[pa.RecordBatch]:
            listed = IdList(self._connection().all_ids(self._model(), where))
            return self._read(listed, part, columns, batch_rows)

        return NarrowedSource(self, read)

    def _read(self, listed: IdList, part: Slice, columns: frozenset[Part], batch_rows: int) -> Iterator[pa.RecordBatch]:
        """The records of a slice whose ids are listed."""
        wanted = listed.within(part.bounds, self.url)
        rows = min(batch_rows, self._page_rows(columns))
        pages = (wanted.slice(start, rows) for start in range(0, len(wanted), rows))
        read = in_order(lambda ids: self._fetch(ids.to_pylist(), columns), pages, self._pages_in_flight)
        with contextlib.closing(read):
            yield from (page for page in read if page.num_rows)

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        return self._fetch(known_ids(ids), columns)

    def close(self) -> None:
        with self._lock:
            opened, self._opened = self._opened, None
            self._known = self._listed = None
            if opened is not None:
                opened.close()

    # Writing

    def create(self, schema: CollectionSchema, mark: JsonObject) -> None:
        check_name(self._name, self.url)
        space, dimension = check_schema(schema, self.url)
        with self._lock:
            self._connection().create(self._name, space, schemas.metadata_for(mark, dimension))
            self._known = self._listed = None

    def write(self, batch: pa.RecordBatch) -> None:
        model = self._model()
        field = self._field(model)
        checked = check_batch(batch, field, self.url)
        connection = self._connection()
        for chosen in replacing.cuts(checked.sizes_bytes, min(MAX_BATCH_ROWS, connection.max_batch_rows())):
            replacing.replace_rows(connection, model, checked, chosen, is_cosine=field.metric is Metric.COSINE)
        self._listed = None

    def delete(self, ids: pa.RecordBatch) -> None:
        model, wanted = self._model(), known_ids(ids)
        connection = self._connection()
        rows = min(_PAGE_ROWS, connection.max_batch_rows())
        for start in range(0, len(wanted), rows):
            connection.delete(model, wanted[start : start + rows])
        self._listed = None

    def drop(self) -> None:
        with self._lock:
            if self.exists():
                self._drop_lists()
                self._connection().drop(self._name)
            self._known = self._listed = None

    def _drop_lists(self) -> None:
        """Delete records with lists one by one: a dropped collection's lists would appear in other collections."""
        connection, model = self._connection(), self._model()
        ids = connection.all_ids(model)
        rows = min(_PAGE_ROWS, connection.max_batch_rows())
        for start in range(0, len(ids), rows):
            holding = replacing.with_lists(connection.get(model, ids[start : start + rows], ["metadatas"]))
            if holding:
                connection.delete(model, holding)

    # The client

    def _connection(self) -> Connection:
        with self._lock:
            if self._opened is None:
                self._opened = self._connect()
            return self._opened

    def _model(self) -> Model:
        """The collection; looked up once, and anew until its first record told the dimension. Raises NotFound."""
        with self._lock:
            if (self._known is None or self._known.dimension is None) and not self.exists():
                raise self._not_found()
            return self._known

    def _not_found(self) -> NotFound:
        known = self._connection().names() if self._is_there() else []
        return NotFound(f"{self.url} does not exist", advice=f"found there: {', '.join(known) or 'no collection'}")

    def _field(self, model: Model) -> VectorField:
        settings = model.configuration_json or {}
        space = schemas.settle_space(self._name, settings, model.metadata, lambda: self._probe(model))
        return schemas.vector_field(space, model.dimension, model.metadata)

    def _probe(self, model: Model) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float] | None:
        """Ask the index for one distance, with a vector whose length tells the metrics apart."""
        if not model.dimension:
            return None
        query = np.linspace(0.5, 2.0, model.dimension).astype(np.float32).astype(np.float64)
        found = self._connection().nearest(model, query)
        return None if found is None else (query, *found)

    def _ids(self) -> IdList:
        """All ids, listed once for this handle and again after it wrote; another's changes show in a new handle."""
        model = self._model()
        with self._lock:
            if self._listed is None:
                self._listed = IdList(self._connection().all_ids(model))
            return self._listed

    def _page_rows(self, parts: frozenset[Part]) -> int:
        """Rows of one answer: a number of decimal text takes about 12 bytes."""
        dimension = (self._model().dimension or 1) if Part.VECTORS in parts else 1
        by_size = max(1, _PAGE_BYTES // (_NUMBER_BYTES * dimension))
        return min(_PAGE_ROWS, by_size, self._connection().page_rows())

    def _fetch(self, ids: Sequence[str], parts: frozenset[Part]) -> pa.RecordBatch:
        model = self._model()
        field, connection = self._field(model), self._connection()
        rows = self._page_rows(parts)
        if Part.VECTORS in parts:
            connection.try_reader(model, ids, records.includes(parts))
        pages = [
            page
            for start in range(0, len(ids), rows)
            for page in self._pages(connection, model, field, ids[start : start + rows], parts)
        ]
        return records.join(pages, field, parts)

    def _pages(
        self, connection: Connection, model: Model, field: VectorField, ids: Sequence[str], parts: frozenset[Part]
    ) -> Iterator[pa.RecordBatch]:
        """The present records of a page. One lost vector makes Chroma refuse the page: it is halved until it is found,
        and that record comes without its vector."""
        try:
            answer = connection.get(model, ids, records.includes(parts))
            if answer["ids"]:
                yield records.answer_batch(answer, field, parts, self.url)
        except LostVector:
            if len(ids) == 1:
                answer = connection.get(model, ids, records.includes(parts - {Part.VECTORS}))
                yield records.answer_batch(answer, field, parts, self.url, lost=True)
                return
            half = len(ids) // 2
            yield from self._pages(connection, model, field, ids[:half], parts)
            yield from self._pages(connection, model, field, ids[half:], parts)
