"""Every step that a strategy runs, as its task: one decorator, one call.

A task never decides whether its work is done: the step asks the ledger. So nothing is cached, nothing of a
result is stored, and a task may run again at any time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas import TaskRun
from prefect.states import State

from vecferry.errors import RetryLater
from vecferry.model import Verdict
from vecferry.strategies import steps
from vecferry.strategies.runner import Ref
from vecferry.transfer.scan import Changes

__all__ = ["RETRY_DELAYS_S", "TASKS", "may_pass", "task_of"]

RETRY_DELAYS_S = [2.0, 15.0, 60.0, 300.0]
"""Waits before the second to the fifth attempt; each is up to half as long again, so that slices spread out."""


def may_pass(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether an attempt failed with the one kind of error that another attempt may mend."""
    return isinstance(state.result(raise_on_failure=False), RetryLater)


_step = partial(
    task,
    retries=len(RETRY_DELAYS_S),
    retry_delay_seconds=RETRY_DELAYS_S,
    retry_jitter_factor=0.5,
    retry_condition_fn=may_pass,
    cache_policy=NO_CACHE,
    persist_result=False,
)


@_step(name="inventory", tags=["read source"])
def inventory(ref: Ref) -> None:
    """Read every record once: schema and profile."""
    steps.inventory(ref)


@_step(name="plan", tags=["plan"])
def decide(ref: Ref) -> None:
    """Decide what happens to every feature; store the plan."""
    steps.decide(ref)


@_step(name="back up", tags=["read source", "write archive"])
def back_up(ref: Ref) -> None:
    """Copy a source made of files, and read the copy back."""
    steps.back_up(ref)


@_step(name="prepare target", tags=["write target"])
def prepare(ref: Ref) -> None:
    """Create the target."""
    steps.prepare(ref)


@_step(name="copy slice", task_run_name="copy slice {number}", tags=["read source", "write archive", "write target"])
def copy_slice(ref: Ref, number: int) -> int:
    """Export a slice to its part, then load the part; the slice's rows."""
    return steps.copy_slice(ref, number)


@_step(name="export slice", task_run_name="export slice {number}", tags=["read source", "write archive"])
def export_slice(ref: Ref, number: int) -> int:
    """Export a slice to its part; the slice's rows."""
    return steps.export_slice(ref, number)


@_step(name="finish export", tags=["write archive"])
def finish_export(ref: Ref) -> None:
    """Write the manifest, read the archive back."""
    steps.finish_export(ref)


@_step(name="finish load", tags=["write target"])
def finish_load(ref: Ref) -> None:
    """Build what the target needs to serve, write the manifest."""
    steps.finish_load(ref)


@_step(name="validate slice", task_run_name="validate slice {number}", tags=["read target"])
def validate_slice(ref: Ref, number: int) -> None:
    """Compare every record of a slice with what another reader reads back."""
    steps.validate_slice(ref, number)


@_step(name="verdict", tags=["read target"])
def conclude(ref: Ref) -> Verdict:
    """Schema, counts, ids and the compared records: the verdict."""
    return steps.conclude(ref)


@_step(name="recheck slice", task_run_name="recheck slice {number}", tags=["read source"])
def recheck_slice(ref: Ref, number: int) -> Changes:
    """What changed in a slice of the source since it was copied."""
    return steps.recheck_slice(ref, number)


@_step(name="require unchanged source", tags=["cutover"])
def require_unchanged(ref: Ref, changes: list[Changes]) -> None:
    """Stop before the switch when the source changed."""
    steps.require_unchanged(ref, changes)


@_step(name="switch route", tags=["cutover"])
def switch(ref: Ref, approval: int) -> None:
    """Move the route to the new store."""
    steps.switch(ref, approval)


@_step(name="check route", tags=["cutover"])
def check_route(ref: Ref) -> None:
    """Read back which store the route serves."""
    steps.check_route(ref)


@_step(name="preflight rollback", tags=["rollback"])
def preflight_rollback(ref: Ref) -> None:
    """Stop a rollback that cannot work."""
    steps.preflight_rollback(ref)


@_step(name="check new store", tags=["rollback", "read target"])
def check_target(ref: Ref) -> Changes:
    """What was written to the new store since its verdict."""
    return steps.check_target(ref)


@_step(name="require no new writes", tags=["rollback"])
def require_no_new_writes(ref: Ref, changes: Changes, *, leave: bool) -> None:
    """Stop a rollback that would leave writes behind unasked."""
    steps.require_no_new_writes(ref, changes, leave=leave)


@_step(name="switch route back", tags=["rollback"])
def switch_back(ref: Ref, left: Changes) -> None:
    """Move the route back to the old store."""
    steps.switch_back(ref, left)


TASKS: dict[str, Task[..., Any]] = {name: item for name, item in list(globals().items()) if isinstance(item, Task)}
"""Each step's name, and its task."""


def task_of(step: Callable[..., Any]) -> Task[..., Any]:
    """The task of a step."""
    return TASKS[step.__name__]
