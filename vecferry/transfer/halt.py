"""Stopping the slices of one run that are still under way, when another one failed or a person interrupted."""

from __future__ import annotations

import threading

from vecferry.errors import Stopped

__all__ = ["check", "halt"]

_halted: set[int] = set()
_lock = threading.Lock()


def halt(token: int) -> None:
    """From now on the run that holds this lease's token stops at its next batch. A later run has another token."""
    with _lock:
        _halted.add(token)


def check(token: int) -> None:
    """Raise Stopped when the run was halted."""
    if token in _halted:
        raise Stopped("the run was stopped; what is finished stays finished")
