"""Retries of single calls to a database, in this one layer: back-off with jitter, within a budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import stamina

from vecferry.errors import RetryLater

__all__ = ["call"]

T = TypeVar("T")


def call(budget_s: float, function: Callable[[], T]) -> T:
    """Call `function`, again while it raises RetryLater and `budget_s` seconds are not over.

    The last RetryLater passes through; every other error passes at once.
    """
    if budget_s <= 0:
        return function()
    for attempt in stamina.retry_context(
        on=RetryLater, attempts=None, timeout=budget_s, wait_initial=0.2, wait_max=10.0, wait_jitter=1.0
    ):
        with attempt:
            return function()
    raise AssertionError("unreachable: the last attempt returns or raises")
