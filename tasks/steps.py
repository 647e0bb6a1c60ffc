"""Every step that a strategy runs, as its task: one decorator, one call.

A task never decides whether its work is done: the step asks the ledger. So nothing is cached, nothing of a
result is stored, and a task may run again at any time. No task has tags: for each tag Prefect asks the server for a
concurrency slot before the task starts, and a run of 16 tasks took 15 s instead of 2 s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prefect import Task

from tasks import forward, reads, snapshot, wave, way_back
from tasks.making import RETRY_DELAYS_S, may_pass
from tasks.making import step as _step
from vecferry.model import Verdict
from vecferry.strategies import steps
from vecferry.strategies.runner import Ref
from vecferry.strategies.steps.cutover import Stage
from vecferry.transfer.brakes import Release
from vecferry.transfer.delta_making import Made
from vecferry.transfer.differences import Differences, Side
from vecferry.transfer.late import Late

__all__ = ["RETRY_DELAYS_S", "TASKS", "may_pass", "task_of"]


@_step("inventory")
def inventory(ref: Ref) -> None:
    """Read every record once: schema and profile."""
    steps.inventory(ref)


@_step("plan")
def decide(ref: Ref) -> None:
    """Decide what happens to every feature; store the plan."""
    steps.decide(ref)


@_step("back up")
def back_up(ref: Ref) -> None:
    """Copy a source made of files, and read the copy back."""
    steps.back_up(ref)


@_step("seal backup")
def seal_backup(ref: Ref) -> None:
    """List the files of a verified archive, which makes it a backup."""
    steps.seal_backup(ref)


@_step("prepare target")
def prepare(ref: Ref) -> None:
    """Create the target."""
    steps.prepare(ref)


@_step("copy slice {number}")
def copy_slice(ref: Ref, number: int) -> int:
    """Export a slice to its part, then load the part; the slice's rows."""
    return steps.copy_slice(ref, number)


@_step("export slice {number}")
def export_slice(ref: Ref, number: int) -> int:
    """Export a slice to its part; the slice's rows."""
    return steps.export_slice(ref, number)


@_step("finish export")
def finish_export(ref: Ref) -> None:
    """Write the manifest, read the archive back."""
    steps.finish_export(ref)


@_step("finish load")
def finish_load(ref: Ref) -> None:
    """Build what the target needs to serve, write the manifest."""
    steps.finish_load(ref)


@_step("validate slice {number}")
def validate_slice(ref: Ref, number: int) -> None:
    """Compare every record of a slice with what another reader reads back."""
    steps.validate_slice(ref, number)


@_step("verdict")
def conclude(ref: Ref) -> Verdict:
    """Schema, counts, ids and the compared records: the verdict."""
    return steps.conclude(ref)


@_step("begin validation")
def begin_validation(ref: Ref) -> None:
    """Nothing more is carried over before the verdict."""
    steps.begin_validation(ref)


@_step("preflight switch")
def preflight_switch(ref: Ref) -> None:
    """Stop a switch that cannot work before anything pauses."""
    steps.preflight_switch(ref)


@_step("is the old store still")
def is_settled(ref: Ref, token: int) -> bool:
    """Whether two passes under the pause found nothing and saw the same."""
    return steps.is_settled(ref, token)


@_step("are the files the same")
def pass_unread(ref: Ref, token: int) -> bool:
    """Count a pass over files that did not change."""
    return steps.pass_unread(ref, token)


@_step("check new store before the switch")
def check_new_store(ref: Ref) -> None:
    """All ids of the new store, and every record written since the verdict."""
    steps.check_new_store(ref)


@_step("write cutover file")
def write_cutover(ref: Ref) -> None:
    """Keep in the archive what the switch stands on."""
    steps.write_cutover(ref)


@_step("switch route")
def commit_switch(ref: Ref, token: int) -> None:
    """Move the route to the new store, under the pause."""
    steps.commit_switch(ref, token)


@_step("check what serves")
def check_serving(ref: Ref) -> str:
    """Ask the new store for its count and for known records; what is wrong."""
    return steps.check_serving(ref)


@_step("end the switch")
def end_switching(ref: Ref, problem: str) -> None:
    """All that follows the route was read back."""
    steps.end_switching(ref, problem)


@_step("measure the switch")
def end_cutover(ref: Ref, late: Late) -> dict[str, object]:
    """Keep how long writes were paused and what was carried over."""
    return steps.end_cutover(ref, late)


@_step("how far is the switch")
def find_stage(ref: Ref) -> Stage:
    """How far a switch is that an earlier run began."""
    return steps.find_stage(ref)


@_step("undo the switch")
def undo_switch(ref: Ref) -> None:
    """Back to before the pause, writes released, unless the route moved."""
    steps.undo_switch(ref)


@_step("check route")
def check_route(ref: Ref) -> None:
    """Read back which store the route serves."""
    steps.check_route(ref)


@_step("check hooks")
def check_hooks(ref: Ref) -> None:
    """Write the route file, ask the application what it does."""
    steps.check_hooks(ref)


@_step("pause writes")
def pause_writes(ref: Ref, approval: int | None) -> int:
    """Pause the writes; the pause's token."""
    return steps.pause_writes(ref, approval)


@_step("wait for writes")
def wait_for_writes(ref: Ref) -> None:
    """Wait until the last write of before the pause is seen."""
    steps.wait_for_writes(ref)


@_step("tell the application")
def tell_switch(ref: Ref) -> None:
    """Let the application follow the route."""
    steps.tell_switch(ref)


@_step("read the route back")
def read_back(ref: Ref) -> None:
    """Hold alias, file and application against the route."""
    steps.read_back(ref)


@_step("release writes")
def release_writes(ref: Ref) -> None:
    """Release the writes everywhere."""
    steps.release_writes(ref)


@_step("finish open deltas")
def settle_deltas(ref: Ref) -> int:
    """Load and read back what an earlier run recorded and did not finish."""
    return steps.settle_deltas(ref)


@_step("are the files as planned")
def is_as_planned(ref: Ref) -> bool:
    """Whether the source's files are those that were planned."""
    return steps.is_as_planned(ref)


@_step("begin pass")
def begin_pass(ref: Ref) -> list[int]:
    """Open the source anew and cut slices; their numbers."""
    return steps.begin_pass(ref)


@_step("read slice {number}")
def spool_slice(ref: Ref, number: int) -> int:
    """Lay a slice's ids and hashes aside; the slice's rows."""
    return steps.spool_slice(ref, number)


@_step("find changes")
def find_changes(ref: Ref, release: Release) -> Differences:
    """Compare what was read with what is known."""
    return steps.find_changes(ref, release)


@_step("write delta")
def write_delta(ref: Ref) -> Made:
    """Read what differs once more and record it as a delta."""
    return steps.write_delta(ref)


@_step("load delta")
def load_delta(ref: Ref) -> int:
    """Write recorded deltas into the target; their rows."""
    return steps.load_delta(ref)


@_step("read delta back")
def prove_delta(ref: Ref) -> int:
    """Read loaded deltas back and close them; their rows."""
    return steps.prove_delta(ref)


@_step("look at store")
def begin_look(ref: Ref, side: Side) -> list[int]:
    """Open a store once more; the slices to read."""
    return steps.begin_look(ref, side)


@_step("look at slice {number}")
def look_at_slice(ref: Ref, number: int) -> int:
    """Read one slice once more; its rows."""
    return steps.look_at_slice(ref, number)


@_step("find late records")
def end_look(ref: Ref) -> Late:
    """What a store holds beyond what is known."""
    return steps.end_look(ref)


@_step("require completable")
def require_completable(ref: Ref) -> None:
    """Stop where the way back may not end yet."""
    steps.require_completable(ref)


@_step("end the way back")
def end_way_back(ref: Ref, late: Late | None, accepted: str) -> None:
    """Complete the migration."""
    steps.end_way_back(ref, late, accepted)


@_step("require droppable")
def require_droppable(ref: Ref, collection: str) -> None:
    """Stop where the old collection may not be dropped."""
    steps.require_droppable(ref, collection)


@_step("is the old store there")
def old_is_there(ref: Ref) -> bool:
    """Whether there is anything to drop."""
    return steps.old_is_there(ref)


@_step("drop old store")
def drop_old(ref: Ref, digest: str) -> str:
    """Drop the old collection."""
    return steps.drop_old(ref, digest)


@_step("require discardable")
def require_discardable(ref: Ref) -> bool:
    """Stop where the new collection may not be dropped; whether it is there."""
    return steps.require_discardable(ref)


@_step("wait out writes")
def wait_out_writes(ref: Ref) -> None:
    """Wait until no write of a run that was cut off can take effect."""
    steps.wait_out_writes(ref)


@_step("drop new store")
def drop_new(ref: Ref) -> str:
    """Drop the collection that the migration created."""
    return steps.drop_new(ref)


TASKS: dict[str, Task[..., Any]] = (
    way_back.TASKS
    | forward.TASKS
    | reads.TASKS
    | snapshot.TASKS
    | wave.TASKS
    | {name: item for name, item in list(globals().items()) if isinstance(item, Task)}
)
"""Each step's name, and its task."""


def task_of(step: Callable[..., Any]) -> Task[..., Any]:
    """The task of a step."""
    return TASKS[step.__name__]
