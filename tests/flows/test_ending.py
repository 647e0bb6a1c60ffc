"""The flows that end a migration."""

from __future__ import annotations

import pytest

from flows.blue_green import blue_green
from flows.ending import abort, complete, decommission, discard
from tests.flows.helpers import Stores, flow_run_of
from vecferry.config import make_config
from vecferry.ledger import Ledger, State
from vecferry.operations import migrations

pytestmark = pytest.mark.slow


def test_complete_then_decommission(ledger: Ledger, stores: Stores) -> None:
    """The way back ends, and the old collection goes with its name typed; both may be run again."""
    done = blue_green(stores.source, stores.target, approve="auto", route="docs")
    name = str(done["migration"])

    state = complete(name, return_state=True)
    assert state.is_completed(), state.message
    assert flow_run_of(state).name == f"complete {name}"
    assert (state.result()["state"], state.result()["already"]) == (State.COMPLETED, False)
    assert complete(name)["already"]

    refused = decommission(name, "docs", return_state=True)
    assert refused.is_failed()
    assert stores.open_source().exists()
    dropped = decommission(name, stores.source.rpartition("/")[2])
    assert dropped["dropped"] == stores.source
    assert not stores.open_source().exists()


def test_discard_drops_what_abort_left(ledger: Ledger, stores: Stores) -> None:
    """Nothing is dropped before discard."""
    ref = migrations.start(ledger, make_config({"source": stores.source, "target": stores.target, "limit": 10}))
    blue_green(migration_id=ref.migration)
    assert abort(ref.migration)["state"] == State.ABORTED
    assert stores.open_target().exists()
    assert discard(ref.migration)["dropped"] == stores.target
    assert not stores.open_target().exists()
