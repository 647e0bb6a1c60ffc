"""The end of a migration: complete, the last look, the drop, and what an aborted run leaves behind (S14, S22, S23)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.protocol.explore import Action, Actor, Invariant, Scenario, action
from tests.protocol.guards import Guard, Guards
from vecferry.ledger.states import State

__all__ = ["DISCARD", "DROP"]


class World(NamedTuple):
    """The old store after a switch. `final` is what the final archive has of it, `straggler` still writes to it."""

    state: State
    old: int | None = 1
    final: int = 1
    sent: int | None = 2
    owed: tuple[int, ...] = ()
    straggler: bool = True
    next_write: int = 3


@action(Actor.APPLICATION)
def late_write_lands(world: World, on: Guards) -> Iterator[World]:
    """A write from before the switch lands in the old store and is acknowledged, very late."""
    if world.sent and world.old is not None:
        yield world._replace(old=world.sent, owed=(world.sent,), sent=None)


@action(Actor.APPLICATION)
def straggler_writes(world: World, on: Guards) -> Iterator[World]:
    """An instance that never moved writes to the old store."""
    if world.straggler and world.old is not None and world.next_write == 3:
        yield world._replace(old=3, owed=(3,), next_write=4)


@action(Actor.PERSON)
def straggler_moves(world: World, on: Guards) -> Iterator[World]:
    """That instance is moved."""
    if world.straggler:
        yield world._replace(straggler=False)


@action(Actor.RUN, "S14")
def s14_late_pass(world: World, on: Guards) -> Iterator[World]:
    """The old store is read again: what differs is listed and kept in the final archive."""
    if world.old not in (None, world.final):
        yield world._replace(final=world.old, owed=())


@action(Actor.PERSON, "S22")
def s22_complete(world: World, on: Guards) -> Iterator[World]:
    """The way back is ended by `complete`."""
    if world.state is State.SWITCHED and world.old == world.final:
        if world.straggler and Guard.OBSERVED_ROUTE_AT_COMPLETE in on:
            return
        yield world._replace(state=State.COMPLETED)


@action(Actor.PERSON, "S23")
def s23_drop(world: World, on: Guards) -> Iterator[World]:
    """The old collection is dropped by `decommission`."""
    equal = world.old == world.final or Guard.LAST_LOOK_BEFORE_DROP not in on
    if world.state is State.COMPLETED and world.old is not None and equal:
        yield world._replace(old=None)


def _dropped_unequal(before: World, step: Action[World], after: World) -> bool:
    return before.old is not None and after.old is None and before.old != before.final


def _gone(before: World, step: Action[World], after: World) -> bool:
    return after.old is None and bool(after.owed)


def _completed_too_early(before: World, step: Action[World], after: World) -> bool:
    return after.state is State.COMPLETED and after.straggler


DROP = Scenario(
    "drop",
    (World(State.SWITCHED),),
    (late_write_lands, straggler_writes, straggler_moves, s14_late_pass, s22_complete, s23_drop),
    (
        Invariant("I6", "a collection was dropped that differs from its final archive", _dropped_unequal),
        Invariant("I1", "an acknowledged write went with the drop and was not listed", _gone),
        Invariant("I6", "completed while a part of the application uses the old store", _completed_too_early),
    ),
)


class Remains(NamedTuple):
    """The target of an aborted run, with a write of it under way; `run` is the one whose collection stands there."""

    state: State
    run: int | None = 1
    row_of: int | None = 1
    under_way: bool = True


@action(Actor.NATURE)
def own_write_lands(world: Remains, on: Guards) -> Iterator[Remains]:
    """A write of the aborted run lands, if there is a collection of that name."""
    if world.under_way:
        yield world._replace(under_way=False, row_of=1 if world.run is not None else None)


@action(Actor.NATURE)
def own_write_is_lost(world: Remains, on: Guards) -> Iterator[Remains]:
    """A write of the aborted run never lands."""
    if world.under_way:
        yield world._replace(under_way=False)


@action(Actor.PERSON, "S23")
def s23_discard(world: Remains, on: Guards) -> Iterator[Remains]:
    """What the aborted run left is dropped, after the driver's time-out."""
    if world.run == 1 and not (world.under_way and Guard.DISCARD_WAITS in on):
        yield world._replace(run=None, row_of=None)


@action(Actor.RUN)
def next_run_copies(world: Remains, on: Guards) -> Iterator[Remains]:
    """The next run makes a collection of the same name and copies into it."""
    if world.run is None:
        yield world._replace(run=2, row_of=2)


def _mixed(before: Remains, step: Action[Remains], after: Remains) -> bool:
    return after.run == 2 and after.row_of == 1


DISCARD = Scenario(
    "discard",
    (Remains(State.ABORTED),),
    (own_write_lands, own_write_is_lost, s23_discard, next_run_copies),
    (Invariant("I2", "a late write of an aborted run is in the target of the next one", _mixed),),
)
