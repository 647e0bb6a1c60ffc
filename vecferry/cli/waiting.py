"""Retries, told to whoever waits: a store that does not answer must not look like a hang."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from stamina.instrumentation import RetryDetails, get_on_retry_hooks, set_on_retry_hooks

__all__ = ["retries_told"]


@contextmanager
def retries_told(say: Callable[[str], None]) -> Iterator[None]:
    """Meanwhile, say what failed and when it is tried again."""

    def tell(details: RetryDetails) -> None:
        say(f"{details.caused_by}; trying again in {details.wait_for:.1f} s")

    before = get_on_retry_hooks()
    set_on_retry_hooks([tell])
    try:
        yield
    finally:
        set_on_retry_hooks(before)
