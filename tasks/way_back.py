"""The steps of the way back, as tasks."""

from __future__ import annotations

from typing import Any

from prefect import Task

from tasks.making import step
from vecferry.model import JsonObject
from vecferry.strategies import steps
from vecferry.strategies.returning import Settlement
from vecferry.strategies.runner import Ref
from vecferry.strategies.steps.merge import Weighed
from vecferry.strategies.steps.rollback import ReturnStage
from vecferry.transfer.conflicts import Decide
from vecferry.transfer.late import Late
from vecferry.transfer.merge import MergeCounts

__all__ = ["TASKS"]


@step("how far is the way back")
def find_return(ref: Ref) -> ReturnStage:
    """How far an earlier run came."""
    return steps.find_return(ref)


@step("require switched")
def require_switched(ref: Ref) -> None:
    """Stop where no rollback can begin."""
    steps.require_switched(ref)


@step("preflight rollback")
def preflight_rollback(ref: Ref) -> None:
    """Stop a rollback that cannot work."""
    steps.preflight_rollback(ref)


@step("foresee rollback")
def foresee_return(ref: Ref, found: Weighed) -> tuple[float, str, bool]:
    """How long writes would pause, and what would serve."""
    return steps.foresee_return(ref, found)


@step("record the yes")
def approve_return(ref: Ref, settlement: Settlement) -> int:
    """The approval of the way back."""
    return steps.approve_return(ref, settlement)


@step("probe rights")
def probe_rights(ref: Ref) -> None:
    """Ask the old store whether it takes writes."""
    steps.probe_rights(ref)


@step("read both stores")
def begin_return(ref: Ref) -> list[int]:
    """Open both stores anew; the slices to read."""
    return steps.begin_return(ref)


@step("read slice {number}")
def spool_return(ref: Ref, number: int) -> int:
    """Lay a slice's ids and hashes aside; its rows."""
    return steps.spool_return(ref, number)


@step("decide conflicts")
def decide_conflicts(ref: Ref, settlement: Settlement) -> Decide:
    """Who wins conflicts."""
    return steps.decide_conflicts(ref, settlement)


@step("merge without writing")
def weigh_return(ref: Ref, decide: Decide) -> Weighed:
    """What a way back would do."""
    return steps.weigh_return(ref, decide)


@step("merge")
def write_return(ref: Ref, decide: Decide, settlement: Settlement) -> Weighed:
    """Merge both stores and record what the old one has to be given."""
    return steps.write_return(ref, decide, settlement)


@step("copy old files")
def copy_old(ref: Ref) -> str:
    """Copy files beside themselves, where something is to be written."""
    return steps.copy_old(ref)


@step("wait for earlier writes")
def fence_return(ref: Ref) -> None:
    """Wait until no write of a dead run can take effect any more."""
    steps.fence_return(ref)


@step("write to the old store")
def settle_return(ref: Ref) -> int:
    """Load recorded reverse deltas and read them back."""
    return steps.settle_return(ref)


@step("freeze")
def freeze_return(ref: Ref, approval: int) -> None:
    """Pause writes for the way back."""
    steps.freeze_return(ref, approval)


@step("pause the route")
def freeze_route(ref: Ref) -> None:
    """Pause writes in whatever state it is."""
    steps.freeze_route(ref)


@step("switch route back alone")
def commit_route(ref: Ref, approval: int) -> None:
    """Move the route back without what the new store received."""
    steps.commit_route(ref, approval)


@step("end merge")
def commit_merge(ref: Ref, approval: int) -> None:
    """State ROLLED_BACK; a copy of files takes the route."""
    steps.commit_merge(ref, approval)


@step("switch route back")
def commit_return(ref: Ref) -> None:
    """Move the route back to the old store."""
    steps.commit_return(ref)


@step("undo rollback")
def undo_return(ref: Ref) -> None:
    """Back to before the pause."""
    steps.undo_return(ref)


@step("point alias back")
def follow_alias_back(ref: Ref) -> None:
    """Let the engine's alias follow the route."""
    steps.follow_alias_back(ref)


@step("check old store")
def check_return(ref: Ref) -> None:
    """The old store serves and answers."""
    steps.check_return(ref)


@step("end rollback")
def end_return(ref: Ref) -> None:
    """State ROLLED_BACK."""
    steps.end_return(ref)


@step("may the old store be written")
def require_writable_old(ref: Ref, late: Late) -> None:
    """Stop where files serve."""
    steps.require_writable_old(ref, late)


@step("is rollback over")
def is_return_kept(ref: Ref) -> bool:
    """Whether an earlier run finished it."""
    return steps.is_return_kept(ref)


@step("keep figures")
def keep_return(ref: Ref, written: MergeCounts, last: Weighed, late: Late) -> dict[str, object]:
    """What the way back did."""
    return steps.keep_return(ref, written, last, late)


@step("keep the figures of a rollback")
def keep_figures(ref: Ref, found: Weighed, carried: MergeCounts | None) -> JsonObject:
    """What a rollback would come to now."""
    return steps.keep_figures(ref, found, carried)


TASKS: dict[str, Task[..., Any]] = {name: item for name, item in list(globals().items()) if isinstance(item, Task)}
"""Each step's name, and its task."""
