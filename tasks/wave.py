"""Several workspaces of a rolling migration in one go, each as one task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect import Task

from tasks.making import step
from vecferry.strategies import steps, waves
from vecferry.strategies.returning import Settlement
from vecferry.strategies.runner import Ref
from vecferry.strategies.waves import Done
from vecferry.transfer.brakes import Release
from vecferry.transfer.differences import Side
from vecferry.transfer.late import Late

__all__ = ["TASKS"]


@step("require rolling")
def require_rolling(ref: Ref) -> None:
    """Stop where a store is served as a whole."""
    steps.require_rolling(ref)


@step("find workspaces")
def find_workspaces(ref: Ref) -> None:
    """Count the groups of records; store them as workspaces."""
    steps.find_workspaces(ref)


@step("plan of a workspace")
def decide_workspace(ref: Ref) -> None:
    """The plan of one workspace."""
    steps.decide_workspace(ref)


@step("fill workspaces")
def fill_wave(ref: Ref, numbers: Sequence[int]) -> list[Done]:
    """Copy, catch up and validate."""
    return waves.fill_wave(ref, numbers)


@step("forget a copy")
def forget_copy(ref: Ref) -> int:
    """Take back what was copied of one workspace."""
    return steps.forget_copy(ref)


@step("forget copies")
def forget_wave(ref: Ref, numbers: Sequence[int]) -> list[Done]:
    """Take back copies that did not end."""
    return waves.forget_wave(ref, numbers)


@step("lead workspaces forward again")
def forward_wave(ref: Ref, numbers: Sequence[int]) -> list[Done]:
    """After a rollback, without another copy."""
    return waves.forward_wave(ref, numbers)


@step("switch workspaces")
def switch_wave(ref: Ref, numbers: Sequence[int]) -> list[Done]:
    """Switch one after the other."""
    return waves.switch_wave(ref, numbers)


@step("roll workspaces back")
def roll_back_wave(ref: Ref, numbers: Sequence[int], settlement: Settlement) -> list[Done]:
    """Take them back one after the other."""
    return waves.roll_back_wave(ref, numbers, settlement)


@step("lead workspaces back")
def lead_back_wave(ref: Ref, numbers: Sequence[int], settlement: Settlement) -> list[Done]:
    """Send their routes back alone."""
    return waves.lead_back_wave(ref, numbers, settlement)


@step("merge workspaces")
def merge_wave(ref: Ref, numbers: Sequence[int], settlement: Settlement) -> list[Done]:
    """Carry over what the new store had received."""
    return waves.merge_wave(ref, numbers, settlement)


@step("sync workspaces")
def sync_wave(ref: Ref, numbers: Sequence[int], release: Release) -> list[Done]:
    """One pass each."""
    return waves.sync_wave(ref, numbers, release)


@step("look at workspaces")
def look_at_wave(ref: Ref, numbers: Sequence[int], side: Side, completing: bool = False) -> list[Late]:
    """What one store holds of them that nobody knows."""
    return waves.look_at_wave(ref, numbers, side, completing)


@step("end the ways back")
def end_ways_back(ref: Ref, numbers: Sequence[int], late: Late | None, accepted: str) -> None:
    """Complete them."""
    waves.end_ways_back(ref, numbers, late, accepted)


TASKS: dict[str, Task[..., Any]] = {name: item for name, item in list(globals().items()) if isinstance(item, Task)}
"""Each step's name, and its task."""
