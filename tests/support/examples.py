"""How many examples a property test tries: a third in `make test`, all in `make test-all`."""

from __future__ import annotations

import os

__all__ = ["examples"]

SEARCHING = bool(os.environ.get("VECFERRY_TEST_SEARCH"))


def examples(count: int) -> int:
    """`count` in the long run, a third of it (at least 10) in the short one."""
    return count if SEARCHING else max(10, count // 3)
