"""The core with what surrounds every request: the log, the ordered faults, the key."""

import hmac
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from .catalog import Catalog
from .errors import ApiError, Failure
from .faults import Faults
from .request_log import READS, Request, RequestLog
from .snapshots import Snapshots
from .verbs import Verbs

VERSION = "1.19.0"
TITLE = "qdrant - vector search engine"


class Service:
    """One server's state, shared by its wires."""

    def __init__(self, folder: Path, api_key: str | None, read_only_key: str | None = None) -> None:
        self.catalog = Catalog(folder)
        self.verbs = Verbs(self.catalog)
        self.snapshots = Snapshots(folder / "snapshots", self.catalog)
        self.requests = RequestLog()
        self.faults = Faults()
        self._api_key = api_key
        self._read_only_key = read_only_key

    @contextmanager
    def request(self, wire: str, method: str, collection: str, encodings: str = "") -> Iterator[None]:
        """Log a request and let it meet its faults; the work is done inside."""
        resolved = self.catalog.resolve(collection)
        self.requests.add(Request(method, collection, resolved, wire, encodings))
        with self.faults.around(method, resolved):
            yield

    def check_key(self, headers: Mapping[str, str], method: str = "") -> None:
        """Refuse a request without the key, if the server has one, and a write with the key that may only read.

        `headers` have lower-case names, `method` is that of the request log.
        """
        if self._api_key is None:
            return
        given = headers.get("api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if not given:
            message = "Must provide an API key or an Authorization bearer token"
            raise ApiError(Failure.UNAUTHENTICATED, message)
        if self._read_only_key is not None and hmac.compare_digest(given.encode(), self._read_only_key.encode()):
            if method and method not in READS:
                raise ApiError(Failure.FORBIDDEN, "Forbidden: Global write access is required")
            return
        if not hmac.compare_digest(given.encode(), self._api_key.encode()):
            raise ApiError(Failure.UNAUTHENTICATED, "Invalid API key or JWT")

    def close(self) -> None:
        self.catalog.close()
