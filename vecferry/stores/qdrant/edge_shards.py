"""The embedded engine's handles: one a folder and process, shared by all stores that have it open.

The engine locks a folder even inside one process. The last `release` closes the handle, so that who opens
the folder next reads what is on disk.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import qdrant_edge as engine

from vecferry.errors import VecferryError
from vecferry.stores.qdrant.failures import engine_failure

__all__ = ["Lease", "close_all", "engine_errors"]


@dataclass(slots=True)
class _Shared:
    shard: engine.EdgeShard
    users: int = 0
    written: bool = False


_open: dict[Path, _Shared] = {}
_lock = threading.RLock()


class Lease:
    """One store's use of a folder's handle: taken with the first call, given back with `release`."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder = folder.absolute()
        self._url = url
        self._shared: _Shared | None = None

    def shard(self, *, to_write: bool = False) -> engine.EdgeShard:
        """The handle. Raises RetryLater when another process has the folder, NotFound when it is gone."""
        with _lock:
            if self._shared is None or _open.get(self._folder) is not self._shared:
                self._shared = _acquire(self._folder, self._url)
            self._shared.written |= to_write
            return self._shared.shard

    def release(self) -> None:
        """Give the handle back; the last one closes it. Idempotent."""
        with _lock:
            shared, self._shared = self._shared, None
            if shared is None or _open.get(self._folder) is not shared:
                return
            shared.users -= 1
            if not shared.users:
                _close(self._folder, self._url)


def close_all(folder: Path, url: str) -> None:
    """Close a folder's handle whoever uses it, because the folder goes."""
    with _lock:
        if folder.absolute() in _open:
            _close(folder.absolute(), url)


def _acquire(folder: Path, url: str) -> _Shared:
    if folder not in _open:
        with engine_errors(url):
            _open[folder] = _Shared(engine.EdgeShard.load(str(folder)))
        _give_back_memory()
    _open[folder].users += 1
    return _open[folder]


def _close(folder: Path, url: str) -> None:
    shared = _open.pop(folder)
    with engine_errors(url):
        try:
            if shared.written:
                shared.shard.flush()
        finally:
            shared.shard.close()
            _give_back_memory()


def _give_back_memory() -> None:
    """Let the system have what the engine freed: it replays its whole log when it opens, 28 KB a record of 384 numbers.

    glibc would keep that, once for each thread that ever opened a folder. Other C libraries have no such call.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@contextlib.contextmanager
def engine_errors(url: str) -> Iterator[None]:
    """Turn the engine's errors, which are all of one class, into vecferry's."""
    try:
        yield
    except VecferryError:
        raise
    except (ValueError, TypeError) as error:
        raise engine_failure(url, str(error)) from error
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise engine_failure(url, str(error)) from error
