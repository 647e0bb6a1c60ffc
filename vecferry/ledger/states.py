"""The states of a migration. Which may follow which is in `vecferry.routing.states`."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ENDED", "LIVE", "State"]


class State(StrEnum):
    """Where a migration is on its way."""

    PLANNED = "PLANNED"
    COPYING = "COPYING"
    CATCHING_UP = "CATCHING_UP"
    VERIFYING = "VERIFYING"
    READY = "READY"
    READS_NEW = "READS_NEW"
    FROZEN = "FROZEN"
    SWITCHING = "SWITCHING"
    SWITCHED = "SWITCHED"
    COMPLETED = "COMPLETED"
    ABORTED = "ABORTED"
    ROLLBACK_FROZEN = "ROLLBACK_FROZEN"
    ROLLBACK_SWITCHING = "ROLLBACK_SWITCHING"
    ROLLED_BACK = "ROLLED_BACK"
    ROLLED_BACK_UNMERGED = "ROLLED_BACK_UNMERGED"


ENDED = frozenset({State.COMPLETED, State.ABORTED, State.ROLLED_BACK})
"""No run works on such a migration, and another one may take its route."""

LIVE = frozenset(State) - ENDED
