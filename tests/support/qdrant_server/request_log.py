"""What was asked of the server, so that a test can assert what was never asked."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

READS = frozenset(
    [
        "health",
        "list_collections",
        "get_collection",
        "collection_exists",
        "list_aliases",
        "list_collection_aliases",
        "scroll",
        "retrieve",
        "count",
        "query",
        "query_batch",
    ]
)


@dataclass(frozen=True)
class Request:
    """One request: its method, the collection that it named, the one behind that name, and the wire.

    `encodings` are the compressions that a REST client says it reads.
    """

    method: str
    named: str
    collection: str
    wire: str
    encodings: str = ""

    @property
    def is_write(self) -> bool:
        """Whatever is not known to only read counts as a write."""
        return self.method not in READS


class RequestLog:
    """Requests in the order of their arrival; may be read while the server works."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: list[Request] = []

    def add(self, request: Request) -> None:
        with self._lock:
            self._requests.append(request)

    def clear(self) -> None:
        with self._lock:
            self._requests.clear()

    def __iter__(self) -> Iterator[Request]:
        with self._lock:
            return iter(list(self._requests))

    def __len__(self) -> int:
        with self._lock:
            return len(self._requests)

    def of(self, method: str, collection: str | None = None) -> list[Request]:
        """The requests of one method, for one collection or all."""
        return [r for r in self if r.method == method and collection in (None, r.collection)]

    def writes(self, collection: str | None = None) -> list[Request]:
        """The requests that may change a collection (through an alias too), or any collection."""
        return [r for r in self if r.is_write and collection in (None, r.collection)]
