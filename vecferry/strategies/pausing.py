"""The parts of a cutover that the application takes part in, in their order; a way back runs the same."""

from __future__ import annotations

from vecferry.errors import VecferryError
from vecferry.strategies import steps
from vecferry.strategies.runner import Ref, Runner

__all__ = ["follow", "pause", "release"]


def pause(run: Runner, ref: Ref, approval: int | None = None, workspace: str | None = None) -> int:
    """Check the hooks, pause the writes, wait for the last ones; the pause's token. A failure releases them again."""
    run.run(steps.check_hooks, ref, workspace)
    try:
        token = run.run(steps.pause_writes, ref, approval, workspace)
        run.run(steps.wait_for_writes, ref, workspace)
    except VecferryError as error:
        _release_after(run, ref, workspace, error)
        raise
    return token


def follow(run: Runner, ref: Ref, workspace: str | None = None) -> None:
    """Let the application follow the route that the ledger moved, and read back all that follows it."""
    run.run(steps.tell_switch, ref, workspace)
    run.run(steps.read_back, ref, workspace)


def release(run: Runner, ref: Ref, workspace: str | None = None) -> None:
    """Release the writes; on every way out, and last of all after a switch."""
    run.run(steps.release_writes, ref, workspace)


def _release_after(run: Runner, ref: Ref, workspace: str | None, error: VecferryError) -> None:
    try:
        release(run, ref, workspace)
    except VecferryError as second:
        error.advice = "; ".join(filter(None, (error.advice, str(second), second.advice)))
