"""The rollback flow after a blue-green flow."""

from __future__ import annotations

import pytest

from flows.blue_green import blue_green
from flows.rollback import rollback
from tests.flows.helpers import ROWS, Stores, flow_run_of
from vecferry.batch import drop_hashes
from vecferry.ledger import Ledger, State
from vecferry.testing.generators import records, single_vector

pytestmark = pytest.mark.xdist_group("prefect")


@pytest.fixture
def migration(ledger: Ledger, stores: Stores) -> str:
    """A migration whose route leads to the new store."""
    done = blue_green(stores.source, stores.target, approve="auto", route="docs")
    return str(done["migration"])


def test_the_route_returns_and_nothing_is_dropped(ledger: Ledger, stores: Stores, migration: str) -> None:
    """After the rollback the old store serves, and the new one holds every record; once more changes nothing."""
    state = rollback(migration, return_state=True)

    assert state.is_completed(), state.message
    assert flow_run_of(state).name == f"roll back {migration}"
    assert state.result() == {
        "migration": migration,
        "state": State.ROLLED_BACK,
        "route": "docs",
        "serves": stores.source,
        "left_behind": {"new": 0, "changed": 0, "deleted": 0},
    }
    assert stores.open_target().count() == ROWS
    assert rollback(migration) == state.result()


def test_new_writes_stop_a_rollback_unless_they_may_stay(ledger: Ledger, stores: Stores, migration: str) -> None:
    """A new store that was written since is named and keeps serving; `leave_new_writes` goes back all the same."""
    target = stores.open_target()
    fields = single_vector(target.capabilities())
    changed = target.fetch(records(fields, target.capabilities(), ROWS).slice(0, 1).select(["id", "id_kind"]))
    target.delete(changed.select(["id", "id_kind"]))

    refused = rollback(migration, return_state=True)
    assert refused.is_failed()
    assert "1 deleted" in refused.message
    assert ledger.routes()[0].url == stores.target

    state = rollback(migration, leave_new_writes=True, return_state=True)
    assert state.is_completed(), state.message
    assert state.result()["left_behind"] == {"new": 0, "changed": 0, "deleted": 1}
    assert drop_hashes(target.fetch(changed.select(["id", "id_kind"]))).num_rows == 0


def test_an_unknown_migration_is_named(ledger: Ledger) -> None:
    """A wrong id ends the flow with a message that names it."""
    state = rollback("docs-20261121-xxxx", return_state=True)
    assert state.is_failed()
    assert "docs-20261121-xxxx" in state.message
