"""The snapshot-restore flow and its way back, against a real Prefect API."""

from __future__ import annotations

import json

import pytest
from prefect.client.orchestration import SyncPrefectClient

from flows import approval
from flows.blue_green import blue_green
from flows.snapshot_restore import rollback_snapshot_restore, snapshot_restore
from tests.flows.helpers import ROWS, Stores, artifacts_of, flow_run_of
from tests.flows.test_approval import LIMIT_S, form_of, meanwhile, paused_run
from vecferry.ledger import Ledger, State
from vecferry.operations import migrations

pytestmark = pytest.mark.slow


def test_a_snapshot_restore_asks_pauses_moves_and_goes_back(
    ledger: Ledger, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question comes in PLANNED and says what pauses; the digest is shown; the way back is a flow of its own."""
    monkeypatch.setattr(approval, "POLL_S", 0.3)

    def person(client: SyncPrefectClient) -> None:
        shown = form_of(client, paused_run(client), "description")
        assert "writes pause for the whole copy" in shown
        migration = ledger.migrations()[0]
        assert migration.state is State.PLANNED
        migrations.approve(ledger, migration.id, yes=True, by="the person on call")

    with meanwhile(person):
        state = snapshot_restore(stores.source, stores.target, approve_timeout_s=LIMIT_S, return_state=True)
    assert state.is_completed(), state.message
    done = state.result()
    assert (done["state"], done["serves"]) == (State.SWITCHED, stores.target)
    assert stores.open_target().count() == ROWS
    shown = artifacts_of(flow_run_of(state))
    rows = {row["what"]: row["found"] for row in json.loads(shown["snapshot"].data)}
    assert rows["digest after it"] == rows["digest before it, and of the snapshot"]
    assert [shown[f"progress-{phase}"].data for phase in ("digest", "export", "load", "validate")] == [100.0] * 4

    back = rollback_snapshot_restore(done["migration"], return_state=True)
    assert back.is_completed(), back.message
    assert (back.result()["state"], back.result()["serves"]) == (State.ROLLED_BACK, stores.source)
    assert rollback_snapshot_restore(done["migration"]) == back.result()


def test_a_flow_takes_up_its_own_strategy_alone(ledger: Ledger, stores: Stores) -> None:
    """The id of a blue-green migration ends the flow with a message that names both."""
    done = blue_green(stores.source, stores.target, approve="auto", route="docs")
    for flow in (snapshot_restore, rollback_snapshot_restore):
        state = flow(migration_id=done["migration"], return_state=True)
        assert state.is_failed()
        assert "is of the strategy blue-green" in state.message
