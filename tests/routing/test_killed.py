"""A run that is killed while an application is paused, told or released: kill -9 in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.routing.conftest import Switching
from vecferry.errors import UnsafeRoute
from vecferry.strategies import pausing, steps

pytestmark = pytest.mark.slow

RUN = """
import sys
from vecferry.strategies import pausing
from vecferry.strategies.runner import LocalRunner, Ref
ledger, migration, token, phase = sys.argv[1:]
getattr(pausing, phase)(LocalRunner(None, None), Ref(ledger, migration, int(token)))
"""
POINTS = ("hooks.file_written", "hooks.intended", "ledger.hook_intended", "hooks.called", "hooks.recorded")


def die_in(switching: Switching, phase: str, point: str) -> int:
    """Run a phase until it passes a point for the first time; its exit code."""
    ref = switching.ref
    words = [sys.executable, "-c", RUN, ref.ledger, ref.migration, str(ref.token), phase]
    done = subprocess.run(words, env=os.environ | {"VECFERRY_FAILPOINTS": f"{point}=kill"}, timeout=60, check=False)
    return done.returncode


@pytest.mark.parametrize("point", [*POINTS, "ledger.paused", "ledger.pausing"])
def test_s13_killed_while_pausing_the_next_run_pauses_or_releases(switching: Switching, point: str) -> None:
    """One pause with the application at the end, under the ledger's token; and a way out that releases it."""
    assert die_in(switching, "pause", point) == -signal.SIGKILL
    pausing.pause(switching.runner, switching.ref)
    now = switching.ledger.ask_route("docs")
    assert now is not None
    assert now.pause is not None
    memory = switching.application.memory
    assert (memory.writes, memory.token, len(memory.applied)) == ("paused", now.pause.token, 1)
    pausing.release(switching.runner, switching.ref)
    assert (memory.writes, switching.said_by_file()["writes"]) == ("open", "open")


@pytest.mark.parametrize("point", POINTS)
def test_s13_killed_while_telling_the_switch_is_never_told_twice(switching: Switching, point: str) -> None:
    """Told once, or not at all with exit code 5 where nobody can know."""
    token = steps.pause_writes(switching.ref)
    switching.frozen_to_switching()
    switching.commit(token)
    assert die_in(switching, "follow", point) == -signal.SIGKILL
    asked = switching.application.memory.actions().count("switch")
    if point in ("hooks.intended", "ledger.hook_intended"):
        with pytest.raises(UnsafeRoute):
            pausing.follow(switching.runner, switching.ref)
        assert asked == 0
    else:
        pausing.follow(switching.runner, switching.ref)
    assert switching.application.memory.actions().count("switch") == max(asked, point == "hooks.file_written")


@pytest.mark.parametrize("point", POINTS)
def test_s13_killed_while_releasing_the_next_run_releases(switching: Switching, point: str) -> None:
    """Whoever was told twice did it once."""
    pausing.pause(switching.runner, switching.ref)
    assert die_in(switching, "release", point) == -signal.SIGKILL
    pausing.release(switching.runner, switching.ref)
    memory = switching.application.memory
    assert (memory.writes, switching.said_by_file()["writes"]) == ("open", "open")
    assert len(memory.applied) == 2
