"""Waiting until a call of unknown fate can take no effect any more."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["wait"]

_STEP_S = 1.0


def wait(seconds_s: float, check: Callable[[], None], sleep: Callable[[float], None] = time.sleep) -> None:
    """Wait, and call `check` every second: it raises when the run may not go on."""
    left_s = seconds_s
    while left_s > 0:
        check()
        sleep(min(_STEP_S, left_s))
        left_s -= _STEP_S
