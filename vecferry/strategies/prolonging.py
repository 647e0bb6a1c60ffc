"""A pause that lasts as long as the run lives: prolonged in the background, up to the limit that was agreed to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vecferry.errors import LeaseLost, Stopped, UnsafeRoute, VecferryError
from vecferry.strategies.runner import Ref
from vecferry.strategies.steps.hooks import prolong_pause
from vecferry.strategies.work import open_work
from vecferry.transfer import halt

__all__ = ["prolonged"]

_BEATS = 4
"""In the time that a pause has, so that one may fail and enough is left for undoing."""


@contextmanager
def prolonged(ref: Ref, token: int) -> Iterator[None]:
    """Prolong this pause meanwhile. Where it is lost, or its limit comes near, the run is halted and that is raised."""
    config = open_work(ref).config
    every_s = min(config.hooks.pause_ttl_s, config.pause_limit_s) / _BEATS
    prolong_pause(ref, token)
    stop, problems = threading.Event(), list[VecferryError]()
    beat = threading.Thread(target=_beat, args=(ref, token, every_s, stop, problems), name="pause", daemon=True)
    beat.start()
    try:
        yield
    except Stopped as error:
        if problems:
            raise problems[0] from error
        raise
    finally:
        stop.set()
        beat.join()
    if problems:
        raise problems[0]
    prolong_pause(ref, token)


def _beat(ref: Ref, token: int, every_s: float, stop: threading.Event, problems: list[VecferryError]) -> None:
    missed = False
    while not stop.wait(every_s):
        try:
            prolong_pause(ref, token)
            missed = False
        except VecferryError as error:
            if missed or isinstance(error, UnsafeRoute | LeaseLost):
                problems.append(error)
                halt.halt(ref.ledger, ref.token)
                return
            missed = True  # the next beat tries again
