"""What happens around a run: the application's writes, a person's answers, crashes, clocks and stores that forget."""

from __future__ import annotations

from collections.abc import Iterator

from tests.protocol.explore import Action, Actor, action
from tests.protocol.guards import Guard, Guards
from tests.protocol.world import Answer, App, At, Hook, Owed, Own, Sent, Side, World, contested, forgive, held, put, way
from vecferry.ledger.states import State

__all__ = ["ABORTING", "APPLICATION", "FORWARD_AGAIN", "NATURE", "PERSON", "ROLLING_BACK", "ROUTE_ONLY"]
__all__ += ["SWITCHING", "TWO_STEPS"]

_NOBODY = (At.AWAY, At.DOWN)
_SIDES = {App.OLD: (Side.OLD,), App.NEW: (Side.NEW,), App.SPLIT: (Side.OLD, Side.NEW)}
_BEFORE_READS_NEW = frozenset({State.PLANNED, State.COPYING, State.CATCHING_UP, State.VERIFYING, State.READY})
_SWITCHING = frozenset({State.SWITCHING, State.ROLLBACK_SWITCHING})


@action(Actor.APPLICATION)
def send_write(world: World, on: Guards) -> Iterator[World]:
    """It sends a write (insert, update or delete) to the store that it uses."""
    if world.paused or world.sent or not world.writes_left:
        return
    for side in _SIDES[world.app]:
        number = world.next_write
        for value in (number, -number) if held(world, side) > 0 else (number,):
            sent = world._replace(writes_left=world.writes_left - 1, next_write=number + 1)
            yield sent._replace(sent=Sent(side, value, late=False))
            if world.faults_left:
                yield sent._replace(sent=Sent(side, value, late=True), faults_left=world.faults_left - 1)


@action(Actor.APPLICATION)
def write_lands(world: World, on: Guards) -> Iterator[World]:
    """Its write lands and is acknowledged."""
    if world.sent is not None and not world.sent.late:
        yield _acknowledged(world, world.sent)


@action(Actor.APPLICATION)
def late_write_lands(world: World, on: Guards) -> Iterator[World]:
    """Its late write lands and is acknowledged, after its own time-out."""
    if world.sent is None or not world.sent.late or world.at is At.DONE:
        return
    if world.own is None or world.own.side is not world.sent.side:
        yield _acknowledged(world, world.sent)


def _acknowledged(world: World, sent: Sent) -> World:
    world = forgive(world, held(world, sent.side))
    before = None if world.before and world.before.side is sent.side else world.before
    owed = tuple(sorted((*world.owed, Owed(sent.value, sent.late))))
    return put(world, sent.side, sent.value)._replace(sent=None, owed=owed, before=before)


@action(Actor.NATURE)
def crash(world: World, on: Guards) -> Iterator[World]:
    """The run is killed."""
    if world.at in (*_NOBODY, At.DONE) or not world.crashes_left:
        return
    dead = world._replace(at=At.DOWN, seen=None, quiet=0, crashes_left=world.crashes_left - 1)
    yield dead
    if world.at is At.CALL and (world.paused or Guard.EXPIRED_TOKEN_REFUSED not in on):
        yield dead._replace(calling=way(world).gaining)


@action(Actor.NATURE)
def own_write_lands(world: World, on: Guards) -> Iterator[World]:
    """Our write of unknown fate lands."""
    if world.own is not None:
        side, value = world.own
        yield put(world, side, value)._replace(own=None, before=Own(side, held(world, side)), settled=True)


@action(Actor.NATURE)
def own_write_is_lost(world: World, on: Guards) -> Iterator[World]:
    """Our write of unknown fate never lands."""
    if world.own is not None:
        yield world._replace(own=None)


@action(Actor.NATURE)
def store_forgets(world: World, on: Guards) -> Iterator[World]:
    """The store that we wrote restarts without the last row, which it had acknowledged."""
    if world.before is not None and not world.settled and world.faults_left:
        forgotten = world._replace(before=None, settled=True, faults_left=world.faults_left - 1)
        yield put(forgotten, world.before.side, world.before.value)


@action(Actor.NATURE)
def pause_ends(world: World, on: Guards) -> Iterator[World]:
    """The pause reaches its end, and the application writes again."""
    if world.own and contested(world, world.own.side) and Guard.WRITE_WITHIN_PAUSE in on:
        return  # before that write it was certain that the pause outlasts the driver's time-out
    if world.paused and Guard.PAUSE_HAS_AN_END in on:
        calling = None if Guard.EXPIRED_TOKEN_REFUSED in on else world.calling
        yield world._replace(paused=False, calling=calling)


@action(Actor.NATURE)
def late_call_arrives(world: World, on: Guards) -> Iterator[World]:
    """The switch call of a dead run arrives, and is obeyed."""
    if world.calling is not None:
        yield world._replace(app=App.OLD if world.calling is Side.OLD else App.NEW, calling=None)


@action(Actor.NATURE)
def late_call_is_lost(world: World, on: Guards) -> Iterator[World]:
    """The switch call of a dead run never arrives."""
    if world.calling is not None:
        yield world._replace(calling=None)


@action(Actor.PERSON, "S7")
def approve_switch(world: World, on: Guards) -> Iterator[World]:
    """The cutover is approved."""
    if world.state in (State.READY, State.READS_NEW) and world.answer is Answer.NONE and world.at in _NOBODY:
        yield world._replace(answer=Answer.SWITCH)


@action(Actor.PERSON, "S13")
def approve_merge(world: World, on: Guards) -> Iterator[World]:
    """A merge is approved, to end what recovery would not."""
    if world.state in _SWITCHING and world.hook is Hook.INTENDED:
        yield from _answered(world, Answer.MERGE)


@action(Actor.PERSON)
def straggler_follows(world: World, on: Guards) -> Iterator[World]:
    """The instance of the application that stayed behind is restarted, and follows the route."""
    if world.app is App.SPLIT and world.at in _NOBODY:
        yield world._replace(app=App.OLD if world.route is Side.OLD else App.NEW)


@action(Actor.PERSON, "S17")
def approve_rollback(world: World, on: Guards) -> Iterator[World]:
    """The rollback is approved; it pre-empts the watch."""
    if world.state is State.SWITCHED:
        yield from _answered(world, Answer.ROLLBACK)


@action(Actor.PERSON, "S18")
def approve_route_only(world: World, on: Guards) -> Iterator[World]:
    """The new store is broken: the way back without it is approved."""
    unmoved = world.state is State.ROLLED_BACK_UNMERGED and world.hook is not Hook.CONFIRMED
    if world.state is State.SWITCHED or unmoved:
        yield from _answered(world, Answer.ROUTE_ONLY)


@action(Actor.PERSON, "S18")
def approve_late_merge(world: World, on: Guards) -> Iterator[World]:
    """The new store is back, and merging is approved."""
    if world.state is State.ROLLED_BACK_UNMERGED and world.hook is Hook.CONFIRMED:
        yield from _answered(world, Answer.MERGE)


@action(Actor.PERSON, "S14")
def approve_merge_of_late(world: World, on: Guards) -> Iterator[World]:
    """The way back is over, the new store received something since, and merging that is approved."""
    if world.state is State.ROLLED_BACK and world.at is At.DONE and world.new != world.known:
        yield from _answered(world, Answer.MERGE)


def _answered(world: World, answer: Answer) -> Iterator[World]:
    """With one side preferred once a conflict was shown."""
    if world.answer is not Answer.NONE or world.at not in (*_NOBODY, At.WATCH, At.DONE):
        return
    for prefer in (Side.OLD, Side.NEW) if world.conflict else (None,):
        yield world._replace(answer=answer, prefer=prefer, at=At.AWAY)


@action(Actor.PERSON, "S15")
def s15_reads_new(world: World, on: Guards) -> Iterator[World]:
    """Reads go to the new store, writes stay."""
    if world.state is State.READY and world.at is At.AWAY and world.answer is Answer.NONE:
        yield world._replace(state=State.READS_NEW, reads=Side.NEW)


@action(Actor.PERSON, "S15")
def s15_reads_back(world: World, on: Guards) -> Iterator[World]:
    """Reads are sent back."""
    if world.state is State.READS_NEW and world.at is At.AWAY and world.answer is Answer.NONE:
        yield world._replace(state=State.READY, reads=Side.OLD)


@action(Actor.PERSON)
def abort(world: World, on: Guards) -> Iterator[World]:
    """The migration is aborted; its run loses the lease."""
    if world.state in _BEFORE_READS_NEW:
        yield world._replace(state=State.ABORTED, at=At.AWAY, seen=None, quiet=0, answer=Answer.NONE)


@action(Actor.PERSON)
def forward_again(world: World, on: Guards) -> Iterator[World]:
    """After a rollback it goes forward again, without a full copy."""
    if world.state is State.ROLLED_BACK and world.at is At.DONE and world.sent is None:
        intents = (world.known,) if world.new != world.known else ()
        yield world._replace(state=State.CATCHING_UP, at=At.AWAY, hook=Hook.NONE, kept=None, intents=intents)


APPLICATION: tuple[Action[World], ...] = (send_write, write_lands, late_write_lands)
NATURE: tuple[Action[World], ...] = (
    crash, own_write_lands, own_write_is_lost, store_forgets, pause_ends, late_call_arrives, late_call_is_lost,
)  # fmt: skip
PERSON: tuple[Action[World], ...] = (straggler_follows,)
SWITCHING: tuple[Action[World], ...] = (approve_switch, approve_merge)
TWO_STEPS: tuple[Action[World], ...] = (s15_reads_new, s15_reads_back)
ABORTING: tuple[Action[World], ...] = (abort,)
ROLLING_BACK: tuple[Action[World], ...] = (approve_rollback, approve_merge, approve_merge_of_late)
ROUTE_ONLY: tuple[Action[World], ...] = (approve_route_only, approve_late_merge)
FORWARD_AGAIN: tuple[Action[World], ...] = (forward_again,)
