"""Stopping the slices of one run that are still under way, when another one failed or a person interrupted."""

from __future__ import annotations

import threading

from vecferry.errors import Stopped

__all__ = ["check", "halt"]

_halted: set[tuple[str, int]] = set()
_lock = threading.Lock()


def halt(ledger: str, token: int) -> None:
    """From now on the run that holds this token stops at its next batch. A later run has another one."""
    with _lock:
        _halted.add((ledger, token))


def check(ledger: str, token: int) -> None:
    """Raise Stopped when the run was halted."""
    if (ledger, token) in _halted:
        raise Stopped("the run was stopped; what is finished stays finished")
