"""One catch-up pass of a migration, and how far its target is behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from vecferry.ledger import Direction, Ledger, Migration, Pass, State
from vecferry.model import JsonObject
from vecferry.operations.workspaces import is_rolling
from vecferry.operations.workspaces import sync as sync_workspaces
from vecferry.strategies.runner import Ref, Runner
from vecferry.strategies.steps.figures import FIGURES_FACT
from vecferry.strategies.sync import Synced
from vecferry.strategies.sync import sync as run_sync
from vecferry.transfer.brakes import Release

__all__ = ["Lag", "foreseen", "lag", "sync"]


def sync(runner: Runner, ref: Ref, *, allow_deletes: int | None = None, allow_changes: int | None = None) -> Synced:
    """Carry over what changed in the source since it was read last; nothing where its state has nothing to carry.

    `allow_deletes` and `allow_changes` let through what a brake held and showed the last time, and no other records.
    """
    release = Release(allow_deletes, allow_changes)
    if is_rolling(Ledger.open(ref.ledger).migration(ref.migration)):
        done = sync_workspaces(runner, ref, release)
        return Synced(workspaces=len(done), rows=sum(one.rows for one in done))
    return run_sync(runner, ref, release)


def foreseen(ledger: Ledger, migration: Migration, now: datetime | None) -> JsonObject | None:
    """What a rollback would come to by the last sync after the switch, with `age_s`; None in any other state.

    `now` is the time by the ledger's clock.
    """
    found = ledger.fact(migration.id, FIGURES_FACT) if migration.state is State.SWITCHED else None
    if found is None:
        return None
    age_s = None if now is None else (now - datetime.fromisoformat(found["at"])).total_seconds()
    return {**found, "age_s": None if age_s is None else round(age_s, 1)}


@dataclass(frozen=True, slots=True)
class Lag:
    """How old what the target holds is at most (`lag_s`): the age of the start of the last whole pass.

    `deltas` were carried over, `open_deltas` are recorded and not read back yet.
    """

    lag_s: float
    started_at: str
    differences: int
    deltas: int
    open_deltas: int


def lag(ledger: Ledger, migration_id: str) -> Lag | None:
    """The lag of a migration's target; None where no pass has come to its end."""
    last: Pass | None = ledger.last_pass(migration_id, Direction.FORWARD)
    lag_s = ledger.lag_s(migration_id, Direction.FORWARD)
    if last is None or lag_s is None:
        return None
    deltas = ledger.deltas(migration_id, Direction.FORWARD)
    left = sum(delta.closing is None for delta in deltas)
    return Lag(lag_s, last.started_at.isoformat(), last.differences or 0, len(deltas), left)
