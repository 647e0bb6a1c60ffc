"""Which state of a migration may follow which, when, and what a person can do in each. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from vecferry.ledger.states import State, derived, releases

__all__ = ["TRANSITIONS", "Transition", "can", "derived", "next_commands", "releases", "sources"]


@dataclass(frozen=True, slots=True)
class Transition:
    """One allowed step, and when it is taken."""

    source: State
    target: State
    when: str


_UNDONE = "undone and writes released: time limit, a difference found, or the coordinator is gone"

TRANSITIONS = (
    Transition(State.PLANNED, State.COPYING, "the plan is stored"),
    Transition(State.COPYING, State.CATCHING_UP, "every slice is copied and loaded"),
    Transition(State.CATCHING_UP, State.VERIFYING, "a pass over the source found nothing more to carry over"),
    Transition(State.VERIFYING, State.READY, "every level that gates is verified"),
    Transition(State.READY, State.READS_NEW, "reads go to the new store, writes stay"),
    Transition(State.READY, State.FROZEN, "approved, and writes are paused"),
    Transition(State.READS_NEW, State.FROZEN, "approved, and writes are paused"),
    Transition(State.FROZEN, State.SWITCHING, "the final check found no difference"),
    Transition(State.SWITCHING, State.SWITCHED, "the route moved; alias and hooks followed and were read back"),
    Transition(State.SWITCHED, State.COMPLETED, "`complete` ended the way back"),
    Transition(State.FROZEN, State.READY, _UNDONE),
    Transition(State.FROZEN, State.READS_NEW, _UNDONE),
    Transition(State.SWITCHING, State.FROZEN, "the transaction refused"),
    Transition(State.READS_NEW, State.READY, "reads were sent back"),
    *(
        Transition(state, State.ABORTED, "`abort`: writes released, own workers fenced")
        for state in (State.PLANNED, State.COPYING, State.CATCHING_UP, State.VERIFYING, State.READY)
    ),
    Transition(State.SWITCHED, State.ROLLBACK_FROZEN, "`rollback`, and writes are paused"),
    Transition(State.ROLLBACK_FROZEN, State.ROLLBACK_SWITCHING, "the old store holds what the new one received"),
    Transition(State.ROLLBACK_SWITCHING, State.ROLLED_BACK, "the route moved back; alias and hooks were read back"),
    Transition(State.ROLLBACK_SWITCHING, State.ROLLBACK_FROZEN, "the transaction refused"),
    Transition(
        State.ROLLBACK_FROZEN, State.SWITCHED, "undone and writes released: conflict, brake, refused row, time limit"
    ),
    Transition(State.SWITCHED, State.ROLLED_BACK_UNMERGED, "`rollback --route-only`: the new store is broken"),
    Transition(State.ROLLED_BACK_UNMERGED, State.ROLLED_BACK, "`merge` carried over what the new store had received"),
    Transition(State.ROLLED_BACK, State.CATCHING_UP, "forward again, without a full copy"),
)

_ALLOWED = frozenset((step.source, step.target) for step in TRANSITIONS)

_BEFORE = ("resume", "abort", "status")
_PAUSED = ("unpause", "status")
_COMMANDS: dict[State, tuple[str, ...]] = {
    State.PLANNED: _BEFORE,
    State.COPYING: _BEFORE,
    State.CATCHING_UP: _BEFORE,
    State.VERIFYING: _BEFORE,
    State.READY: ("approve", "resume", "sync", "abort", "status"),
    State.READS_NEW: ("approve", "resume", "sync", "rollback", "status"),
    State.FROZEN: ("resume", *_PAUSED),
    State.SWITCHING: ("resume", *_PAUSED),
    State.SWITCHED: ("rollback", "complete", "sync", "status"),
    State.COMPLETED: ("decommission", "status"),
    State.ABORTED: ("discard", "status"),
    State.ROLLBACK_FROZEN: ("rollback", *_PAUSED),
    State.ROLLBACK_SWITCHING: ("rollback", *_PAUSED),
    State.ROLLED_BACK: ("forward", "discard", "status"),
    State.ROLLED_BACK_UNMERGED: ("merge", "status"),
}
_ON_THE_WAY = frozenset({State.PLANNED, State.COPYING, State.CATCHING_UP, State.VERIFYING, State.READY})


def can(source: State, target: State) -> bool:
    """Whether the protocol has this step. Staying where it is is none."""
    return (source, target) in _ALLOWED


def sources(target: State) -> frozenset[State]:
    """The states from which `target` may be reached in one step."""
    return frozenset(step.source for step in TRANSITIONS if step.target is target)


def next_commands(state: State, migration_id: str = "ID", workspaces: Collection[State] = ()) -> tuple[str, ...]:
    """The commands that make sense in this state, the likeliest first.

    A rolling migration has the states of its `workspaces` as well: while one is on its way, `resume` goes on with it,
    and there is nothing to complete.
    """
    verbs = _COMMANDS[state]
    if state is State.SWITCHED and set(workspaces) - {State.SWITCHED}:
        verbs = tuple(verb for verb in verbs if verb != "complete")
        if _ON_THE_WAY & set(workspaces):
            verbs = ("resume", *verbs)
    return tuple(f"vecferry {verb} {migration_id}" for verb in verbs)
