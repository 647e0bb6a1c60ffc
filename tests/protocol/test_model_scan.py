"""Scan mode with all its guards: whatever the order of steps, crashes and late writes, nothing goes wrong."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.protocol.explore import Explored, Scenario, explore
from tests.protocol.guards import ALL
from tests.protocol.scenarios import LONG, SHORT
from tests.protocol.world import World
from vecferry.ledger.states import State
from vecferry.routing.states import TRANSITIONS

PAGE = Path(__file__).parents[2] / "docs" / "protocol-model.md"


@cache
def walked(scenario: Scenario[Any]) -> Explored[Any]:
    """A scenario with all guards, walked once for all tests."""
    return explore(scenario, ALL)


@pytest.mark.parametrize("scenario", SHORT, ids=lambda scenario: scenario.name)
def test_s1_to_s24_nothing_goes_wrong_with_all_guards(scenario: Scenario[Any]) -> None:
    """No invariant breaks in any world that can be reached."""
    assert walked(scenario).failure is None, str(walked(scenario).failure)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", LONG, ids=lambda scenario: scenario.name)
def test_s1_to_s24_nothing_goes_wrong_in_larger_worlds(scenario: Scenario[Any]) -> None:
    """Two writes or two crashes do not break what one does not."""
    found = explore(scenario, ALL)
    assert found.failure is None, str(found.failure)


@pytest.mark.slow
def test_every_step_is_taken_somewhere() -> None:
    """A step that no world ever takes would be a hole in the model."""
    of_machine = [scenario for scenario in SHORT if isinstance(scenario.starts[0], World)]
    others = [scenario for scenario in SHORT if scenario not in of_machine]
    assert len(of_machine) == 5
    for group in (of_machine, *([one] for one in others)):
        known = {step.name for scenario in group for step in scenario.actions}
        assert set.union(*(set(walked(scenario).taken) for scenario in group)) == known


def test_the_model_takes_every_step_of_the_table_and_no_other() -> None:
    """What the model walks is what `vecferry.routing.states` allows."""
    taken = frozenset[tuple[State, State]]().union(*(walked(scenario).moves for scenario in SHORT))
    assert taken == {(step.source, step.target) for step in TRANSITIONS}


def test_the_page_tells_the_size_of_each_world() -> None:
    """The numbers in `docs/protocol-model.md` are those of this very walk."""
    rows = re.findall(r"^\| ([a-z ]+) \| [^|]+ \| ([\d,]+) \| ([\d,]+) \| (\d+) \|$", PAGE.read_text(), re.MULTILINE)
    found = ((one.name, walked(one)) for one in SHORT)
    assert rows == [(name, f"{one.worlds:,}", f"{one.transitions:,}", str(one.depth)) for name, one in found]
