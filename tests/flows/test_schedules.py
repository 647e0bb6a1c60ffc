"""S6: what is scheduled for a migration ends with it, by whichever way it ended; a deployment is left as it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow, get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import IntervalSchedule

from flows.blue_green import blue_green
from flows.ending import abort
from flows.migration import run_migration
from flows.rollback import merge, rollback_blue_green, rollback_route
from flows.rolling import rollback_workspaces, rolling
from flows.runner import PrefectRunner
from flows.sync import sync
from tests.flows.helpers import Stores
from tests.support.migrating import Harness, schema
from tests.support.tenants import put
from vecferry import address
from vecferry.config import make_config
from vecferry.ledger import Ledger, State
from vecferry.operations import ending, migrations
from vecferry.stores import registry
from vecferry.strategies import steps
from vecferry.strategies.runner import Ref

pytestmark = pytest.mark.slow


class Schedules:
    """Deployments that sync one migration each every five minutes."""

    def __init__(self, client: SyncPrefectClient) -> None:
        self._client, self._flow = client, client.create_flow_from_name("sync")
        self.made: dict[str, UUID] = {}

    def add(self, migration: str) -> None:
        """One more."""
        every = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=300), active=True)
        given = {"migration_id": migration}
        self.made[migration] = self._client.create_deployment(
            self._flow, f"sync-{migration}", parameters=given, schedules=[every], tags=["vecferry"]
        )

    def is_on(self, migration: str) -> bool:
        """Whether it runs. The deployment itself is never paused: `schedules resume` would wake it up again."""
        found = self._client.read_deployment(self.made[migration])
        assert not found.paused
        return found.schedules[0].active

    def remove(self) -> None:
        """Leave none behind."""
        for identifier in self.made.values():
            self._client.delete_deployment(identifier)


@pytest.fixture
def schedules(ledger: Ledger) -> Iterator[Schedules]:
    """Of migrations of this test, and of one that is somebody else's."""
    with get_client(sync_client=True) as client:
        made = Schedules(client)
        made.add("another")
        yield made
        assert made.is_on("another")
        made.remove()


@pytest.fixture
def harness(ledger: Ledger, tmp_path: Path) -> Harness:
    """The command line's verbs on the ledger that the flows find."""
    return Harness(tmp_path)


@pytest.fixture
def migration(stores: Stores, schedules: Schedules) -> str:
    """A migration whose route leads to the new store, and its schedule."""
    done = blue_green(stores.source, stores.target, approve="auto", route="docs")
    schedules.add(done["migration"])
    return str(done["migration"])


def test_a_rollback_ends_the_schedule_and_one_that_failed_does_not(migration: str, schedules: Schedules) -> None:
    """While the new store serves the syncs go on; once the old one does they end."""
    assert rollback_blue_green(migration, prefer="old", conflicts="both.jsonl", return_state=True).is_failed()
    assert schedules.is_on(migration)
    assert rollback_blue_green(migration)["state"] == State.ROLLED_BACK
    assert not schedules.is_on(migration)


def test_a_route_that_went_back_alone_keeps_its_schedule_until_the_merge(migration: str, schedules: Schedules) -> None:
    """The way back is not over before the records are there as well."""
    assert rollback_route(migration)["state"] == State.ROLLED_BACK_UNMERGED
    assert schedules.is_on(migration)
    assert merge(migration)["state"] == State.ROLLED_BACK
    assert not schedules.is_on(migration)


@pytest.mark.parametrize("verb", ["complete", "rollback"])
def test_what_ended_on_the_command_line_ends_with_the_next_run_of_the_schedule(
    harness: Harness, migration: str, schedules: Schedules, verb: str
) -> None:
    """The command line knows no Prefect: the sync that finds the migration over switches its own schedule off."""
    ref = Ref(harness.ledger.url, migration)
    assert sync(migration, return_state=True).is_completed()
    if verb == "complete":
        ending.complete(harness.runner, ref)
    else:
        harness.rollback(ref)
    assert schedules.is_on(migration)
    assert sync(migration, return_state=True).is_completed()
    assert not schedules.is_on(migration)


def test_the_automatic_way_back_of_a_run_ends_the_schedule(
    harness: Harness, stores: Stores, schedules: Schedules
) -> None:
    """The run fails, and says why; its migration is over all the same."""
    ref = harness.start(stores.source, stores.target, on_check_failed="rollback")
    schedules.add(ref.migration)

    class Failing(PrefectRunner):
        def run(self, step: Any, ref: Ref, *args: Any, **kwargs: Any) -> Any:
            return "it does not answer" if step is steps.check_serving else super().run(step, ref, *args, **kwargs)

    @flow
    def run() -> None:
        run_migration(ref, Failing(ref.ledger))

    assert run(return_state=True).is_failed()
    assert harness.migration(ref).state is State.ROLLED_BACK
    assert not schedules.is_on(ref.migration)


def test_workspaces_share_a_schedule_until_the_last_of_them_is_back(ledger: Ledger, schedules: Schedules) -> None:
    """With one of them back the others are still kept close."""
    old = "memory:///flows_schedules_tenants"
    with registry.open_target(address.parse(old)) as store:
        store.create(schema(), {})
    for name in ("a0", "b0"):
        put(old, name, name[0])
    name = rolling(old, f"{old}-new", approve="auto", route="tenants")["migration"]
    schedules.add(name)
    rollback_workspaces(name, names=("a",))
    assert schedules.is_on(name)
    assert rollback_workspaces(name)["state"] == State.ROLLED_BACK
    assert not schedules.is_on(name)


def test_abort_ends_it_by_the_start_of_an_id(ledger: Ledger, stores: Stores, schedules: Schedules) -> None:
    """A schedule may name its migration as a person does."""
    ref = migrations.start(ledger, make_config({"source": stores.source, "target": stores.target, "limit": 10}))
    schedules.add(ref.migration[:-1])
    abort(ref.migration)
    assert not schedules.is_on(ref.migration[:-1])
