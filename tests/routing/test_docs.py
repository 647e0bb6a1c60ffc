"""What docs/hooks.md shows is what happens."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
import yaml

from tests.routing.test_hook_calls import NEW, OLD, PAUSE, READ_BACK, SWITCH
from vecferry.config import Hook, Hooks
from vecferry.routing import hooks, route_file, webhooks
from vecferry.routing.calls import Action, Call, HookRequest, Outcome, Reply

PAGE = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text()


def block(info: str) -> str:
    found = re.search(rf"```{info}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def test_the_section_of_the_migration_file_is_taken() -> None:
    """It holds every field of the section, and the table explains each of them and of a hook."""
    content = yaml.safe_load(block("yaml"))["hooks"]
    assert set(Hooks.model_fields) == set(Hooks.model_validate(content).model_fields_set)
    for field in [*Hooks.model_fields, *Hook.model_fields]:
        assert re.search(rf"^\|.*`{field}`.*\|", PAGE, re.MULTILINE), field


def test_every_field_of_a_request_is_explained() -> None:
    """The table of the request names each field, and the key that comes with it."""
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", PAGE.partition("## What is asked")[2], re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {field.name for field in fields(HookRequest)} | {"idempotency_key"} <= told


def test_the_signature_in_the_docs_is_ours() -> None:
    """The known answer that the example checks is what would be sent."""
    shown = re.search(r'header = "(t=\d+,v1=\w+)"', PAGE)
    assert shown
    assert webhooks.signature("correct horse", b'{"action": "pause"}', 1795230000) == shown[1]


def test_the_route_file_in_the_docs_is_one(tmp_path: Path) -> None:
    """It is read, and has the fields that are written."""
    file = tmp_path / "route.json"
    file.write_text(block("json"))
    assert route_file.read(file)["writes"] == "paused"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hook:
    """The script of the page as a hook, with the state of an application that was never told anything."""
    for name, text in {"url": OLD, "reads": OLD, "epoch": "null", "token": "0", "paused_until": "0"}.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("STATE", str(tmp_path))
    file = tmp_path / "hook.sh"
    file.write_text(block("sh"))
    file.chmod(0o755)
    return Hook.model_validate({"command": [str(file)]})


def call(script: Hook, request: HookRequest) -> Reply:
    return hooks.call(script, Call(request, "k"))


def test_the_script_in_the_docs_pauses_switches_and_releases(script: Hook) -> None:
    """Each action is done, and the read-back says so."""
    assert call(script, READ_BACK).answer == {"url": OLD, "reads": OLD, "epoch": None, "writes": "open"}
    assert call(script, PAUSE).outcome is Outcome.ACKNOWLEDGED
    assert call(script, READ_BACK).answer["writes"] == "paused"
    assert call(script, SWITCH).outcome is Outcome.ACKNOWLEDGED
    assert call(script, READ_BACK).answer == {"url": NEW, "reads": NEW, "epoch": 2, "writes": "paused"}
    assert call(script, replace(SWITCH, action=Action.RELEASE)).outcome is Outcome.ACKNOWLEDGED
    assert call(script, READ_BACK).answer["writes"] == "open"


def test_the_script_in_the_docs_reads_elsewhere_than_it_writes(script: Hook) -> None:
    """Reads move without a pause, and the read-back tells the two apart."""
    assert call(script, replace(SWITCH, action=Action.READS, token=0, url=OLD)).outcome is Outcome.ACKNOWLEDGED
    assert call(script, READ_BACK).answer == {"url": OLD, "reads": NEW, "epoch": 2, "writes": "open"}


def test_the_script_in_the_docs_refuses_what_has_expired(script: Hook) -> None:
    """An older token, and a switch without a pause that holds."""
    assert call(script, SWITCH).outcome is Outcome.EXPIRED
    call(script, PAUSE)
    assert call(script, replace(PAUSE, token=6)).outcome is Outcome.EXPIRED
