"""The parts of a cutover that the application takes part in, in their order; a way back runs the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from vecferry.errors import VecferryError
from vecferry.strategies import steps
from vecferry.strategies.runner import Ref, Runner

__all__ = ["MAX_LAST_PASSES", "follow", "pause", "release", "released_after_failure", "undone_after_failure"]

MAX_LAST_PASSES = 8
"""A store that is not still after so many passes under a pause is being written to."""


def pause(run: Runner, ref: Ref, approval: int | None = None) -> int:
    """Check the hooks, pause the writes, wait for the last ones; the pause's token. A failure releases them again."""
    run.run(steps.check_hooks, ref)
    with released_after_failure(run, ref):
        token = run.run(steps.pause_writes, ref, approval)
        run.run(steps.wait_for_writes, ref)
    return token


def follow(run: Runner, ref: Ref) -> None:
    """Let the application follow the route that the ledger moved, and read back all that follows it."""
    run.run(steps.tell_switch, ref)
    run.run(steps.read_back, ref)


def release(run: Runner, ref: Ref) -> None:
    """Release the writes; on every way out, and last of all after a switch."""
    run.run(steps.release_writes, ref)


@contextmanager
def released_after_failure(run: Runner, ref: Ref) -> Iterator[None]:
    """Release the writes where what is done here fails."""
    try:
        yield
    except VecferryError as error:
        _also(error, lambda: release(run, ref))
        raise


@contextmanager
def undone_after_failure(run: Runner, ref: Ref, undo: Callable[[Ref], None]) -> Iterator[None]:
    """Undo what is done here, whatever ends it. `undo` is a step that does nothing once the route has moved."""
    done = False
    try:
        yield
        done = True
    except VecferryError as error:
        done = True
        _also(error, lambda: run.run(undo, ref))
        raise
    finally:
        if not done:
            undo(ref)


def _also(error: VecferryError, mend: Callable[[], None]) -> None:
    """Mend, and let a failure of that stand beside the first one."""
    try:
        mend()
    except VecferryError as second:
        error.advice = "; ".join(filter(None, (error.advice, str(second), second.advice)))
