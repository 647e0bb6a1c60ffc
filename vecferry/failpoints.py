"""Named points where a test stops the process. Free when off: one look at an empty dict.

`VECFERRY_FAILPOINTS="transfer.part_written=kill@3,ledger.switched=kill"` kills the process with
SIGKILL when the named point is passed for the third, or first, time.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

__all__ = ["arm", "reached"]


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


_active: dict[str, int] = {}
_passed: Counter[str] = Counter()


def arm(text: str) -> None:
    """Replace the points that fire; `""` switches all off."""
    _active.clear()
    _active.update(_parse(text))
    _passed.clear()


def reached(name: str) -> None:
    """Mark that the run passed the point `name`; dies here if a test asked for it."""
    if not _active or name not in _active:
        return
    _passed[name] += 1
    if _passed[name] == _active[name]:
        os.kill(os.getpid(), signal.SIGKILL)


arm(os.environ.get("VECFERRY_FAILPOINTS", ""))
