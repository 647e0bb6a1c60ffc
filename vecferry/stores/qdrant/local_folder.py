"""The folder of qdrant-client's local mode: what is in it, who has it open, and whether it changed. Reads only.

`meta.json` holds every collection's configuration and the aliases, `collection/NAME/storage.sqlite` the points.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from vecferry import canonical
from vecferry.errors import BadOption, BadRecord, NotFound, RetryLater, StoreRefused

__all__ = ["LocalFolder"]

_META, _LOCK, _DATABASE = "meta.json", ".lock", "storage.sqlite"
_OLD_DATABASE = "storage.dbm"
_LOCKS = Path("/proc/locks")
_HEADER_BYTES = 100  # of SQLite: holds the change counter, which every transaction moves


class LocalFolder:
    """`DIR` and one of its collections. Raises BadOption for a name that no collection can have."""

    def __init__(self, folder: Path, collection: str, url: str) -> None:
        if collection in (".", "..") or "/" in collection or "\0" in collection:
            raise BadOption(f"{collection!r} cannot be the name of a collection")
        self.folder = folder
        self.collection = collection
        self.database = folder / "collection" / collection / _DATABASE
        self._url = url

    def names(self) -> list[str]:
        """The folder's collections."""
        return sorted(self._meta()["collections"])

    def config(self) -> dict[str, Any]:
        """The collection's configuration as it was asked for. Raises NotFound."""
        found = self._meta()["collections"].get(self.collection)
        if not isinstance(found, dict):
            raise NotFound(f"{self._url}: {self.folder / _META} names no collection {self.collection!r}")
        return found

    def text_indexes(self) -> dict[str, Any]:
        """The only payload indexes that local mode keeps (clients before 1.20 keep none)."""
        found = (self._meta().get("text_indexes") or {}).get(self.collection)
        return found if isinstance(found, dict) else {}

    def aliases(self) -> list[str]:
        """Other names of the collection."""
        return [alias for alias, leads_to in (self._meta().get("aliases") or {}).items() if leads_to == self.collection]

    def _meta(self) -> dict[str, Any]:
        place = self.folder / _META
        try:
            found = canonical.parse_strict(place.read_bytes().decode())
        except FileNotFoundError:
            raise NotFound(f"{self._url}: {self.folder} is no folder of qdrant-client's local mode") from None
        except (OSError, ValueError) as error:
            raise StoreRefused(f"{place} cannot be read: {error}") from error
        if not isinstance(found, dict) or not isinstance(found.get("collections"), dict):
            raise StoreRefused(f"{place} names no collections", advice="restore the file from a copy")
        return found

    def require_readable(self) -> None:
        """Raise unless the database is there, whole, and nobody writes it.

        NotFound, StoreRefused for a form that is not read, RetryLater while a client has the folder open.
        """
        self.config()
        self._require_closed()
        if not self.database.is_file():
            self._refuse_absent()
        for ending in ("-journal", "-wal"):
            left = self.database.with_name(_DATABASE + ending)
            if left.exists() and left.stat().st_size:
                raise StoreRefused(
                    f"{self._url}: {left.name} shows that a client died while it wrote",
                    advice="open a copy of the folder once with qdrant_client, which undoes the broken write",
                )

    def _refuse_absent(self) -> None:
        if self.database.with_name(_OLD_DATABASE).exists():
            raise StoreRefused(
                f"{self._url} is stored as dbm, by a client before 1.1.7",
                advice="open a copy once with a qdrant-client between 1.1.7 and 1.19, which turns it into SQLite",
            )
        raise NotFound(f"{self._url}: {self.database} is missing")

    def _require_closed(self) -> None:
        """Look whether a client holds the folder's lock, without taking it: a client that starts would be refused."""
        lock = self.folder / _LOCK
        if not lock.exists() or not _LOCKS.exists():
            return
        found = lock.stat()
        place = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        for line in _LOCKS.read_text().splitlines():
            words = line.split()
            if "->" not in words and place in words and "WRITE" in words:
                raise RetryLater(
                    f"{self._url} is open in a client (process {words[4]})",
                    advice="close the client: what it writes meanwhile would be read in part",
                )

    def fingerprint(self) -> str:
        """A text that changes with every change of the collection."""
        try:
            state = self.database.stat()
            with self.database.open("rb") as file:
                header = file.read(_HEADER_BYTES)
        except FileNotFoundError:
            raise NotFound(f"{self._url}: {self.database} is missing") from None
        except OSError as error:
            raise BadRecord(f"{self.database} cannot be read: {error}") from error
        config = canonical.encode(self.config())
        return hashlib.sha256(b"%d %d " % (state.st_size, state.st_mtime_ns) + header + config).hexdigest()
