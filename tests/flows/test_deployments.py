"""What prefect.yaml deploys, and the tasks behind it, without a server."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from prefect import Flow
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from deployments.automations import BEAT_S, ROLLBACK, flow_names
from flows.failed_check import ROLLBACKS
from tasks.steps import TASKS, task_of
from vecferry.operations import migrations
from vecferry.strategies import steps, waves

PROJECT = Path(__file__).parent.parent.parent
CONTENT: dict[str, Any] = yaml.safe_load((PROJECT / "prefect.yaml").read_text())
DEPLOYMENTS: dict[str, dict[str, Any]] = {item["name"]: item for item in CONTENT["deployments"]}


def deployed(name: str) -> Flow[..., Any]:
    """The flow of a deployment, loaded as a worker loads it."""
    return load_flow_from_entrypoint(str(PROJECT / DEPLOYMENTS[name]["entrypoint"]))


def steps_that_strategies_run() -> set[str]:
    """Names of the steps that strategies hand over to be run, rather than call."""
    found = set()
    files = [file for name in ("strategies", "operations") for file in (PROJECT / "vecferry" / name).glob("*.py")]
    for file in files:
        calls = (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call))
        given = (ast.unparse(argument) for call in calls for argument in call.args)
        found |= {text.partition(".")[2] for text in given if re.fullmatch(r"(steps|waves)\.\w+", text)}
    return found


def test_every_step_that_runs_has_exactly_one_task() -> None:
    """Tasks and the steps of all strategies are the same set, and a task finds its step by name."""
    assert set(TASKS) == steps_that_strategies_run()
    assert all(task_of(getattr(place_of(name), name)) is task for name, task in TASKS.items())


def place_of(name: str) -> ModuleType:
    """The module of a step: those for several workspaces stand above the strategies that they run."""
    return waves if hasattr(waves, name) else steps


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_task_is_one_call_of_its_step(name: str) -> None:
    """The body of a task hands all it was given to the step of the same name, and does nothing else."""
    function = TASKS[name].fn
    assert function.__module__.startswith("tasks.")
    body = ast.parse(inspect.getsource(function)).body[0]
    assert isinstance(body, ast.FunctionDef)
    _, statement = body.body
    assert isinstance(statement, ast.Expr | ast.Return)
    call = statement.value
    assert isinstance(call, ast.Call)
    given = [ast.unparse(argument) for argument in call.args]
    given += [keyword.arg or "**" for keyword in call.keywords]
    place = place_of(name).__name__.rpartition(".")[2]
    assert (ast.unparse(call.func), given) == (f"{place}.{name}", list(inspect.signature(function).parameters))


def test_there_is_a_deployment_for_each_flow() -> None:
    """prefect.yaml deploys every flow to the process pool, but for those that others start, and the demo too."""
    started_by_others = {"collection"}
    assert {deployed(name).name for name in DEPLOYMENTS} == flow_names() - started_by_others
    assert all(name in (deployed(name).name, "demo") for name in DEPLOYMENTS)
    assert {item["work_pool"]["name"] for item in DEPLOYMENTS.values()} == {"vecferry"}
    assert DEPLOYMENTS["demo"]["parameters"] == {"approve": "auto"}


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_every_parameter_is_explained_in_the_form(name: str) -> None:
    """A deployment's flow loads, and each field of its form has a description and is no secret itself."""
    flow = deployed(name)
    properties = parameter_schema(flow).properties
    assert properties
    assert all(field.get("description") for field in properties.values()), name
    assert not [field for field in properties if field.endswith(("key", "token", "password"))]
    assert set(DEPLOYMENTS[name].get("parameters", {})) <= set(properties)


def test_schedules_wait_until_somebody_switches_them_on() -> None:
    """Nobody but the user knows which store to back up and where to: only what needs to know nothing runs by itself."""
    scheduled = {name: item["schedules"] for name, item in DEPLOYMENTS.items() if "schedules" in item}
    for name, (schedule,) in scheduled.items():
        assert schedule["active"] is (name == "send-events"), name
        if "cron" in schedule:
            assert (schedule["timezone"], len(schedule["cron"].split())) == ("UTC", 5)
        else:
            assert schedule["interval"] >= 60
    assert not parameter_schema(deployed("send-events")).required


def test_keys_of_deployments_are_ones_that_prefect_knows() -> None:
    """Prefect does not tell of a mistyped key, so they are compared here."""
    known = {
        "name", "entrypoint", "description", "tags", "parameters", "schedules", "concurrency_limit", "work_pool",
    }  # fmt: skip
    assert [item for item in DEPLOYMENTS.values() if set(item) - known] == []
    assert all(item["tags"] == ["vecferry"] for item in DEPLOYMENTS.values())
    assert CONTENT["prefect-version"] == "3.8.8"


def test_a_run_s_heart_beats_as_often_as_its_automation_expects() -> None:
    """Three beats are counted where the beats are set."""
    env = CONTENT["definitions"]["work_pool"]["job_variables"]["env"]
    assert int(env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]) == BEAT_S


def test_the_automatic_rollback_has_its_deployment() -> None:
    """The automation starts a deployment that exists, with the one parameter that it has to give."""
    flow, _, name = ROLLBACK.partition("/")
    assert deployed(name).name == flow
    assert parameter_schema(deployed(name)).required == ["migration_id"]
    assert ROLLBACKS.keys() <= set(migrations.STRATEGIES)
