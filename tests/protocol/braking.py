"""Brakes on deletions, over many passes, crashes and a person's allowance (S5). Counts stand for rows."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from tests.protocol.explore import Action, Actor, Invariant, Scenario, action
from tests.protocol.guards import Guard, Guards

__all__ = ["BRAKES"]

LIMIT = 1
"""How many rows may be deleted without a person's word."""


class At(StrEnum):
    """What is to be done with the delta: it is in the ledger, and so survives a crash."""

    IDLE = "idle"
    RECORDED = "recorded"
    WRITTEN = "written"


class World(NamedTuple):
    """`deleted` is what really went since the last approval; `counted` is what the ledger thinks."""

    source: int = 4
    target: int = 4
    at: At = At.IDLE
    delta: int = 0
    counted: int = 0
    deleted: int = 0
    shown: int = 0
    allowed: int = 0
    agreed: int = LIMIT
    crashes_left: int = 1
    approvals_left: int = 1


@action(Actor.NATURE)
def row_vanishes(world: World, on: Guards) -> Iterator[World]:
    """A row goes away in the source, by somebody's mistake."""
    if world.source:
        yield world._replace(source=world.source - 1)


@action(Actor.RUN, "S5")
def s5_pass(world: World, on: Guards) -> Iterator[World]:
    """A pass finds rows gone: the delta is recorded within the brakes, or shown to a person."""
    gone = world.target - world.source
    if world.at is not At.IDLE or not gone:
        return
    bound = Guard.ALLOWANCE_BOUND_TO_DIGEST not in on or gone == world.allowed
    if world.allowed and bound:
        yield world._replace(at=At.RECORDED, delta=gone, allowed=0, shown=0)
    elif gone + (world.counted if Guard.BRAKES_SINCE_APPROVAL in on else 0) > LIMIT:
        yield world._replace(shown=gone, allowed=0)
    else:
        counted = world.counted + (gone if Guard.COUNT_BEFORE_WRITE in on else 0)
        yield world._replace(at=At.RECORDED, delta=gone, counted=counted)


@action(Actor.RUN, "S3")
def s3_write(world: World, on: Guards) -> Iterator[World]:
    """The recorded delta is loaded: its rows are deleted in the target."""
    if world.at is At.RECORDED:
        target, deleted = world.target - world.delta, world.deleted + world.delta
        yield world._replace(at=At.WRITTEN, target=target, deleted=deleted)


@action(Actor.RUN, "S3")
def s3_close(world: World, on: Guards) -> Iterator[World]:
    """The delta is read back and closed."""
    if world.at is At.WRITTEN:
        counted = world.counted + (0 if Guard.COUNT_BEFORE_WRITE in on else world.delta)
        yield world._replace(at=At.IDLE, counted=counted, delta=0)


@action(Actor.NATURE)
def crash(world: World, on: Guards) -> Iterator[World]:
    """The run is killed; the next one finds the delta open, or reads back that it was written."""
    if not world.crashes_left:
        return
    dead = world._replace(crashes_left=world.crashes_left - 1)
    yield dead._replace(at=At.IDLE, delta=0) if world.at is At.WRITTEN else dead


@action(Actor.PERSON, "S5")
def allow_deletes(world: World, on: Guards) -> Iterator[World]:
    """A person allows as many deletions as were shown; the count begins anew."""
    if world.shown and world.approvals_left and not world.allowed and world.at is At.IDLE:
        allowed = world._replace(allowed=world.shown, agreed=world.shown + LIMIT, approvals_left=0)
        yield allowed._replace(counted=0, deleted=0)


def _too_many(before: World, step: Action[World], after: World) -> bool:
    return after.deleted > after.agreed


BRAKES = Scenario(
    "brakes",
    (World(),),
    (row_vanishes, s5_pass, s3_write, s3_close, crash, allow_deletes),
    (Invariant("I8", "more rows were deleted since the last approval than a person agreed to", _too_many),),
    states=lambda world: (),
)
