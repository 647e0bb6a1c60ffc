"""Who in this process uses a Chroma folder, and how.

Chroma's engine and the direct reader must not meet on one folder: when the reader closes `chroma.sqlite3`, the
system drops every lock that this process holds on it, the engine's among them. Other processes are looked for
before the engine is started: a second writer makes a running server's reads fail until it is restarted.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import chromadb
from chromadb.config import Settings
from chromadb.errors import ChromaError

from vecferry.errors import StoreRefused
from vecferry.stores.chroma.folder import ChromaFolder
from vecferry.stores.chroma.folder_access import DATABASE_FILE, Database, writers_of
from vecferry.stores.chroma.layout import check_current

__all__ = ["close_client", "close_folder", "has_database", "open_client", "open_folder"]

_lock = threading.RLock()
_reading: Counter[Path] = Counter()
_writing: Counter[Path] = Counter()


def has_database(path: Path) -> bool:
    """Whether a Chroma folder is there."""
    return (path / DATABASE_FILE).is_file()


def open_folder(path: Path) -> ChromaFolder:
    """Read a folder directly. Raises StoreRefused while anything writes to it, NotFound where none is."""
    place = path.resolve()
    with _lock:
        if _writing[place]:
            raise _clash(path)
        folder = ChromaFolder(path)
        _reading[place] += 1
        return folder


def close_folder(folder: ChromaFolder) -> None:
    """The end of `open_folder`."""
    with _lock:
        folder.close()
        _reading[folder.path.resolve()] -= 1


def open_client(path: Path) -> Any:
    """Start Chroma's engine on a folder, which is made if it is not there; all handles of a folder share it.

    Raises StoreRefused when it is read directly, used by another process, of an older Chroma, or cannot be opened.
    """
    place = path.resolve()
    with _lock:
        if _reading[place]:
            raise _clash(path)
        if not _writing[place] and has_database(place):
            _check_idle(place)
        try:
            client = chromadb.PersistentClient(str(place), settings=Settings(anonymized_telemetry=False))
        except (ChromaError, ValueError, OSError) as error:
            raise StoreRefused(f"Chroma cannot open {path}: {error}", advice="check the path and its rights") from error
        _writing[place] += 1
        return client


def close_client(client: Any, path: Path) -> None:
    """The end of `open_client`: with the last handle the engine stops."""
    with _lock:
        client.close()
        _writing[path.resolve()] -= 1


def _clash(path: Path) -> StoreRefused:
    return StoreRefused(
        f"{path} cannot be read directly and written in one process",
        advice="take another folder for the target, or a Chroma server (chroma://) for one of the two",
    )


def _check_idle(place: Path) -> None:
    """Opening a folder of an older Chroma would upgrade it for good, so that is refused; a killed write is settled by
    Chroma itself.
    """
    database = place / DATABASE_FILE
    others = [holder for holder in writers_of(database) if holder.pid != os.getpid()]
    if others:
        raise StoreRefused(
            f"{place} is in use by {', '.join(map(str, others))}",
            advice="stop it, or write through its server (chroma://host:port/collection)",
        )
    if writers_of(database):
        return
    reader = Database(place)
    try:
        check_current(reader, str(place))
    finally:
        reader.close()
