"""The states of a migration, or of one workspace of it. Which may follow which is in `vecferry.routing.states`."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

__all__ = ["ENDED", "LIVE", "State", "derived", "releases"]


class State(StrEnum):
    """Where a migration, or one workspace of a rolling one, is on its way."""

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

_FROZEN = frozenset({State.FROZEN, State.ROLLBACK_FROZEN})
_SWITCHING = frozenset({State.SWITCHING, State.ROLLBACK_SWITCHING})
_LAST = frozenset({State.COMPLETED, State.ABORTED})

# What a person must know of first comes first: who is paused, then what is served by the new store, then what is
# left to do. Before READS_NEW the least advanced counts, because that is what the next run begins with.
_PRECEDENCE = (
    State.ROLLBACK_SWITCHING,
    State.ROLLBACK_FROZEN,
    State.SWITCHING,
    State.FROZEN,
    State.ROLLED_BACK_UNMERGED,
    State.READS_NEW,
    State.SWITCHED,
    State.PLANNED,
    State.COPYING,
    State.CATCHING_UP,
    State.VERIFYING,
    State.READY,
    State.COMPLETED,
    State.ROLLED_BACK,
    State.ABORTED,
)


def derived(states: Collection[State]) -> State:
    """The state of a rolling migration, from those of its workspaces (at least one).

    It may be aborted only while every workspace that has not ended may, and has ended only when all have.
    """
    return next(state for state in _PRECEDENCE if state in states)


def releases(source: State, target: State) -> bool:
    """Whether the ledger lets writes go on in the transaction of this step: a way out of a pause without a switch.

    After a switch the run releases them itself, last of all.
    """
    return target in _LAST or (source in _FROZEN and target not in _SWITCHING)
