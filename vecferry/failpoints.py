"""Named points where a test stops the process. Free when off: one look at a module constant.

`VECFERRY_FAILPOINTS="transfer.part_written=kill@3,ledger.switched=kill"` kills the process with
SIGKILL when the named point is passed for the third, or first, time.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

__all__ = ["reached"]


def _parse(text: str) -> dict[str, int]:
    """The pass number at which each named point fires."""
    plan: dict[str, int] = {}
    for item in filter(None, text.split(",")):
        name, _, action = item.partition("=")
        verb, _, number = action.partition("@")
        if verb != "kill":
            raise ValueError(f"failpoint {name!r} has the unknown action {verb!r}; only kill is known")
        plan[name] = int(number or 1)
    return plan


_ACTIVE = _parse(os.environ.get("VECFERRY_FAILPOINTS", ""))
_passed: Counter[str] = Counter()


def reached(name: str) -> None:
    """Mark that the run passed the point `name`; dies here if a test asked for it."""
    if not _ACTIVE or name not in _ACTIVE:
        return
    _passed[name] += 1
    if _passed[name] == _ACTIVE[name]:
        os.kill(os.getpid(), signal.SIGKILL)
