"""Rows that a pass does not find: torn scans, rows not visible yet, updates made of a delete and an insert (S4, S5)."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from tests.protocol.explore import Action, Actor, Invariant, Scenario, action
from tests.protocol.guards import Guard, Guards
from vecferry.ledger.states import State

__all__ = ["ABSENCE"]


class At(StrEnum):
    """What the pass does next."""

    IDLE = "idle"
    FIRST = "first slice read"
    MISSED = "missed by the scan"
    ABSENT_ONCE = "one point read found nothing"
    ABSENT = "two point reads found nothing"


class Row(StrEnum):
    """The record in the source."""

    FIRST = "in the first slice"
    SECOND = "in the second slice"
    GAP = "deleted, to be inserted again at once"
    GONE = "deleted"


class World(NamedTuple):
    """`visible` is false while the source does not show an insert yet; `absences` counts passes in a row.

    `absent` says whether the row was really not there at some time since the pass began.
    """

    state: State
    row: Row = Row.FIRST
    visible: bool = True
    target: bool = True
    at: At = At.IDLE
    absences: int = 0
    absent: bool = False
    moves_left: int = 1
    gaps_left: int = 1


def _found(world: World, row: Row) -> bool:
    return world.row is row and world.visible


@action(Actor.APPLICATION)
def update_in_two(world: World, on: Guards) -> Iterator[World]:
    """It updates the row by a delete, which an insert follows."""
    if world.row in (Row.FIRST, Row.SECOND) and world.gaps_left:
        yield world._replace(row=Row.GAP, absent=True, gaps_left=world.gaps_left - 1)


@action(Actor.APPLICATION)
def insert_again(world: World, on: Guards) -> Iterator[World]:
    """The insert of its update is acknowledged, and not visible yet."""
    if world.row is Row.GAP:
        for row in (Row.FIRST, Row.SECOND):
            yield world._replace(row=row, visible=False)


@action(Actor.NATURE)
def becomes_visible(world: World, on: Guards) -> Iterator[World]:
    """The source shows the row: its visibility delay is over."""
    if not world.visible:
        yield world._replace(visible=True)


@action(Actor.NATURE)
def row_moves(world: World, on: Guards) -> Iterator[World]:
    """An update in place moves the row to the other slice."""
    other = {Row.FIRST: Row.SECOND, Row.SECOND: Row.FIRST}.get(world.row)
    if other and world.visible and world.moves_left:
        yield world._replace(row=other, moves_left=world.moves_left - 1)


@action(Actor.APPLICATION)
def delete(world: World, on: Guards) -> Iterator[World]:
    """It deletes the row for good."""
    if world.row in (Row.FIRST, Row.SECOND):
        yield world._replace(row=Row.GONE, absent=True)


@action(Actor.RUN, "S4")
def s4_first_slice(world: World, on: Guards) -> Iterator[World]:
    """A pass reads the first slice."""
    if world.at is At.IDLE and world.target and not (world.absences and world.row is Row.GAP):
        begun = world._replace(absent=world.row in (Row.GAP, Row.GONE))
        yield begun._replace(absences=0) if _found(world, Row.FIRST) else begun._replace(at=At.FIRST)


@action(Actor.RUN, "S4")
def s4_second_slice(world: World, on: Guards) -> Iterator[World]:
    """The pass reads the second slice."""
    if world.at is At.FIRST:
        found = _found(world, Row.SECOND)
        yield world._replace(at=At.IDLE, absences=0) if found else world._replace(at=At.MISSED)


@action(Actor.RUN, "S5")
def s5_point_read(world: World, on: Guards) -> Iterator[World]:
    """A row that the scan missed is read by its id."""
    if world.at is At.MISSED:
        if Guard.POINT_READS_BEFORE_DELETE not in on:
            yield world._replace(at=At.ABSENT)
        elif world.visible and world.row in (Row.FIRST, Row.SECOND):
            yield world._replace(at=At.IDLE, absences=0)
        else:
            yield world._replace(at=At.ABSENT_ONCE)


@action(Actor.RUN, "S5")
def s5_second_point_read(world: World, on: Guards) -> Iterator[World]:
    """After the visibility delay it is read by its id once more."""
    if world.at is not At.ABSENT_ONCE:
        return
    if Guard.SECOND_POINT_READ not in on:
        yield world._replace(at=At.ABSENT)
    elif world.visible:
        there = world.row in (Row.FIRST, Row.SECOND)
        yield world._replace(at=At.IDLE, absences=0) if there else world._replace(at=At.ABSENT)


@action(Actor.RUN, "S5")
def s5_delete(world: World, on: Guards) -> Iterator[World]:
    """The row is deleted in the target; while that serves reads, only after two passes found it absent."""
    if world.at is not At.ABSENT:
        return
    if world.state is State.READS_NEW and world.absences == 0 and Guard.ABSENT_IN_TWO_PASSES in on:
        yield world._replace(at=At.IDLE, absences=1)
    else:
        yield world._replace(at=At.IDLE, target=False)


@action(Actor.RUN)
def next_pass_brings_it_back(world: World, on: Guards) -> Iterator[World]:
    """A later pass finds the row and inserts it again."""
    if not world.target and world.visible and world.row in (Row.FIRST, Row.SECOND):
        yield world._replace(target=True, absences=0)


def _nobodys(before: World, step: Action[World], after: World) -> bool:
    return before.target and not after.target and not before.absent


def _hole(before: World, step: Action[World], after: World) -> bool:
    deleted = before.target and not after.target
    return deleted and after.state is State.READS_NEW and after.row is not Row.GONE


ABSENCE = Scenario(
    "absence",
    (World(State.READY), World(State.READS_NEW), World(State.READY, Row.SECOND)),
    (
        update_in_two, insert_again, becomes_visible, row_moves, delete, s4_first_slice, s4_second_slice,
        s5_point_read, s5_second_point_read, s5_delete, next_pass_brings_it_back,
    ),
    (
        Invariant("I5", "a row was deleted that nobody had deleted", _nobodys),
        Invariant("I5", "readers of the new store miss a row that is being updated", _hole),
    ),
)  # fmt: skip
