"""Retries of single calls to a database, in this one layer: back-off with jitter, within a budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import stamina

from vecferry.errors import RetryLater

__all__ = ["call"]

T = TypeVar("T")


def call(budget_s: float, function: Callable[[], T]) -> T:
    """Call `function`, again while it raises RetryLater and `budget_s` seconds since the first one are not over.

    The budget is for the fault, not for the work: a slice that was read for an hour before the store went away
    is tried again as often as one that was not. The last RetryLater passes through; every other error at once.
    """
    try:
        return function()
    except RetryLater:
        if budget_s <= 0:
            raise
    for attempt in stamina.retry_context(
        on=RetryLater, attempts=None, timeout=budget_s, wait_initial=0.2, wait_max=10.0, wait_jitter=1.0
    ):
        with attempt:
            return function()
    raise AssertionError("unreachable: the last attempt returns or raises")
