"""Links between source and target ids, when the mapping function changes its mind (S2)."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from tests.protocol.explore import Action, Actor, Invariant, Scenario, action
from tests.protocol.guards import Guard, Guards

__all__ = ["LINKS"]


class At(StrEnum):
    """What the run does next."""

    IDLE = "idle"
    WRITE = "write"
    CLOSE = "close"


class World(NamedTuple):
    """One source id, and the two target ids that it may have; a content is a write's number, 0 is no row."""

    source: int = 1
    rows: tuple[int, int] = (0, 0)
    function: int = 0
    link: int | None = None
    known: int = 0
    at: At = At.IDLE
    delta: int | None = None
    next_write: int = 2
    writes_left: int = 2
    crashes_left: int = 1


@action(Actor.APPLICATION)
def write(world: World, on: Guards) -> Iterator[World]:
    """It inserts, updates or deletes the record in the source."""
    if world.writes_left:
        done = world._replace(writes_left=world.writes_left - 1, next_write=world.next_write + 1)
        for value in (world.next_write, 0) if world.source else (world.next_write,):
            yield done._replace(source=value)


@action(Actor.NATURE)
def function_changes(world: World, on: Guards) -> Iterator[World]:
    """The mapping function would give this id another target id now, because the ids around it have changed."""
    if world.function == 0:
        yield world._replace(function=1)


@action(Actor.RUN, "S3")
def s3_intent(world: World, on: Guards) -> Iterator[World]:
    """A pass finds a change: the delta and, for a new id, its link are recorded."""
    if world.at is At.IDLE and (world.source != world.known or world.delta is not None):
        recorded = Guard.RECORDED_LINK_WINS in on and world.link is not None
        link = world.link if recorded else world.function
        yield world._replace(at=At.WRITE, delta=world.source, link=link)


@action(Actor.RUN, "S3")
def s3_write(world: World, on: Guards) -> Iterator[World]:
    """The delta is loaded under the target id of the link."""
    if world.at is At.WRITE and world.delta is not None and world.link is not None:
        rows = (world.delta, world.rows[1]) if world.link == 0 else (world.rows[0], world.delta)
        yield world._replace(rows=rows, at=At.CLOSE)


@action(Actor.RUN, "S3")
def s3_close(world: World, on: Guards) -> Iterator[World]:
    """The delta is read back and closed."""
    if world.at is At.CLOSE and world.delta is not None:
        yield world._replace(at=At.IDLE, known=world.delta, delta=None)


@action(Actor.NATURE)
def crash(world: World, on: Guards) -> Iterator[World]:
    """The run is killed."""
    if world.at is not At.IDLE and world.crashes_left:
        yield world._replace(at=At.IDLE, crashes_left=world.crashes_left - 1)


def _twice(before: World, step: Action[World], after: World) -> bool:
    return all(after.rows)


def _stale(before: World, step: Action[World], after: World) -> bool:
    return after.at is At.IDLE and after.delta is None and sorted(after.rows) != sorted((0, after.known))


LINKS = Scenario(
    "links",
    (World(),),
    (write, function_changes, s3_intent, s3_write, s3_close, crash),
    (
        Invariant("I9", "one source id has two rows in the target", _twice),
        Invariant("I9", "the target holds a row that the source no longer has", _stale),
    ),
    states=lambda world: (),
)
