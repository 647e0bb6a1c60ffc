"""The verbs that end a migration: complete, decommission, discard, abort."""

from __future__ import annotations

from dataclasses import dataclass

from vecferry.errors import UnsafeRoute, VecferryError
from vecferry.ledger import ENDED, Holder, Ledger, Migration, State, migration_resource
from vecferry.operations.workspaces import children_paused, is_rolling
from vecferry.routing import states
from vecferry.strategies import ending, rolling_end, steps
from vecferry.strategies.ending import Ended
from vecferry.strategies.runner import Ref, Runner

__all__ = ["Aborted", "Ended", "abort", "complete", "decommission", "discard"]

_TTL_S = 60.0


@dataclass(frozen=True, slots=True)
class Aborted:
    """The state after it, the runs that were cut off, and why the application could not be told, where it could not."""

    state: State
    fenced: tuple[str, ...] = ()
    error: VecferryError | None = None


def complete(runner: Runner, ref: Ref, accepted: str = "") -> Ended:
    """End the way back of a switched migration. `accepted`: the digest of late records that may stay behind.

    Raises UnsafeRoute where something is open or does not follow the route, DataDiffer for late records.
    """
    if _is_rolling(ref):
        return rolling_end.complete(runner, ref, accepted)
    return ending.complete(runner, ref, accepted)


def decommission(runner: Runner, ref: Ref, collection: str, accepted: str = "") -> Ended:
    """Drop the old collection of a completed migration; `collection` is its name, typed.

    Raises UnsafeRoute while anything names it, DataDiffer where it holds what the archive does not, StoreRefused for
    files, which are never deleted.
    """
    if _is_rolling(ref):
        return rolling_end.decommission(runner, ref, collection, accepted)
    return ending.decommission(runner, ref, collection, accepted)


def discard(runner: Runner, ref: Ref, accepted: str = "") -> Ended:
    """Drop the target that an aborted or rolled back migration created.

    Raises UnsafeRoute while anything names it or the migration is live, NotFound when nothing is there, DataDiffer
    where it holds what the archive does not.
    """
    if _is_rolling(ref):
        return rolling_end.discard(runner, ref, accepted)
    return ending.discard(runner, ref, accepted)


def _is_rolling(ref: Ref) -> bool:
    """Raises UnsafeRoute for a single workspace: all of a collection end together."""
    migration = Ledger.open(ref.ledger).migration(ref.migration)
    _refuse_part(migration)
    return is_rolling(migration)


def _refuse_part(migration: Migration) -> None:
    if migration.parent is not None:
        raise UnsafeRoute(
            f"{migration.id} moves one workspace of {migration.parent}: all of them end together",
            advice=f"name {migration.parent}; vecferry workspaces {migration.parent} --skip KEY leaves one out",
        )


def abort(ledger: Ledger, migration_id: str) -> Aborted:
    """End a migration before its switch, from any state before READS_NEW. A run at work stops at its next batch.

    Releases the writes everywhere, and drops nothing. Raises UnsafeRoute in any later state.
    """
    migration = ledger.migration(migration_id)
    _refuse_part(migration)
    workspaces = [one for one in ledger.workspaces(migration.id) if one.state not in ENDED]
    if not all(states.can(state, State.ABORTED) for state in {migration.state, *(one.state for one in workspaces)}):
        raise UnsafeRoute(
            f"migration {migration.id} is {migration.state}; it can no longer be aborted",
            advice="; ".join(states.next_commands(migration.state, migration.id)),
        )
    resources = [migration_resource(name) for name in (migration.id, *(one.child for one in workspaces))]
    lease = ledger.take_over(resources, Holder.here(), ttl_s=_TTL_S)
    try:
        if workspaces:
            before = [state for state in State if states.can(state, State.ABORTED)]
            numbers = [one.number for one in workspaces]
            ledger.move_workspaces(migration.id, numbers, before, State.ABORTED, event="aborted", token=lease.token)
        else:
            ledger.transition(migration.id, [migration.state], State.ABORTED, event="aborted", token=lease.token)
    finally:
        ledger.release(lease)
    return Aborted(State.ABORTED, tuple(map(str, lease.displaced)), _released(ledger, migration.id))


def _released(ledger: Ledger, migration_id: str) -> VecferryError | None:
    """Let route file and application know that writes are open; why that did not work."""
    failed = None
    for name in children_paused(ledger, migration_id):
        try:
            steps.release_writes(Ref(ledger.url, name), "abort")
        except VecferryError as error:
            failed = error
    return failed
