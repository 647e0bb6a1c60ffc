"""Walks every state that a scenario can reach, breadth first, so that the first failure found is a shortest one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from tests.protocol.guards import Guards
from vecferry.ledger.states import State
from vecferry.routing import states

__all__ = ["Action", "Actor", "Explored", "Failure", "Invariant", "Promise", "Scenario", "action", "explore"]

W = TypeVar("W", bound=tuple[Any, ...])


class Actor(StrEnum):
    """Who takes a step."""

    RUN = "vecferry"
    APPLICATION = "application"
    PERSON = "person"
    NATURE = "nature"


@dataclass(frozen=True, eq=False)
class Action(Generic[W]):
    """One step of somebody: the worlds after it, none where it cannot be taken.

    `at` says where a run must be for it, so that it is not tried in vain elsewhere; empty means anywhere.
    """

    name: str
    actor: Actor
    step: str
    says: str
    run: Callable[[W, Guards], Iterator[W]]
    at: tuple[str, ...] = ()


def action(
    actor: Actor, step: str = "", *, at: str | tuple[str, ...] = ()
) -> Callable[[Callable[[W, Guards], Iterator[W]]], Action[W]]:
    """Make an action of a function; the first line of its docstring is what a trace says."""

    def made(run: Callable[[W, Guards], Iterator[W]]) -> Action[W]:
        says = (run.__doc__ or run.__name__).splitlines()[0].rstrip(".")
        return Action(run.__name__, actor, step, says, run, (at,) if isinstance(at, str) else at)

    return made


@dataclass(frozen=True)
class Invariant(Generic[W]):
    """Holds after every step. `breaks` sees the world before and after it, and who took it."""

    number: str
    says: str
    breaks: Callable[[W, Action[W], W], bool]


@dataclass(frozen=True)
class Promise(Generic[W]):
    """Wherever `given` holds, steps of `actor` alone can lead to `then`."""

    number: str
    says: str
    given: Callable[[W], bool]
    then: Callable[[W], bool]
    actor: Actor


@dataclass(frozen=True)
class Scenario(Generic[W]):
    """A small world: where it begins, what can happen in it, and what must never.

    `states` are those of the migration, or of its workspaces: each step of theirs must be in the protocol's table.
    """

    name: str
    starts: tuple[W, ...]
    actions: tuple[Action[W], ...]
    invariants: tuple[Invariant[W], ...]
    promises: tuple[Promise[W], ...] = ()
    states: Callable[[W], tuple[State, ...]] = lambda world: (world.state,)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Failure(Generic[W]):
    """A broken invariant and a shortest way to it."""

    number: str
    says: str
    start: W
    steps: tuple[tuple[Action[W], W], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The actions in order."""
        return tuple(step.name for step, _ in self.steps)

    def __str__(self) -> str:
        lines = [f"{self.number} is broken: {self.says}", f"   it begins with {_shown(self.start)}"]
        before = self.start
        for number, (step, after) in enumerate(self.steps, 1):
            who = f"{step.actor} {step.step}".rstrip()
            lines.append(f"{number:3}. {who:14} {step.says}{_changes(before, after)}")
            before = after
        return "\n".join(lines)


@dataclass(frozen=True)
class Explored(Generic[W]):
    """What a walk saw; `moves` are the steps between states of a migration that it took."""

    scenario: str
    worlds: int
    transitions: int
    depth: int
    taken: frozenset[str]
    moves: frozenset[tuple[State, State]]
    failure: Failure[W] | None


TABLE = "table"


def explore(scenario: Scenario[W], guards: Guards) -> Explored[W]:
    """Every world that can be reached, up to the first failure."""
    return _Walk(scenario, guards).run()


class _Walk(Generic[W]):
    def __init__(self, scenario: Scenario[W], guards: Guards) -> None:
        self.scenario, self.guards = scenario, guards
        self.parents: dict[W, tuple[W, Action[W]] | None] = dict.fromkeys(scenario.starts)
        self.edges: list[tuple[W, Action[W], W]] = []
        self.possible: dict[str | None, tuple[Action[W], ...]] = {}
        self.transitions = 0
        self.taken: set[str] = set()
        self.moves: set[tuple[State, State]] = set()

    def run(self) -> Explored[W]:
        failure, depth = self._walk()
        failure = failure or self._unkept()
        counts = (len(self.parents), self.transitions, depth)
        return Explored(self.scenario.name, *counts, frozenset(self.taken), frozenset(self.moves), failure)

    def _walk(self) -> tuple[Failure[W] | None, int]:
        level: Sequence[W] = self.scenario.starts
        depth = -1
        while level:
            depth += 1
            found: list[W] = []
            for before in level:
                failure = self._expand(before, found)
                if failure:
                    return failure, depth
            level = found
        return None, depth

    def _expand(self, before: W, found: list[W]) -> Failure[W] | None:
        parents, watched = self.parents, any(promise.given(before) for promise in self.scenario.promises)
        for step in self._steps(before):
            for after in step.run(before, self.guards):
                self.transitions += 1
                if watched:
                    self.edges.append((before, step, after))
                broken = self._broken(before, step, after)
                if broken:
                    return self._failure(broken, before, (step, after))
                if after != before:
                    self.taken.add(step.name)
                if after not in parents:
                    parents[after] = (before, step)
                    found.append(after)
        return None

    def _steps(self, world: W) -> tuple[Action[W], ...]:
        place = getattr(world, "at", None)
        if place not in self.possible:
            found = (step for step in self.scenario.actions if not step.at or place in step.at)
            self.possible[place] = tuple(found)
        return self.possible[place]

    def _broken(self, before: W, step: Action[W], after: W) -> Invariant[W] | None:
        for source, target in zip(self.scenario.states(before), self.scenario.states(after), strict=True):
            if source is not target:
                self.moves.add((source, target))
                if not states.can(source, target):
                    return Invariant(TABLE, f"it has no step from {source} to {target}", lambda *_: True)
        return next((one for one in self.scenario.invariants if one.breaks(before, step, after)), None)

    def _unkept(self) -> Failure[W] | None:
        for promise in self.scenario.promises:
            kept = set(filter(promise.then, self.parents))
            before = -1
            edges = [(one, after) for one, step, after in self.edges if step.actor is promise.actor]
            while len(kept) > before:
                before = len(kept)
                kept.update(one for one, after in edges if after in kept)
            for world in self.parents:
                if promise.given(world) and world not in kept:
                    return self._failure(promise, world)
        return None

    def _failure(self, broken: Invariant[W] | Promise[W], last: W, *more: tuple[Action[W], W]) -> Failure[W]:
        steps = list(reversed(more))
        while (parent := self.parents[last]) is not None:
            steps.append((parent[1], last))
            last = parent[0]
        return Failure(broken.number, broken.says, last, tuple(reversed(steps)))


def _changes(before: Any, after: Any) -> str:
    found = [
        f"{name}: {_value(old)} -> {_value(new)}"
        for name, old, new in zip(before._fields, before, after, strict=True)
        if old != new and name not in QUIET
    ]
    return f"  [{', '.join(found)}]" if found else ""


QUIET: Iterable[str] = frozenset(
    {"at", "writes_left", "faults_left", "crashes_left", "next_write", "moves_left", "gaps_left", "approvals_left"}
)
"""Fields that a trace does not show: the step itself says them."""


def _shown(world: Any) -> str:
    defaults = world._field_defaults
    shown = [
        f"{name}: {_value(value)}"
        for name, value in zip(world._fields, world, strict=True)
        if name not in QUIET and (name not in defaults or defaults[name] != value)
    ]
    return ", ".join(shown)


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_value, value))})"
    return "-" if value is None else str(value)
