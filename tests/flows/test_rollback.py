"""The rollback flow after a blue-green flow."""

from __future__ import annotations

import pytest

from flows.blue_green import blue_green
from flows.forward import forward
from flows.rollback import merge, rollback_blue_green, rollback_route
from tests.flows.helpers import ROWS, Stores, flow_run_of
from vecferry.ledger import Ledger, State
from vecferry.testing.generators import records, single_vector


@pytest.fixture
def migration(ledger: Ledger, stores: Stores) -> str:
    """A migration whose route leads to the new store."""
    done = blue_green(stores.source, stores.target, approve="auto", route="docs")
    return str(done["migration"])


@pytest.mark.slow
def test_the_route_returns_and_nothing_is_dropped(ledger: Ledger, stores: Stores, migration: str) -> None:
    """After the rollback the old store serves, and the new one holds every record; once more changes nothing."""
    state = rollback_blue_green(migration, return_state=True)

    assert state.is_completed(), state.message
    assert flow_run_of(state).name == f"roll back {migration}"
    result = state.result()
    assert (result["migration"], result["state"], result["route"]) == (migration, State.ROLLED_BACK, "docs")
    assert result["serves"] == result["way_back"]["url"] == stores.source
    assert [result["way_back"][word] for word in ("new", "changed", "deleted")] == [0, 0, 0]
    assert stores.open_target().count() == ROWS
    assert rollback_blue_green(migration) == result


@pytest.mark.slow
def test_new_writes_come_along(ledger: Ledger, stores: Stores, migration: str) -> None:
    """A record that was deleted from the new store is deleted from the old one too."""
    target = stores.open_target()
    fields = single_vector(target.capabilities())
    changed = target.fetch(records(fields, target.capabilities(), ROWS).slice(0, 1).select(["id", "id_kind"]))
    target.delete(changed.select(["id", "id_kind"]))

    state = rollback_blue_green(migration, return_state=True)

    assert state.is_completed(), state.message
    done = state.result()["way_back"]
    assert (done["new"], done["changed"], done["deleted"]) == (0, 0, 1)
    assert state.result()["serves"] == stores.source == ledger.routes()[0].url
    assert stores.open_source().count() == ROWS - 1


@pytest.mark.slow
def test_s18_the_route_goes_back_alone_and_the_records_follow(ledger: Ledger, stores: Stores, migration: str) -> None:
    """Two flows: the first asks nothing of the new store, the second brings what that had received."""
    target = stores.open_target()
    fields = single_vector(target.capabilities())
    gone = target.fetch(records(fields, target.capabilities(), ROWS).slice(0, 1).select(["id", "id_kind"]))
    target.delete(gone.select(["id", "id_kind"]))

    state = rollback_route(migration, return_state=True)
    assert state.is_completed(), state.message
    assert (state.result()["state"], state.result()["serves"]) == (State.ROLLED_BACK_UNMERGED, stores.source)
    assert stores.open_source().count() == ROWS

    state = merge(migration, return_state=True)
    assert state.is_completed(), state.message
    assert (state.result()["state"], state.result()["way_back"]["deleted"]) == (State.ROLLED_BACK, 1)
    assert stores.open_source().count() == ROWS - 1


@pytest.mark.slow
def test_after_a_rollback_it_goes_forward_again_without_another_copy(
    ledger: Ledger, stores: Stores, migration: str
) -> None:
    """A flow of its own: what changed meanwhile comes along, and the new store serves once more."""
    assert rollback_blue_green(migration, return_state=True).is_completed()
    source = stores.open_source()
    fields = single_vector(source.capabilities())
    gone = source.fetch(records(fields, source.capabilities(), ROWS).slice(0, 1).select(["id", "id_kind"]))
    source.delete(gone.select(["id", "id_kind"]))

    state = forward(migration, return_state=True)

    assert state.is_completed(), state.message
    assert flow_run_of(state).name == f"lead {migration} forward again"
    assert (state.result()["state"], state.result()["serves"]) == (State.SWITCHED, stores.target)
    assert stores.open_target().count() == ROWS - 1


@pytest.mark.slow
def test_an_unknown_migration_is_named(ledger: Ledger) -> None:
    """A wrong id ends the flow with a message that names it."""
    state = rollback_blue_green("docs-20261121-xxxx", return_state=True)
    assert state.is_failed()
    assert "docs-20261121-xxxx" in state.message
