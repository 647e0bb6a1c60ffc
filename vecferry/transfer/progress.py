"""Progress as data: phases count rows here, whoever shows them (terminal, Prefect artifact) listens."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["Progress", "advance", "begin", "listening", "provisional"]


@dataclass(frozen=True, slots=True)
class Progress:
    """`done` of `total` rows of one phase of one migration; `total` is None where nobody knows it."""

    migration: str
    phase: str
    done: int
    total: int | None


Listener = Callable[[Progress], None]
_lock = threading.Lock()
_state: dict[tuple[str, str], Progress] = {}
_listeners: list[Listener] = []


@contextlib.contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener` on every change, from the thread that made it. It must be quick."""
    with _lock:
        _listeners.append(listener)
    try:
        yield
    finally:
        with _lock:
            _listeners.remove(listener)


def begin(migration: str, phase: str, total: int | None, done: int = 0) -> None:
    """A phase starts (or goes on after a resume with `done` rows)."""
    with _lock:
        _state[migration, phase] = progress = Progress(migration, phase, done, total)
    _tell(progress)


def advance(migration: str, phase: str, rows: int) -> None:
    """`rows` more rows of the phase are done."""
    with _lock:
        known = _state.get((migration, phase), Progress(migration, phase, 0, None))
        _state[migration, phase] = progress = Progress(migration, phase, known.done + rows, known.total)
    _tell(progress)


@contextlib.contextmanager
def provisional(moved: Callable[[int], None]) -> Iterator[Callable[[int], None]]:
    """A counter that passes rows on to `moved`, and takes all of them back when the block fails: it will run anew."""
    done = 0

    def count(rows: int) -> None:
        nonlocal done
        done += rows
        moved(rows)

    try:
        yield count
    except BaseException:
        moved(-done)
        raise


def _tell(progress: Progress) -> None:
    with _lock:
        listeners = list(_listeners)
    for listener in listeners:
        listener(progress)
