"""Chroma's client, on a server or in this process: each call with vecferry's errors instead of its own.

Both kinds of client have the same interface inside (`ServerAPI`), which is used as it is: the documented
`Collection` above it makes a Python object of each vector, so only the public reader goes through it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from chromadb.api.models.Collection import Collection

from vecferry.errors import NotFound
from vecferry.stores.chroma.answers import AnswerReader, same_answers
from vecferry.stores.chroma.failures import LostVector, translated

__all__ = ["Connection", "Model", "Rows"]

Model = Any
"""A collection as the client knows it: `id`, `name`, `metadata`, `dimension`, `configuration_json`."""

_PROBE_ROWS = 3
_MOST_VARIABLES = 32_766  # sqlite's limit: more ids in one request fail on the server


@dataclass(frozen=True, slots=True)
class Rows:
    """Records as a write takes them; a metadata may hold None for a key that shall go."""

    ids: Sequence[str]
    vectors: npt.NDArray[np.float32]
    documents: Sequence[str | None]
    metadatas: Sequence[Mapping[str, Any] | None]
    uris: Sequence[str | None]


@dataclass(slots=True)
class Connection:
    """One client in one tenant and database. Every method may raise what `failures` knows.

    `public`: records are read through the client's documented `Collection`. `reader` parses a server's answers faster;
    it is used once `try_reader` found it right. `quota_rows`: the
    most records that one request may ask for or send, where a service has such a limit.
    """

    api: Any
    url: str
    tenant: str
    database: str
    release: Callable[[], None]
    public: bool = False
    reader: AnswerReader | None = None
    quota_rows: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _checks: tuple[int, bool] | None = None
    _reader_is_right: bool | None = None

    # Collections

    def model(self, name: str) -> Model | None:
        """A collection that exists, or None. Never makes one."""
        try:
            with translated(self.url):
                return self.api.get_collection(name, **self._where())
        except NotFound:
            return None

    def names(self) -> list[str]:
        """The names of all collections, sorted."""
        with translated(self.url):
            return sorted(model.name for model in self.api.list_collections(**self._where()))

    def create(self, name: str, space: str, metadata: Mapping[str, Any]) -> None:
        """Make a collection. Raises TargetNotEmpty when there is one of this name."""
        with translated(self.url):
            self.api.create_collection(
                name, configuration={"hnsw": {"space": space}}, metadata=dict(metadata), **self._where()
            )

    def drop(self, name: str) -> None:
        """Delete a collection; nothing happens when there is none."""
        try:
            with translated(self.url):
                self.api.delete_collection(name, **self._where())
        except NotFound:
            return

    # Records

    def count(self, model: Model) -> int:
        """The exact number of records."""
        with translated(self.url):
            return int(self.api._count(model.id, **self._where()))

    def all_ids(self, model: Model, where: Mapping[str, Any] | None = None) -> list[str]:
        """Every id, or those of a filter over metadata, in no order that lasts."""
        if self.quota_rows is None:
            return self._get(model, include=[], where=where)
        ids: dict[str, None] = {}
        while page := self._get(model, include=[], where=where, limit=self.quota_rows, offset=len(ids)):
            ids.update(dict.fromkeys(page))
        return list(ids)

    def _get(self, model: Model, **request: Any) -> list[str]:
        with translated(self.url):
            ids: list[str] = self.api._get(model.id, **request, **self._where())["ids"]
            return ids

    def get(self, model: Model, ids: Sequence[str], include: list[str]) -> Mapping[str, Any]:
        """The present ones of these records, as columns by name. Raises LostVector for vectors that are not there."""
        if self.reader is not None and self._reader_is_right and "embeddings" in include:
            return self.reader.get(model.id, ids, include)
        return self._client_get(model, ids, include)

    def _client_get(self, model: Model, ids: Sequence[str], include: list[str]) -> Mapping[str, Any]:
        with translated(self.url):
            if self.public:
                shown = Collection(client=self.api, model=model, embedding_function=None)
                answer: Mapping[str, Any] = shown.get(ids=list(ids), include=include)
            else:
                answer = self.api._get(model.id, ids=list(ids), include=include, **self._where())
            return answer

    def try_reader(self, model: Model, ids: Sequence[str], include: list[str]) -> None:
        """Compare `reader` with the client on a few records, once for this connection; it is used from then on, or not.

        Where none of them is there, or one has lost its vector, nothing is decided, and the client goes on reading.
        """
        if self.reader is None or self._reader_is_right is not None:
            return
        few = ids[:_PROBE_ROWS]
        try:
            expected, found = self._client_get(model, few, include), self.reader.get(model.id, few, include)
        except LostVector:
            return
        if expected["ids"] and expected["ids"] == found["ids"]:
            is_right = same_answers(found, expected)
            with self._lock:  # several threads may try it at once, and one difference is enough
                self._reader_is_right = is_right and self._reader_is_right is not False

    def upsert(self, model: Model, rows: Rows) -> None:
        """Write records; each is merged into the stored one of its id."""
        with translated(self.url):
            self.api._upsert(**_request(model, rows), embeddings=list(rows.vectors), **self._where())

    def update(self, model: Model, rows: Rows) -> None:
        """Merge metadata, documents and uris into stored records, whose vectors stay; absent ids are ignored."""
        with translated(self.url):
            self.api._update(**_request(model, rows), embeddings=None, **self._where())

    def delete(self, model: Model, ids: Sequence[str]) -> None:
        """Delete records; absent ids are ignored."""
        with translated(self.url):
            self.api._delete(model.id, ids=list(ids), **self._where())

    def nearest(self, model: Model, query: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float] | None:
        """The nearest stored vector `(dim,)` and its distance as the index says it; None where there is none."""
        with translated(self.url):
            answer = self.api._query(
                model.id,
                query_embeddings=[query.astype(np.float32)],
                n_results=1,
                include=["embeddings", "distances"],
                **self._where(),
            )
        [vectors], [distances] = answer["embeddings"], answer["distances"]
        return (np.asarray(vectors[0], dtype=np.float64), float(distances[0])) if len(distances) else None

    # The engine

    def page_rows(self) -> int:
        """The most records that one request may ask for."""
        return self.quota_rows or _MOST_VARIABLES

    def max_batch_rows(self) -> int:
        """The most records that one upsert may have."""
        return min(self._preflight()[0], self.page_rows())

    def exact_vectors(self) -> bool:
        """Whether vectors travel as bits (base64, or not at all) and not as decimal text."""
        return self._preflight()[1]

    def _preflight(self) -> tuple[int, bool]:
        with self._lock, translated(self.url):
            if self._checks is None:
                encodes = getattr(self.api, "supports_base64_encoding", None)
                self._checks = int(self.api.get_max_batch_size()), encodes is None or bool(encodes())
            return self._checks

    def _where(self) -> dict[str, str]:
        return {"tenant": self.tenant, "database": self.database}

    def close(self) -> None:
        """Give the client back."""
        self.release()


def _request(model: Model, rows: Rows) -> dict[str, Any]:
    return {
        "collection_id": model.id,
        "ids": list(rows.ids),
        "metadatas": list(rows.metadatas),
        "documents": list(rows.documents),
        "uris": list(rows.uris),
    }
