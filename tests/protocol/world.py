"""The world of one migration of one record: two stores, a run, an application, and what is written down.

A content is the number of the write that made it: 1 was there at the beginning, 0 is nothing, and -3 is what the third
write left when it was a deletion. So every content tells who wrote it.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from vecferry.ledger.states import State

__all__ = ["BACK", "FORWARD", "Answer", "App", "At", "Hook", "Owed", "Own", "Sent", "Side", "Way", "World", "held"]
__all__ += ["contested", "expected", "forgive", "merging", "put", "served", "way"]


class Side(StrEnum):
    """One of the two stores."""

    OLD = "old"
    NEW = "new"


class App(StrEnum):
    """Which store the application's instances use; two of them are enough to be of two minds."""

    OLD = "old"
    SPLIT = "old and new"
    NEW = "new"


class Hook(StrEnum):
    """What the ledger knows of the call that moves the application."""

    NONE = "none"
    INTENDED = "intended"
    CONFIRMED = "confirmed"


class Answer(StrEnum):
    """A person's yes that waits to be used, or is being used."""

    NONE = "none"
    SWITCH = "switch"
    ROLLBACK = "rollback"
    ROUTE_ONLY = "route only"
    MERGE = "merge"


class At(StrEnum):
    """What the run does next. It is gone with the process that knew it."""

    AWAY = "no run"
    DOWN = "crashed"
    START = "has the lease"
    PASS = "pass"
    INTENT = "intent"
    WRITE = "write"
    FATE = "fate unknown"
    READ_BACK = "read back"
    VERIFY = "verify"
    PREFLIGHT = "preflight"
    PAUSE = "pause"
    WAIT = "wait"
    FENCES = "fences"
    TARGET = "read the target"
    MANIFEST = "manifest"
    COMMIT = "commit"
    UNDO = "undo"
    HOOK = "hook intent"
    CALL = "hook call"
    OBSERVE = "read back the hook"
    CHECK = "check"
    RELEASE = "release"
    WATCH = "watch"
    DONE = "done"


class Sent(NamedTuple):
    """A write of the application that is under way; a late one outlives the application's own time-out."""

    side: Side
    value: int
    late: bool


class Own(NamedTuple):
    """A write of ours of unknown fate: it may land at any time, or never."""

    side: Side
    value: int


class Owed(NamedTuple):
    """A write that the application has seen acknowledged, and nobody has replaced or listed."""

    value: int
    late: bool


class World(NamedTuple):
    """All that counts. `known` is what both stores held when they were last found equal.

    `kept` are what old and new hold where a merge left them different. `probed`: whether a write to the old store was
    tried, on a scratch row.

    `before` is what our write replaced where it is the last one; while it is not `settled`, a restart brings it back.
    """

    state: State
    at: At = At.AWAY
    seen: int | None = None
    quiet: int = 0
    old: int = 1
    new: int = 0
    known: int = 0
    kept: tuple[int, int] | None = None
    intents: tuple[int, ...] = ()
    before: Own | None = None
    settled: bool = True
    own: Own | None = None
    probed: bool = False
    paused: bool = False
    route: Side = Side.OLD
    reads: Side = Side.OLD
    app: App = App.OLD
    hook: Hook = Hook.NONE
    calling: Side | None = None
    sent: Sent | None = None
    owed: tuple[Owed, ...] = (Owed(1, False),)
    answer: Answer = Answer.NONE
    prefer: Side | None = None
    conflict: bool = False
    next_write: int = 2
    writes_left: int = 1
    faults_left: int = 1
    crashes_left: int = 1


class Way(NamedTuple):
    """The cutover, and its mirror image."""

    losing: Side
    gaining: Side
    frozen: State
    switching: State
    switched: State


FORWARD = Way(Side.OLD, Side.NEW, State.FROZEN, State.SWITCHING, State.SWITCHED)
BACK = Way(Side.NEW, Side.OLD, State.ROLLBACK_FROZEN, State.ROLLBACK_SWITCHING, State.ROLLED_BACK)

_BACKWARD = frozenset({State.ROLLBACK_FROZEN, State.ROLLBACK_SWITCHING, State.ROLLED_BACK, State.ROLLED_BACK_UNMERGED})


def way(world: World) -> Way:
    """Which way the run goes."""
    back = world.state in _BACKWARD
    if world.state is State.SWITCHED:
        back = world.answer in (Answer.ROLLBACK, Answer.ROUTE_ONLY)
    return BACK if back else FORWARD


def merging(world: World) -> bool:
    """Whether both sides may have been written by the application, so that both are looked at."""
    return way(world) is BACK or world.answer is Answer.MERGE


def contested(world: World, side: Side) -> bool:
    """Whether the application uses a store, so that ours and its writes could meet there."""
    return world.app is App.SPLIT or (world.app is App.OLD) == (side is Side.OLD)


def held(world: World, side: Side) -> int:
    """What a store holds."""
    return world.old if side is Side.OLD else world.new


def expected(world: World, side: Side) -> int:
    """What a store is to hold when everything was carried over."""
    if world.kept is None:
        return world.known
    return world.kept[0] if side is Side.OLD else world.kept[1]


def served(world: World) -> int:
    """What the application is to find, by the ledger's route."""
    return held(world, world.route)


def put(world: World, side: Side, value: int) -> World:
    """A store holds something else."""
    return world._replace(old=value) if side is Side.OLD else world._replace(new=value)


def forgive(world: World, value: int) -> World:
    """This write is listed for a person: it is not owed any longer."""
    return world._replace(owed=tuple(one for one in world.owed if one.value != value))
