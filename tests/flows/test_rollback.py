"""The rollback flow after a blue-green flow."""

from __future__ import annotations

import pytest

from flows.blue_green import blue_green
from flows.rollback import rollback
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
    state = rollback(migration, return_state=True)

    assert state.is_completed(), state.message
    assert flow_run_of(state).name == f"roll back {migration}"
    result = state.result()
    assert (result["migration"], result["state"], result["route"]) == (migration, State.ROLLED_BACK, "docs")
    assert result["serves"] == result["way_back"]["url"] == stores.source
    assert [result["way_back"][word] for word in ("new", "changed", "deleted")] == [0, 0, 0]
    assert stores.open_target().count() == ROWS
    assert rollback(migration) == result


def test_new_writes_come_along(ledger: Ledger, stores: Stores, migration: str) -> None:
    """A record that was deleted from the new store is deleted from the old one too."""
    target = stores.open_target()
    fields = single_vector(target.capabilities())
    changed = target.fetch(records(fields, target.capabilities(), ROWS).slice(0, 1).select(["id", "id_kind"]))
    target.delete(changed.select(["id", "id_kind"]))

    state = rollback(migration, return_state=True)

    assert state.is_completed(), state.message
    done = state.result()["way_back"]
    assert (done["new"], done["changed"], done["deleted"]) == (0, 0, 1)
    assert state.result()["serves"] == stores.source == ledger.routes()[0].url
    assert stores.open_source().count() == ROWS - 1


@pytest.mark.slow
def test_an_unknown_migration_is_named(ledger: Ledger) -> None:
    """A wrong id ends the flow with a message that names it."""
    state = rollback("docs-20261121-xxxx", return_state=True)
    assert state.is_failed()
    assert "docs-20261121-xxxx" in state.message
