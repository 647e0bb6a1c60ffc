"""The automatic rollback, decided by what is true when its flow runs, however old the event is that started it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.failed_check import after_failed_check
from tests.flows.helpers import Stores
from tests.support.migrating import Harness, schema
from tests.support.tenants import NOW, child, groups, put
from vecferry import address
from vecferry.ledger import Ledger, State
from vecferry.operations import migrations
from vecferry.stores import registry
from vecferry.strategies import rolling, steps, waves
from vecferry.strategies.cutover import cut_over
from vecferry.strategies.runner import Ref

pytestmark = pytest.mark.slow


def dies_after_a_failed_check(harness: Harness, ref: Ref, go: Callable[[], object] | None = None) -> None:
    """Run (or `go`) until the check after the switch has failed and the ledger knows it; then the run is gone."""
    run = harness.runner.run

    def dying(step: Any, held: Ref, *arguments: Any, **named: Any) -> Any:
        if step is steps.check_serving:
            return "it does not answer"
        found = run(step, held, *arguments, **named)
        if step is steps.end_switching:
            raise KeyboardInterrupt
        return found

    harness.runner.run = dying  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        harness.run(ref) if go is None else go()
    harness.runner.run = run  # type: ignore[method-assign]


@pytest.fixture
def harness(ledger: Ledger, tmp_path: Path) -> Harness:
    """Verbs on the ledger that the flows find."""
    return Harness(tmp_path)


@pytest.fixture
def old() -> str:
    """An old store with the workspaces a and b."""
    url = "memory:///failed_check_tenants"
    with registry.open_target(address.parse(url)) as store:
        store.create(schema(), {})
    for name in ("a0", "b0", "b1"):
        put(url, name, name[0])
    return url


@pytest.mark.parametrize("choice", ["rollback", "hold"])
def test_a_run_that_died_is_rolled_back_where_that_was_chosen(harness: Harness, stores: Stores, choice: str) -> None:
    """While writes are still paused the old store serves again; where a person wanted to decide, nothing moves."""
    ref = harness.start(stores.source, stores.target, on_check_failed=choice)
    dies_after_a_failed_check(harness, ref)
    assert harness.migration(ref).state is State.SWITCHED

    state = after_failed_check(ref.migration, return_state=True)
    assert state.is_completed(), state.message
    assert state.result()["rolled_back"] is (choice == "rollback")
    serves = {"rollback": (State.ROLLED_BACK, stores.source), "hold": (State.SWITCHED, stores.target)}[choice]
    assert (harness.migration(ref).state, harness.route(ref).url) == serves

    again = after_failed_check(ref.migration)
    assert again["rolled_back"] is False
    assert (harness.migration(ref).state, harness.route(ref).url) == serves


def test_one_workspace_goes_back_by_itself(harness: Harness, old: str) -> None:
    """The others of the rolling migration stay where they are."""
    ref = harness.start(old, f"{old}_new", "rolling", on_check_failed="rollback", sync=NOW)
    rolling.prepare(harness.runner, ref)
    waves.fill_wave(ref, [1, 2])
    waves.switch_wave(ref, [2])
    part = child(harness, ref, "a")
    dies_after_a_failed_check(harness, part, lambda: cut_over(harness.runner, part))

    state = after_failed_check(part.migration, return_state=True)
    assert state.is_completed(), state.message
    assert state.result()["rolled_back"] is True
    assert groups(harness, ref) == {'"a"': State.ROLLED_BACK, '"b"': State.SWITCHED, "default": State.PLANNED}


def test_an_event_that_comes_late_moves_nothing(harness: Harness, stores: Stores) -> None:
    """Once writes went on in the new store, or a later check found nothing wrong, a person decides."""
    ref = harness.start(stores.source, stores.target, on_check_failed="rollback")
    dies_after_a_failed_check(harness, ref)
    pause = harness.ledger.pause(harness.migration(ref).route)
    assert pause is not None
    harness.ledger.release_writes(pause.route, pause.token, by="a person")
    released = after_failed_check(ref.migration)
    assert "writes go on in the new store" in released["why_not"]

    fine = harness.start(stores.source, f"{stores.target}-2", route="another", on_check_failed="rollback")
    migrations.run(harness.runner, fine)
    assert "found nothing" in after_failed_check(fine.migration)["why_not"]
    assert [harness.route(one).url for one in (ref, fine)] == [stores.target, f"{stores.target}-2"]
