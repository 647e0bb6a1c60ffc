"""What must hold in every world that can be reached."""

from __future__ import annotations

from tests.protocol.explore import Action, Actor, Invariant, Promise
from tests.protocol.world import Answer, App, At, Hook, Side, World, served
from vecferry.ledger.states import State

__all__ = ["INVARIANTS", "PROMISES"]

_UNDECIDED = frozenset({State.SWITCHING, State.ROLLBACK_SWITCHING, State.ROLLED_BACK_UNMERGED})
_MAY_PAUSE = frozenset({State.FROZEN, State.ROLLBACK_FROZEN, *_UNDECIDED})
_WAY_BACK = frozenset({State.ROLLBACK_FROZEN, State.ROLLBACK_SWITCHING, State.ROLLED_BACK, State.ROLLED_BACK_UNMERGED})


def _vanishes(before: World, step: Action[World], after: World) -> bool:
    return step.name != "own_write_lands" and _gone(after)


def _overwritten(before: World, step: Action[World], after: World) -> bool:
    return step.name == "own_write_lands" and _gone(after)


def _gone(world: World) -> bool:
    """Whether no store holds a write that is owed."""
    return any(one.value not in (world.old, world.new) for one in world.owed)


def _not_served(before: World, step: Action[World], after: World) -> bool:
    if after.state in _UNDECIDED or after.state is State.ABORTED:
        return False
    found = served(after)
    return any(one.value != found and (not one.late or after.at is At.DONE) for one in after.owed)


def _not_released(before: World, step: Action[World], after: World) -> bool:
    ended = after.at is At.AWAY and step.actor is Actor.RUN
    return after.paused and ended and after.state not in _UNDECIDED


def _paused_elsewhere(before: World, step: Action[World], after: World) -> bool:
    after_switch = after.state in (State.SWITCHED, State.ROLLED_BACK)
    return after.paused and after.state not in _MAY_PAUSE and not after_switch


def _old_touched(before: World, step: Action[World], after: World) -> bool:
    written = before.old != after.old and step.actor is not Actor.APPLICATION
    probed = after.probed and not before.probed and after.answer is Answer.NONE
    return (written or probed) and after.state not in _WAY_BACK and after.route is Side.OLD


def _false_conflict(before: World, step: Action[World], after: World) -> bool:
    """A conflict needs a row of the gaining side that the application wrote."""
    gaining = Side.NEW if after.state is State.SWITCHING else Side.OLD
    ours = after.before is not None and after.before.side is gaining
    return after.conflict and not before.conflict and ours


def _goes_back(before: World, step: Action[World], after: World) -> bool:
    route = before.route is Side.NEW and after.route is Side.OLD
    application = before.app is not App.OLD and after.app is App.OLD
    return (route or application) and after.state not in _WAY_BACK


def _moved_while_writing(before: World, step: Action[World], after: World) -> bool:
    return before.route is not after.route and not after.paused


def _apart(before: World, step: Action[World], after: World) -> bool:
    """Whether the application is moved while nothing that was approved is under way."""
    return before.app is not after.app and after.state not in _UNDECIDED


def _copied_after_hook(before: World, step: Action[World], after: World) -> bool:
    """Whether a row goes from old to new although the application may write there."""
    moved = before.hook is not Hook.NONE and before.app is not App.OLD and before.state is State.SWITCHING
    return moved and step.name == "s3_write" and before.new != after.new and before.answer is not Answer.MERGE


INVARIANTS: tuple[Invariant[World], ...] = (
    Invariant("I2", "an own late upsert overwrote a newer value", _overwritten),
    Invariant("I1", "an acknowledged write is in no store and was not listed", _vanishes),
    Invariant("I1", "an acknowledged write is not served and was not listed", _not_served),
    Invariant("I3", "a run has ended and did not release the writes", _not_released),
    Invariant("I3", "writes are paused in a state that has no pause", _paused_elsewhere),
    Invariant("I4", "the old store was written before the approved cutover", _old_touched),
    Invariant("I5", "what vecferry wrote itself was taken for a conflict", _false_conflict),
    Invariant("I7", "the route or the application went back without an approved rollback", _goes_back),
    Invariant("I7", "the route moved while the application was writing", _moved_while_writing),
    Invariant("I7", "the application moved behind the ledger's back", _apart),
    Invariant("I7", "old rows were copied over rows of an application that may have moved", _copied_after_hook),
)

PROMISES: tuple[Promise[World], ...] = (
    Promise(
        "I3", "the clock alone does not end a pause", lambda world: world.paused, lambda world: not world.paused,
        Actor.NATURE,
    ),
)  # fmt: skip
