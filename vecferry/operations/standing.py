"""What a person has to know of a migration beyond its state: who is paused, what follows the route, what is open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vecferry.errors import UnsafeRoute
from vecferry.ledger import Delta, Hook, Lease, Ledger, Migration, Pause, State, migration_resource
from vecferry.strategies import telling
from vecferry.strategies.runner import Ref
from vecferry.strategies.telling import Observed
from vecferry.strategies.work import open_work

__all__ = ["Standing", "standing"]

_FOLLOWED = frozenset(State) - {
    State.PLANNED,
    State.COPYING,
    State.CATCHING_UP,
    State.VERIFYING,
    State.READY,
    State.ABORTED,
}
"""States in which something was told to follow the route; before that a route file need not be there."""


@dataclass(frozen=True, slots=True)
class Standing:
    """`observed` is None where nothing has been told to follow the route yet, or another migration has it now.

    `pauses` were never released; `at` is the time by the ledger's clock. `at_work`: the run that holds the lease.
    `open_deltas` and `open_calls` are of unknown fate.
    """

    at: datetime | None
    observed: tuple[Observed, ...]
    pauses: tuple[Pause, ...]
    open_deltas: tuple[Delta, ...]
    open_calls: tuple[Hook, ...]
    at_work: Lease | None

    @property
    def differences(self) -> tuple[str, ...]:
        """In which points the outside says something else than the ledger."""
        return tuple(line for one in self.observed for line in one.differences)

    def verdict(self, migration: Migration) -> UnsafeRoute | None:
        """A disagreement is a verdict of its own, unless a run is at work that brings the two together."""
        if not self.differences or self.at_work is not None:
            return None
        return UnsafeRoute(
            f"the route and what follows it differ: {'; '.join(self.differences)}",
            advice=f"find out which of them is right before anything else: vecferry route {migration.route} --observe",
        )

    def to_json(self) -> dict[str, Any]:
        """As `--json` prints it."""
        return {
            "observed": [{**one.to_json(), "workspace": one.recorded.workspace} for one in self.observed],
            "differences": list(self.differences),
            "pauses": [_pause(one, self.at) for one in self.pauses],
            "open_deltas": [
                {"number": one.number, "direction": one.direction.value, "rows": one.receipt.rows}
                for one in self.open_deltas
            ],
            "open_calls": [
                {"number": one.number, "action": one.action, "at": one.intended_at.isoformat()}
                for one in self.open_calls
            ],
            "at_work": None
            if self.at_work is None
            else {"holder": str(self.at_work.holder), "until": self.at_work.expires_at.isoformat()},
        }


def standing(ledger: Ledger, migration: Migration) -> Standing:
    """Ask the ledger, and look once at alias, route file and application: nothing is tried again, nothing changed."""
    route = ledger.route(migration.route, migration.workspace)
    mine = route is not None and route.migration in (migration.id, migration.parent)
    serving = ledger.ask_route(migration.route, migration.workspace) if mine else None
    parts = [migration.id, *(one.id for one in ledger.children(migration.id))]
    lease = _at_work(ledger, parts)
    at = None if serving is None else serving.at
    working = lease is not None and (at is None or lease.expires_at > at) and not lease.holder.is_dead()
    return Standing(
        at,
        _observed(ledger, migration) if mine and migration.state in _FOLLOWED else (),
        tuple(one for one in ledger.pauses(migration.id) if one.released_at is None),
        tuple(delta for name in parts for delta in ledger.deltas(name, open_only=True)),
        tuple(call for name in parts for call in ledger.open_hook_intents(name)),
        lease if working else None,
    )


def _at_work(ledger: Ledger, parts: Sequence[str]) -> Lease | None:
    """The lease of a migration, or of that of its workspaces which a run is at."""
    found = (ledger.holder(migration_resource(name)) for name in parts)
    return next((one for one in found if one is not None), None)


def _observed(ledger: Ledger, migration: Migration) -> tuple[Observed, ...]:
    work = open_work(Ref(ledger.url, migration.id))
    work.config = work.config.model_copy(update={"retry_budget_s": 0.0})
    return (telling.observe(work),)


def _pause(pause: Pause, at: datetime | None) -> dict[str, Any]:
    return {
        "workspace": pause.workspace,
        "since": pause.paused_at.isoformat(),
        "until": pause.paused_until.isoformat(),
        "holds": at is not None and pause.holds(at),
    }
