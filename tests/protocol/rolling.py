"""A rolling run: workspaces that switch and go back one by one, and a record that changes its own (S19, S20)."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum, StrEnum
from typing import NamedTuple

from tests.protocol.explore import Action, Actor, Invariant, Scenario, action
from tests.protocol.guards import Guard, Guards
from vecferry.ledger.states import State

__all__ = ["ROLLING"]


class Group(IntEnum):
    """A workspace."""

    A = 0
    B = 1

    @property
    def other(self) -> Group:
        """The other one."""
        return Group(1 - self)


class Side(StrEnum):
    """One of the two stores."""

    OLD = "old"
    NEW = "new"


class Row(NamedTuple):
    """The record, as a store holds it: its workspace, and the number of the write that made it."""

    group: Group
    value: int

    def __str__(self) -> str:
        return f"{self.group.name}{self.value}"


class World(NamedTuple):
    """`known` is the row that both stores held when it was last carried; the ledger finds it by that row's group.

    It is None for a record that the application made and nobody carried yet.
    """

    states: tuple[State, State] = (State.READY, State.READY)
    old: Row | None = Row(Group.A, 1)
    new: Row | None = Row(Group.A, 1)
    known: Row | None = Row(Group.A, 1)
    truth: Row = Row(Group.A, 1)
    paused: Group | None = None
    passed: bool = False
    next_write: int = 2
    writes_left: int = 3
    crashes_left: int = 1


_SERVED_BY_NEW = frozenset({State.SWITCHED, State.ROLLBACK_FROZEN})
_FROZEN = frozenset({State.FROZEN, State.ROLLBACK_FROZEN})
_SWITCHING = {State.FROZEN: State.SWITCHING, State.ROLLBACK_FROZEN: State.ROLLBACK_SWITCHING}
_ENDS = {State.SWITCHING: State.SWITCHED, State.ROLLBACK_SWITCHING: State.ROLLED_BACK}
_UNDONE = {State.FROZEN: State.READY, State.ROLLBACK_FROZEN: State.SWITCHED}
_PAUSES = {State.READY: State.FROZEN, State.SWITCHED: State.ROLLBACK_FROZEN}


def _route(world: World, group: Group) -> Side:
    """Which store serves a workspace: the switch is one transaction, and so is the way back."""
    state = world.states[group]
    return Side.NEW if state in _SERVED_BY_NEW or state is State.ROLLBACK_SWITCHING else Side.OLD


def _held(world: World, side: Side) -> Row | None:
    return world.old if side is Side.OLD else world.new


def _put(world: World, side: Side, row: Row) -> World:
    return world._replace(old=row) if side is Side.OLD else world._replace(new=row)


def _with(world: World, group: Group, state: State) -> World:
    states = (state, world.states[1]) if group is Group.A else (world.states[0], state)
    return world._replace(states=states)


def _found(world: World) -> Row | None:
    """The record, where the application finds it: in the store that serves its workspace."""
    row = _held(world, _route(world, world.truth.group))
    return row if row is not None and row.group is world.truth.group else None


@action(Actor.APPLICATION)
def update(world: World, on: Guards) -> Iterator[World]:
    """It writes to the record within its workspace."""
    group = world.truth.group
    if world.writes_left and world.paused is not group and _found(world) == world.truth:
        yield _written(world, group)


@action(Actor.APPLICATION)
def change_workspace(world: World, on: Guards) -> Iterator[World]:
    """It moves the record to the other workspace, in place."""
    group = world.truth.group
    if not world.writes_left or world.paused is group or _found(world) != world.truth:
        return
    if world.paused is group.other and Guard.PAUSE_COVERS_MOVERS in on:
        return
    yield _written(world, group.other)


def _written(world: World, group: Group) -> World:
    row = Row(group, world.next_write)
    done = world._replace(truth=row, next_write=world.next_write + 1, writes_left=world.writes_left - 1)
    return _put(done, _route(world, world.truth.group), row)


@action(Actor.RUN, "S9")
def s9_pause(world: World, on: Guards) -> Iterator[World]:
    """The writers of a workspace are paused, for its switch or its way back."""
    if world.paused is None:
        for group in Group:
            if world.states[group] in _PAUSES:
                yield _with(world, group, _PAUSES[world.states[group]])._replace(paused=group, passed=False)


@action(Actor.RUN, "S19")
def s19_pass(world: World, on: Guards) -> Iterator[World]:
    """The last pass reads the workspace's rows, and those that the ledger knows as of it, and carries what changed."""
    group = world.paused
    if group is None or world.passed or world.states[group] not in _FROZEN:
        return
    here = _route(world, group)
    row = _held(world, here)
    by_filter = row is not None and row.group is group
    by_ledger = world.known is not None and world.known.group is group and Guard.LEDGER_IDS_IN_PASS in on
    passed = world._replace(passed=True)
    if row is not None and (by_filter or by_ledger):
        yield _carried(passed, row, here) if _mine(world, row, group, on) else passed
    elif Guard.FOREIGN_ROWS_STAY not in on and here is Side.OLD and world.new and world.new.group is group:
        yield passed._replace(new=None)
    else:
        yield passed


def _mine(world: World, row: Row, group: Group, on: Guards) -> bool:
    """A row that left the workspace is carried as well, where it went to the other side."""
    return row != world.known and (row.group is group or Guard.CARRIED_ACROSS_SIDES in on or _stays(world, row))


def _stays(world: World, row: Row) -> bool:
    return _route(world, row.group) is _route(world, row.group.other)


def _carried(world: World, row: Row, here: Side) -> World:
    there = Side.NEW if here is Side.OLD else Side.OLD
    return _put(world, there, row)._replace(known=row)


@action(Actor.RUN, "S20")
def s20_carry_across(world: World, on: Guards) -> Iterator[World]:
    """A row that changed to a workspace of the other side is carried there."""
    if Guard.CARRIED_ACROSS_SIDES not in on:
        return
    for here, there in ((Side.OLD, Side.NEW), (Side.NEW, Side.OLD)):
        row = _held(world, here)
        changed = row is not None and row != world.known and _held(world, there) == world.known
        if row is not None and changed and _route(world, row.group) is there:
            yield _carried(world, row, here)


@action(Actor.RUN, "S12")
def s12_commit(world: World, on: Guards) -> Iterator[World]:
    """After the pass the workspace is about to switch."""
    group = world.paused
    if group is not None and world.passed and world.states[group] in _SWITCHING:
        yield _with(world, group, _SWITCHING[world.states[group]])


@action(Actor.RUN, "S12")
def s12_release(world: World, on: Guards) -> Iterator[World]:
    """The workspace's route moves, and its writers are released."""
    group = world.paused
    if group is not None and world.states[group] in _ENDS:
        yield _with(world, group, _ENDS[world.states[group]])._replace(paused=None, passed=False)


@action(Actor.NATURE)
def crash(world: World, on: Guards) -> Iterator[World]:
    """The run is killed before the switch: the next one undoes the pause."""
    group = world.paused
    if group is not None and world.states[group] in _UNDONE and world.crashes_left:
        undone = _with(world, group, _UNDONE[world.states[group]])
        yield undone._replace(paused=None, passed=False, crashes_left=world.crashes_left - 1)


def _at_rest(world: World) -> bool:
    """No workspace is on its way, and no row waits to be carried across."""
    return world.paused is None and not any(s20_carry_across.run(world, frozenset(Guard)))


def _ghost(before: World, step: Action[World], after: World) -> bool:
    """Whether a workspace serves the record although it is not in it, or as it was."""
    if not _at_rest(after):
        return False
    rows = ((group, _held(after, _route(after, group))) for group in Group)
    return any(row is not None and row.group is group and row != after.truth for group, row in rows)


def _missing(before: World, step: Action[World], after: World) -> bool:
    return _at_rest(after) and _found(after) != after.truth


def _not_with_its_group(before: World, step: Action[World], after: World) -> bool:
    """Whether a workspace has moved and left the record that is in it behind."""
    moved = step.name == "s12_release" and before.paused is after.truth.group
    return moved and _found(after) != after.truth


def _gone(before: World, step: Action[World], after: World) -> bool:
    return after.truth not in (after.old, after.new)


_MADE_IN_NEW = World(states=(State.SWITCHED, State.READY), old=None, known=None)
"""The application made the record in the new store, in a workspace that is served there."""

ROLLING = Scenario(
    "rolling",
    (World(), _MADE_IN_NEW),
    (update, change_workspace, s9_pause, s19_pass, s20_carry_across, s12_commit, s12_release, crash),
    (
        Invariant("I1", "an acknowledged write is in no store", _gone),
        Invariant("I1", "a workspace serves a row that has left it", _ghost),
        Invariant("I1", "a row is not served in its workspace", _missing),
        Invariant("I1", "a workspace has moved without a row that is in it", _not_with_its_group),
    ),
    states=lambda world: world.states,
)
