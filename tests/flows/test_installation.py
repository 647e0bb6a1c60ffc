"""An installation for real: server, worker, and what Prefect does by itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentUpdate
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Pending

from deployments import schedules
from deployments.automations import BEAT_S, ROLLBACK, SWITCHED
from deployments.local_server import Server, prefect_server, run_module, worker
from deployments.schedules import Verb
from flows.blue_green import blue_green
from flows.outbox import RESOURCE
from tests.flows.helpers import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with all that `python -m deployments.install` makes, and a worker."""
    folder = tmp_path_factory.mktemp("installation")
    home = {"VECFERRY_HOME": str(folder / "vecferry"), "VECFERRY_LEDGER": str(folder / "ledger.db")}
    with prefect_server(folder / "prefect", home) as server, worker(server):
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[SyncPrefectClient]:
    with temporary_settings({PREFECT_API_URL: server.api_url}), get_client(sync_client=True) as client:
        yield client


def tell(client: SyncPrefectClient, event: str, resource: dict[str, str], **more: Any) -> str:
    """Tell the server of an event that happened just now; its id."""
    occurred = datetime.now(UTC).isoformat()
    content = {"id": str(uuid.uuid4()), "event": event, "occurred": occurred, "resource": resource, **more}
    client.request("POST", "/events", json=[content]).raise_for_status()
    return str(content["id"])


def rows(client: SyncPrefectClient) -> dict[str, str]:
    """Each scheduled deployment, and whether it runs."""
    return {row[0]: row[2] for row in schedules.sheet(schedules.scheduled(client)).rows}


def test_a_schedule_that_is_on_has_runs_to_come(client: SyncPrefectClient) -> None:
    """The server plans runs of what is on, and none of what is off: with a library that it cannot use it plans none."""
    on = client.read_deployment_by_name("send-events/send-events").id
    off = client.read_deployment_by_name("verify-backup/verify-backup").id

    def planned() -> set[object] | None:
        return {one.deployment_id for one in client.read_flow_runs() if one.auto_scheduled} or None

    found = eventually(planned, "no run of any schedule is planned")
    assert on in found
    assert off not in found


def test_schedules_stop_and_go_on_as_they_were_whatever_is_installed_meanwhile(
    server: Server, client: SyncPrefectClient
) -> None:
    """One command pauses all, one resumes those that were on; installing again keeps parameters, pause and switches."""
    nightly = client.read_deployment_by_name("nightly-backup/nightly-backup")
    client.update_deployment(nightly.id, DeploymentUpdate(parameters={"root": "/backup", "keep_daily": 3}))
    client.update_deployment_schedule(nightly.id, nightly.schedules[0].id, active=True)
    before = rows(client)
    assert (before["nightly-backup"], before["verify-backup"], before["send-events"]) == ("on", "off", "on")
    automations = {one.id for one in client.read_automations()}

    schedules.main([Verb.PAUSE])
    paused = rows(client)
    assert set(paused.values()) == {"paused", "off"}
    assert "kept as it was set: nightly-backup" in run_module(server, ["deployments.install"])
    assert rows(client) == paused
    kept = client.read_deployment_by_name("nightly-backup/nightly-backup")
    assert kept.parameters == {"root": "/backup", "keep_daily": 3}
    assert {one.id for one in client.read_automations()} == automations

    schedules.main([Verb.RESUME])
    assert rows(client) == before


def test_a_failed_check_starts_the_rollback_where_it_was_chosen(client: SyncPrefectClient) -> None:
    """Of three migrations that were switched, the one whose check failed and whose approver chose it is looked at."""
    for name, labels in (
        ("fine", {"vecferry.on_check_failed": "rollback"}),
        ("held", {"vecferry.on_check_failed": "hold", "vecferry.problem": "it does not answer"}),
        ("left", {"vecferry.on_check_failed": "rollback", "vecferry.problem": "it does not answer"}),
    ):
        resource = {"prefect.resource.id": f"{RESOURCE}.{name}", **labels}
        tell(client, SWITCHED, resource, payload={"migration": name})
    deployment = client.read_deployment_by_name(ROLLBACK).id

    def started() -> list[FlowRun] | None:
        return [one for one in client.read_flow_runs() if one.deployment_id == deployment] or None

    (run,) = eventually(started, "no rollback was started")
    assert run.parameters["migration_id"] == "left"


def test_a_run_without_a_heartbeat_has_crashed_and_one_that_waits_has_not(client: SyncPrefectClient) -> None:
    """Three missed beats end a run that seemed to run; a suspended one goes on waiting."""
    dead, waiting = (client.create_flow_run(blue_green, state=Pending()) for _ in range(2))
    flow = {"prefect.resource.id": f"prefect.flow.{dead.flow_id}", "prefect.resource.role": "flow"}
    related = [flow | {"prefect.resource.name": "blue-green"}]
    for run in (waiting, dead):
        resource = {"prefect.resource.id": f"prefect.flow-run.{run.id}"}
        beat = tell(client, "prefect.flow-run.heartbeat", resource, related=related)
        if run is waiting:
            # Without `follows` the server may look at two events of one moment in any order.
            tell(client, "prefect.flow-run.Suspended", resource, related=related, follows=beat)

    def crashed() -> FlowRun | None:
        found = client.read_flow_run(dead.id)
        return found if found.state_name == "Crashed" else None

    found = eventually(crashed, "the run without a heartbeat seems to run still", 3 * BEAT_S + 30)
    assert found.state is not None
    assert "run it with migration_id" in str(found.state.message)
    assert client.read_flow_run(waiting.id).state_name == "Pending"


def test_the_list_of_schedules_is_printed(client: SyncPrefectClient, capsys: pytest.CaptureFixture[str]) -> None:
    """`list` changes nothing."""
    before = rows(client)
    assert schedules.main([Verb.LIST]) == 0
    assert "every 0:05:00" in capsys.readouterr().out
    assert rows(client) == before
