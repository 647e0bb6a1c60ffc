"""The walk itself: what it finds, and that what it finds is a shortest way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.protocol.explore import Action, Actor, Invariant, Promise, Scenario, action, explore
from tests.protocol.guards import ALL, Guards
from vecferry.ledger.states import State


class Steps(NamedTuple):
    """A number that grows, and a state."""

    state: State = State.PLANNED
    number: int = 0


@action(Actor.RUN, "S4")
def one_more(world: Steps, on: Guards) -> Iterator[Steps]:
    """The number grows by one."""
    if world.number < 9:
        yield world._replace(number=world.number + 1)


@action(Actor.NATURE)
def three_more(world: Steps, on: Guards) -> Iterator[Steps]:
    """The number grows by three."""
    if world.number < 9:
        yield world._replace(number=world.number + 3)


@action(Actor.PERSON)
def ready_at_once(world: Steps, on: Guards) -> Iterator[Steps]:
    """The state is set to one that does not follow."""
    yield world._replace(state=State.READY)


def _scenario(*actions: Action[Steps], broken_at: int = 99, promise: Promise[Steps] | None = None) -> Scenario[Steps]:
    invariant = Invariant[Steps]("I0", "the number is too large", lambda before, step, after: after.number == broken_at)
    return Scenario("steps", (Steps(),), actions, (invariant,), (promise,) if promise else ())


def test_the_failure_found_is_a_shortest_one() -> None:
    """Of all ways to a broken invariant the shortest is told, step by step."""
    failure = explore(_scenario(one_more, three_more, broken_at=7), ALL).failure
    assert failure is not None
    assert sorted(failure.names) == ["one_more", "three_more", "three_more"]
    lines = str(failure).splitlines()
    assert lines[0] == "I0 is broken: the number is too large"
    assert lines[2] == "  1. vecferry S4    The number grows by one  [number: 0 -> 1]"


def test_everything_that_can_be_reached_is_seen() -> None:
    """Each world is seen once, and each step from it."""
    found = explore(_scenario(one_more), ALL)
    assert (found.worlds, found.transitions, found.depth, found.failure) == (10, 9, 9, None)


def test_a_step_that_the_table_does_not_have_is_a_failure() -> None:
    """No world passes from one state to another unless the protocol's table says that it may."""
    failure = explore(_scenario(ready_at_once), ALL).failure
    assert failure is not None
    assert failure.says == "it has no step from PLANNED to READY"


@pytest.mark.parametrize(("actor", "kept"), [(Actor.RUN, True), (Actor.NATURE, False)])
def test_a_promise_is_kept_by_its_actor_alone(actor: Actor, kept: bool) -> None:
    """What somebody's steps alone must lead to is looked for among the steps of that one only."""
    promise = Promise[Steps](
        "I0", "nine is out of reach", lambda world: world.number > 5, lambda w: w.number > 8, actor
    )
    failure = explore(_scenario(one_more, promise=promise), ALL).failure
    assert (failure is None) is kept
    assert kept or (failure is not None and len(failure.steps) == 6)
