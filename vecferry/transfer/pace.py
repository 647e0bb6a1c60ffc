"""A limit on rows per second, to spare a production source."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["Pace", "pace_of"]


class Pace:
    """Lets rows pass no faster than `rows_per_s` over the whole process; None is no limit."""

    def __init__(
        self,
        rows_per_s: float | None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._seconds_per_row = 0.0 if rows_per_s is None else 1.0 / rows_per_s
        self._clock, self._sleep = clock, sleep
        self._free_at = clock()
        self._lock = threading.Lock()

    def take(self, rows: int) -> None:
        """Wait until `rows` more rows may pass. Rows that are taken back (below zero) buy no haste."""
        if not self._seconds_per_row or rows <= 0:
            return
        with self._lock:
            start = max(self._free_at, self._clock())
            self._free_at = start + rows * self._seconds_per_row
        wait_s = start - self._clock()
        if wait_s > 0:
            self._sleep(wait_s)


_paces: dict[str, Pace] = {}
_lock = threading.Lock()


def pace_of(name: str, rows_per_s: float | None) -> Pace:
    """The pace that all slices of one migration share in this process."""
    with _lock:
        return _paces.setdefault(f"{name}@{rows_per_s}", Pace(rows_per_s))
