"""Automations on a server: made once, kept up to date, never doubled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient

from deployments import automations
from deployments.automations import FAILED_CHECK, NO_HEARTBEAT, ROLLBACK
from deployments.local_server import ServerError
from flows.failed_check import after_failed_check

pytestmark = pytest.mark.slow

NAMES = {NO_HEARTBEAT, FAILED_CHECK}


@pytest.fixture
def client(prefect_api: None) -> Iterator[SyncPrefectClient]:
    """A server that has none of them; nor has it after the test."""
    with get_client(sync_client=True) as client:
        yield client
        for one in ours(client):
            client.delete_automation(one.id)


@pytest.fixture
def deployed(client: SyncPrefectClient) -> Iterator[None]:
    """The deployment that an automation starts."""
    made = client.create_deployment(client.create_flow(after_failed_check), ROLLBACK.partition("/")[2])
    yield
    client.delete_deployment(made)


def ours(client: SyncPrefectClient) -> list[automations.Automation]:
    return [one for one in client.read_automations() if one.name in NAMES]


@pytest.mark.usefixtures("deployed")
def test_a_second_run_changes_nothing(client: SyncPrefectClient) -> None:
    """All are made, then found as they should be."""
    assert {line.partition(":")[0] for line in automations.apply(client)} == {"made"}
    before = {one.id: one.model_dump(mode="json") for one in ours(client)}
    assert {one.name for one in ours(client)} == NAMES
    assert {line.partition(":")[0] for line in automations.apply(client)} == {"unchanged"}
    assert {one.id: one.model_dump(mode="json") for one in ours(client)} == before


@pytest.mark.usefixtures("deployed")
def test_what_differs_is_brought_up_to_date_and_stays_switched_off(client: SyncPrefectClient) -> None:
    """A changed trigger is put right under the same id; who switched it off has it off."""
    automations.apply(client)
    (heart,) = client.read_automations_by_name(NO_HEARTBEAT)
    changed = automations.wanted(client)[0].model_copy(update={"description": "another one", "enabled": False})
    client.update_automation(heart.id, changed)
    assert f"updated: {NO_HEARTBEAT}" in automations.apply(client)
    (after,) = client.read_automations_by_name(NO_HEARTBEAT)
    assert (after.id, after.description, after.enabled) == (heart.id, heart.description, False)
    assert {line.partition(":")[0] for line in automations.apply(client)} == {"unchanged"}


@pytest.mark.usefixtures("deployed")
def test_doubles_are_removed(client: SyncPrefectClient) -> None:
    """Prefect makes a second automation of the same name without a word; one of them stays."""
    for _ in range(3):
        client.create_automation(automations.wanted(client)[0])
    automations.apply(client)
    assert len(client.read_automations_by_name(NO_HEARTBEAT)) == 1


def test_a_missing_deployment_is_named(client: SyncPrefectClient) -> None:
    """An automation that would start nothing is not made."""
    with pytest.raises(ServerError, match="after-failed-check is missing"):
        automations.apply(client)
    assert ours(client) == []
