"""The script that kills in every state, over real servers, case by case."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.migrations.kill_every_state import CASES, Case, Servers, run_case, servers
from vecferry.routing.states import TRANSITIONS

pytestmark = pytest.mark.slow

NOT_BY_THIS_RUN = {
    "READS_NEW": "in two steps only",
    "COMPLETED": "a person's word, which does nothing under way",
    "ABORTED": "a person's word, which does nothing under way",
}
"""States that neither a blue-green run nor its rollback enters."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Both servers, for all cases."""
    with servers(tmp_path_factory.mktemp("servers")) as found:
        yield found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_s13_killed_in_any_state_no_acknowledged_write_is_lost(running: Servers, case: Case) -> None:
    """The next command ends it: the right store serves all that was acknowledged, none is late, writes are open."""
    assert run_case(running, "chroma", case).problem == ""


@pytest.mark.parametrize("case", CASES[::4], ids=str)
def test_s13_killed_between_files_and_a_server_nothing_is_lost(running: Servers, case: Case) -> None:
    """The same from FAISS, with a copy of its files on the way back."""
    assert run_case(running, "faiss", case).problem == ""


def test_every_state_of_a_run_and_of_its_way_back_is_among_the_cases() -> None:
    """A state that the table gains is killed in as well, or named here."""
    states = {state.value for one in TRANSITIONS for state in (one.source, one.target)}
    assert states - NOT_BY_THIS_RUN.keys() == {case.state.value for case in CASES}
