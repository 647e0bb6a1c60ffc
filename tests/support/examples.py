"""How many examples a property test tries: a fifth in `make test`, all in `make test-all`."""

from __future__ import annotations

import os

__all__ = ["examples"]

SEARCHING = bool(os.environ.get("VECFERRY_TEST_SEARCH"))


def examples(count: int) -> int:
    """`count` in the long run, a fifth of it (at least 5) in the short one."""
    return count if SEARCHING else min(count, max(5, count // 5))
