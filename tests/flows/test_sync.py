"""The sync flow: what a schedule starts every few minutes."""

from __future__ import annotations

import pytest

from flows.blue_green import blue_green
from flows.rollback import rollback_blue_green
from flows.sync import sync
from tests.flows.helpers import ROWS, Stores, artifacts_of, flow_run_of
from vecferry.batch import ids_of
from vecferry.config import make_config
from vecferry.ledger import Holder, Ledger, migration_resource
from vecferry.operations import ending, migrations
from vecferry.strategies.blue_green import copy_and_validate
from vecferry.strategies.runner import LocalRunner
from vecferry.testing.generators import records, single_vector

pytestmark = pytest.mark.slow


@pytest.fixture
def migration(ledger: Ledger, stores: Stores) -> str:
    """A migration that was copied and validated, and waits for its approval."""
    quick = {"absence_wait_s": 0.0, "driver_timeout_s": 0.0}
    config = make_config({"source": stores.source, "target": stores.target, "route": "docs", "sync": quick})
    ref = migrations.start(ledger, config)
    copy_and_validate(LocalRunner(lambda form, timeout_s: True, lambda sheet: None), ref)
    return ref.migration


def test_a_scheduled_sync_carries_over_what_changed(ledger: Ledger, stores: Stores, migration: str) -> None:
    """S6: a record that is gone from the old store is gone from the new one, and the run shows a table of it."""
    source = stores.open_source()
    fields = single_vector(source.capabilities())
    source.delete(ids_of(records(fields, source.capabilities(), ROWS).slice(0, 2)))

    state = sync(migration, return_state=True)

    assert state.is_completed(), state.message
    assert flow_run_of(state).name == f"sync {migration}"
    assert state.result() == {"migration": migration, "skipped": "", "carried": 2}
    assert stores.open_target().count() == ROWS - 2
    assert "2 gone" in str(artifacts_of(flow_run_of(state))["sync"].data)


def test_a_scheduled_sync_lets_others_work(ledger: Ledger, migration: str) -> None:
    """S6: while another run holds the migration, and once it has ended, the run is Completed and says why."""
    lease = ledger.acquire([migration_resource(migration)], Holder.here(), ttl_s=60)
    busy = sync(migration, return_state=True)
    ledger.release(lease)
    assert busy.is_completed(), busy.message
    assert "skipped" in str(artifacts_of(flow_run_of(busy))["sync"].data)
    ending.abort(ledger, migration)
    ended = sync(migration, return_state=True)
    assert ended.is_completed(), ended.message
    assert "ABORTED" in ended.result()["skipped"]


def test_a_scheduled_sync_after_the_switch_keeps_the_figures_of_a_rollback(ledger: Ledger, stores: Stores) -> None:
    """S17: it follows into the old store, and each run writes the same artifact: what a rollback would come to."""
    given = {"route": "docs", "approve": "auto", "no_read_modify_write": True, "cutover": "two-step"}
    moved = blue_green(stores.source, stores.target, **given, return_state=True)
    assert moved.is_completed(), moved.message
    assert "lag" in str(artifacts_of(flow_run_of(moved))["watch"].data)
    migration = moved.result()["migration"]
    target = stores.open_target()
    fields = single_vector(target.capabilities())
    for carried in (2, 0):
        target.delete(ids_of(records(fields, target.capabilities(), ROWS).slice(0, 2)))
        state = sync(migration, return_state=True)
        assert state.is_completed(), state.message
        assert state.result()["carried"] == carried
        shown = str(artifacts_of(flow_run_of(state))[f"rollback-{migration}"].data)
        assert f"{carried} deleted" in shown
        assert "writes would pause for about" in shown
    assert stores.open_source().count() == ROWS - 2
    back = rollback_blue_green(migration, return_state=True)
    assert back.is_completed(), back.message
    assert back.result()["serves"] == stores.source
