"""A scheduled sync beside a cutover: one lease, a token that is checked, and the way that it may go (S1, S6)."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from tests.protocol.explore import Action, Actor, Invariant, Scenario, action
from tests.protocol.guards import Guard, Guards
from vecferry.ledger.states import State

__all__ = ["SYNC"]


class Holder(StrEnum):
    """Who holds the lease."""

    NOBODY = "nobody"
    SYNC = "sync"
    CUTOVER = "cutover"


class World(NamedTuple):
    """Contents are the numbers of the application's writes; `sync_read` is what a sync carries in its hands."""

    state: State
    old: int = 1
    new: int = 1
    truth: int = 1
    lease: Holder = Holder.NOBODY
    syncing: bool = False
    sync_back: bool = False
    sync_read: int | None = None
    paused: bool = False
    next_write: int = 2
    writes_left: int = 2


@action(Actor.APPLICATION)
def write(world: World, on: Guards) -> Iterator[World]:
    """It writes to the store that serves it."""
    if world.paused or not world.writes_left:
        return
    done = world._replace(truth=world.next_write, next_write=world.next_write + 1, writes_left=world.writes_left - 1)
    if world.state is State.SWITCHED:
        yield done._replace(new=done.truth)
    else:
        yield done._replace(old=done.truth)


@action(Actor.RUN, "S6")
def s6_sync_begins(world: World, on: Guards) -> Iterator[World]:
    """The scheduled sync takes the lease: forward, or in reverse after the switch."""
    if world.lease is not Holder.NOBODY or world.syncing:
        return
    begun = world._replace(lease=Holder.SYNC, syncing=True)
    if world.state is not State.SWITCHED or Guard.SYNC_STOPS_AT_SWITCH not in on:
        yield begun
    else:
        yield begun._replace(sync_back=True)


@action(Actor.RUN, "S6")
def s6_sync_reads(world: World, on: Guards) -> Iterator[World]:
    """The sync reads the side that takes the writes."""
    if world.syncing and world.sync_read is None:
        yield world._replace(sync_read=world.new if world.sync_back else world.old)


@action(Actor.RUN, "S1")
def s1_sync_writes(world: World, on: Guards) -> Iterator[World]:
    """The sync writes what it read to the other side, if its token still counts, and ends."""
    if not world.syncing or world.sync_read is None:
        return
    mine = world.lease is Holder.SYNC
    ended = world._replace(syncing=False, sync_back=False, sync_read=None, lease=Holder.NOBODY if mine else world.lease)
    if not mine and Guard.TOKEN_BEFORE_EACH_WRITE in on:
        yield ended
    elif world.sync_back:
        yield ended._replace(old=world.sync_read)
    else:
        yield ended._replace(new=world.sync_read)


@action(Actor.NATURE)
def sync_falls_asleep(world: World, on: Guards) -> Iterator[World]:
    """The sync's process stands still until its lease has expired."""
    if world.lease is Holder.SYNC:
        yield world._replace(lease=Holder.NOBODY)


@action(Actor.RUN, "S9")
def s9_pause(world: World, on: Guards) -> Iterator[World]:
    """The cutover takes the lease and pauses the writes."""
    if world.state is State.READY and world.lease is Holder.NOBODY:
        yield world._replace(state=State.FROZEN, lease=Holder.CUTOVER, paused=True)


@action(Actor.RUN, "S10")
def s10_final_pass(world: World, on: Guards) -> Iterator[World]:
    """The last passes carry over what is left, and the target is read."""
    if world.state is State.FROZEN:
        yield world._replace(new=world.old, state=State.SWITCHING)


@action(Actor.RUN, "S12")
def s12_switch(world: World, on: Guards) -> Iterator[World]:
    """The route moves, the writes are released, the lease is given back."""
    if world.state is State.SWITCHING:
        yield world._replace(state=State.SWITCHED, paused=False, lease=Holder.NOBODY)


def _lost(before: World, step: Action[World], after: World) -> bool:
    served = after.new if after.state is State.SWITCHED else after.old
    return not after.paused and served != after.truth


SYNC = Scenario(
    "sync",
    (World(State.READY),),
    (write, s6_sync_begins, s6_sync_reads, s1_sync_writes, sync_falls_asleep, s9_pause, s10_final_pass, s12_switch),
    (Invariant("I1", "an acknowledged write was overwritten by a sync", _lost),),
)
