"""A target that is asked before each call whether that call may still be made."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa

from vecferry.contract import Target
from vecferry.forwarding import ForwardingTarget

__all__ = ["GuardedTarget"]


class GuardedTarget(ForwardingTarget):
    """`check` runs before each write and each delete, the repeated ones too, and raises where it may not be.

    `calls` counts those that were made.
    """

    def __init__(self, inner: Target, check: Callable[[], object]) -> None:
        super().__init__(inner)
        self._check = check
        self.calls = 0

    def write(self, batch: pa.RecordBatch) -> None:
        self._check()
        self.calls += 1
        self.inner.write(batch)

    def delete(self, ids: pa.RecordBatch) -> None:
        self._check()
        self.calls += 1
        self.inner.delete(ids)

    def around(self, inner: Target) -> Target:
        return GuardedTarget(inner, self._check)
