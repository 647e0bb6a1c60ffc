from __future__ import annotations

import pytest

from vecferry.ledger import ENDED, LIVE, State
from vecferry.routing.states import TRANSITIONS, can, next_commands, releases, sources

PROTOCOL = """
PLANNED -> COPYING
COPYING -> CATCHING_UP
CATCHING_UP -> VERIFYING
VERIFYING -> READY
READY -> READS_NEW FROZEN
READS_NEW -> FROZEN READY
FROZEN -> SWITCHING READY READS_NEW
SWITCHING -> SWITCHED FROZEN
SWITCHED -> COMPLETED ROLLBACK_FROZEN ROLLED_BACK_UNMERGED
PLANNED -> ABORTED
COPYING -> ABORTED
CATCHING_UP -> ABORTED
VERIFYING -> ABORTED
READY -> ABORTED
ROLLBACK_FROZEN -> ROLLBACK_SWITCHING SWITCHED
ROLLBACK_SWITCHING -> ROLLED_BACK ROLLBACK_FROZEN
ROLLED_BACK_UNMERGED -> ROLLED_BACK
ROLLED_BACK -> CATCHING_UP
"""

ALLOWED = {
    (State(source), State(target))
    for source, targets in (line.split(" -> ") for line in PROTOCOL.split("\n") if line)
    for target in targets.split()
}


@pytest.mark.parametrize("source", State)
def test_the_table_allows_exactly_the_steps_of_the_protocol(source: State) -> None:
    """From each state, the steps written out here are allowed and no other."""
    assert {target for target in State if can(source, target)} == {to for at, to in ALLOWED if at is source}


def test_no_step_stands_twice_and_each_says_when() -> None:
    """The table has one row for a step, with the reason for taking it."""
    assert len({(step.source, step.target) for step in TRANSITIONS}) == len(TRANSITIONS)
    assert all(step.when for step in TRANSITIONS)


def test_sources_are_the_other_reading_of_the_table() -> None:
    """`sources` names the states that `can` go there."""
    assert all(sources(to) == {at for at in State if can(at, to)} for to in State)


def test_every_state_is_reached_from_planned() -> None:
    """No state is dead."""
    reached, seen = {State.PLANNED}, set[State]()
    while reached - seen:
        seen |= reached
        reached |= {to for at, to in ALLOWED if at in reached}
    assert reached == set(State)


@pytest.mark.parametrize("state", State)
def test_a_live_migration_always_has_a_way_to_an_end(state: State) -> None:
    """Only ended states may be without a step, and every live one leads to an ended one."""
    reached = {state}
    while more := {to for at, to in ALLOWED if at in reached} - reached:
        reached |= more
    assert reached & ENDED
    assert (state in ENDED) != (state in LIVE)


@pytest.mark.parametrize("state", [State.READS_NEW, State.FROZEN, State.SWITCHING, State.SWITCHED, State.COMPLETED])
def test_abort_is_refused_once_reads_or_writes_may_be_elsewhere(state: State) -> None:
    """From READS_NEW on, abort is no step."""
    assert not can(state, State.ABORTED)


@pytest.mark.parametrize("state", State)
def test_every_state_prints_commands_with_the_migrations_id(state: State) -> None:
    """There is always something to type; `abort` only where it is a step, `rollback` only after a switch."""
    commands = next_commands(state, "docs-1")
    assert commands
    assert all(command.startswith("vecferry ") and command.endswith(" docs-1") for command in commands)
    assert ("vecferry abort docs-1" in commands) == can(state, State.ABORTED)
    assert ("vecferry rollback docs-1" in commands) == (
        state in {State.READS_NEW, State.SWITCHED, State.ROLLBACK_FROZEN, State.ROLLBACK_SWITCHING}
    )


VERBS = """
PLANNED: resume abort status
COPYING: resume abort status
CATCHING_UP: resume abort status
VERIFYING: resume abort status
READY: approve resume sync abort status
READS_NEW: approve resume sync rollback status
FROZEN: resume unpause status
SWITCHING: resume unpause status
SWITCHED: rollback complete sync status
COMPLETED: decommission status
ABORTED: discard status
ROLLBACK_FROZEN: rollback unpause status
ROLLBACK_SWITCHING: rollback unpause status
ROLLED_BACK: forward discard status
ROLLED_BACK_UNMERGED: merge status
"""


@pytest.mark.parametrize("line", VERBS.strip().splitlines())
def test_the_commands_of_a_state_are_these(line: str) -> None:
    """What a person is told to type in each state, the likeliest first."""
    state, _, verbs = line.partition(": ")
    assert [command.split()[1] for command in next_commands(State(state))] == verbs.split()


@pytest.mark.parametrize(
    ("workspaces", "first", "completes"),
    [
        ([], "rollback", True),
        ([State.SWITCHED, State.SWITCHED], "rollback", True),
        ([State.SWITCHED, State.READY], "resume", False),
        ([State.SWITCHED, State.ROLLED_BACK], "rollback", False),
    ],
)
def test_s22_a_rolling_migration_completes_when_every_workspace_is_switched(
    workspaces: list[State], first: str, completes: bool
) -> None:
    """While one is on its way, going on is the likeliest; while one is not switched, there is nothing to complete."""
    commands = next_commands(State.SWITCHED, "docs-1", workspaces)
    assert commands[0] == f"vecferry {first} docs-1"
    assert ("vecferry complete docs-1" in commands) == completes


FROZEN_STATES = {State.FROZEN, State.SWITCHING, State.ROLLBACK_FROZEN, State.ROLLBACK_SWITCHING}


@pytest.mark.parametrize(("source", "target"), sorted(ALLOWED))
def test_s9_writes_are_released_on_every_way_out_but_the_switch(source: State, target: State) -> None:
    """A step out of a pause releases in its transaction, unless the route moved: then the run does, last of all."""
    leaves = source in FROZEN_STATES and target not in FROZEN_STATES
    switched = (source, target) in {
        (State.SWITCHING, State.SWITCHED),
        (State.ROLLBACK_SWITCHING, State.ROLLED_BACK),
    }
    ends = target in {State.ABORTED, State.COMPLETED}
    assert releases(source, target) == (ends or (leaves and not switched))
