"""Who in this process uses a folder of milvus-lite: its engine is started once, and stopped with the last handle."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from milvus_lite.adapter.grpc.server import start_server_in_thread
from milvus_lite.exceptions import DataDirLockedError, MilvusLiteError

from vecferry.errors import RetryLater, StoreRefused

__all__ = ["close_folder", "has_collections", "open_folder"]

_STOP_TIMEOUT_S = 5.0

# What it refuses comes back as an answer; it would print a traceback beside it.
logging.getLogger("milvus_lite").addHandler(logging.NullHandler())


@dataclass(slots=True)
class _Engine:
    server: Any
    database: Any
    port: int
    handles: int = 0


_lock = threading.Lock()
_engines: dict[Path, _Engine] = {}


def has_collections(path: Path) -> bool:
    """Whether a folder of milvus-lite is there. Raises StoreRefused for a file of its older versions."""
    if path.is_file():
        raise StoreRefused(
            f"{path} is a file of milvus-lite 2, which the engine of today cannot read",
            advice="read it through the server of its own version; docs/stores/milvus.md says how",
        )
    return (path / "collections").is_dir()


def open_folder(path: Path) -> int:
    """Start the engine on a folder, which is made if it is not there; the port on loopback where it answers.

    Raises RetryLater while another process has the folder, StoreRefused when it cannot be opened.
    """
    place = path.resolve()
    with _lock:
        engine = _engines.get(place) or _start(place)
        _engines[place] = engine
        engine.handles += 1
        return engine.port


def _start(place: Path) -> _Engine:
    try:
        # One worker: the engine writes, and reads while it writes, one call at a time.
        return _Engine(*start_server_in_thread(str(place), max_workers=1))
    except DataDirLockedError as error:
        raise RetryLater(
            f"{place} is open in another process: {error}", advice="milvus-lite takes one process a folder"
        ) from error
    except (MilvusLiteError, OSError, RuntimeError) as error:
        raise StoreRefused(
            f"milvus-lite cannot open {place}: {error}", advice="check the path and its rights"
        ) from error


def close_folder(path: Path) -> None:
    """The end of `open_folder`: with the last handle the engine stores everything and stops."""
    place = path.resolve()
    with _lock:
        engine = _engines[place]
        engine.handles -= 1
        if not engine.handles:
            del _engines[place]
            engine.server.stop(_STOP_TIMEOUT_S).wait()
            engine.database.close()
