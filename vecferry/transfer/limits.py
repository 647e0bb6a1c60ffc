"""What bounds the transfers of one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vecferry.transfer.pace import Pace

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a transfer: rows in a batch, seconds of retries for one call, and rows per second.

    `check` is called before each batch and raises when this run may not go on (its lease was lost).
    `moved` is told of rows that were moved.
    """

    batch_rows: int
    retry_budget_s: float
    pace: Pace
    check: Callable[[], None]
    moved: Callable[[int], None]
