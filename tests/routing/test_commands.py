"""`vecferry route` and `vecferry unpause`: what applications and people at night ask."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.routing.conftest import Switching
from vecferry.cli.main import main
from vecferry.strategies import pausing, steps

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


@pytest.fixture
def vecferry(switching: Switching, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs a command on the ledger of the migration; exit code, stdout and stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*words, "--ledger", switching.ledger.url])
        found = capsys.readouterr()
        return code, found.out, found.err

    return run


def keys(command: str) -> tuple[set[str], set[str]]:
    """The keys that the docs name for a command's document, and those that an option adds."""
    line = re.search(rf"^\| `{command}` \| (.*) \|$", DOCS, re.MULTILINE)
    assert line
    always, _, more = line[1].partition("; with")
    return set(re.findall(r"`([a-z_]+)`", always)), set(re.findall(r"`([a-z_]+)`", more))


def test_s9_a_route_answers_whether_writes_wait(switching: Switching, vecferry: Any) -> None:
    """Open, paused for so long, open again; the epoch is said each time, and the plain answer is the URL alone."""
    assert vecferry("route", "docs")[:2] == (0, f"{switching.old}\n")
    before = json.loads(vecferry("route", "docs", "--json")[1])
    assert (before["writes"], before["ttl_s"], before["epoch"]) == ("open", None, 1)
    assert before.keys() == keys("route")[0]
    pausing.pause(switching.runner, switching.ref)
    paused = json.loads(vecferry("route", "docs", "--json")[1])
    assert paused["writes"] == "paused"
    assert 0 < paused["ttl_s"] <= 600
    steps.release_writes(switching.ref)
    assert json.loads(vecferry("route", "docs", "--json")[1])["writes"] == "open"


def test_s9_a_workspace_is_asked_for_by_its_value(switching: Switching, vecferry: Any) -> None:
    """A text, a number and a text in quotes are three ways to name one; types are kept apart."""
    switching.ledger.pause_writes("docs", switching.ref.migration, 60, None, workspace="12", state_to=None)
    for value, key, writes in (("12", "12", "paused"), ('"12"', '"12"', "open"), ("acme", '"acme"', "open")):
        document = json.loads(vecferry("route", "docs", "--workspace", value, "--json")[1])
        assert (document["workspace"], document["writes"]) == (key, writes)


def test_s24_what_follows_a_route_is_shown_beside_it(switching: Switching, vecferry: Any) -> None:
    """Ledger, file and application in one table; exit code 5 names the one that says something else."""
    pausing.pause(switching.runner, switching.ref)
    code, out, _ = vecferry("route", "docs", "--observe")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:5]] == ["ledger", "file", "hook"]
    switching.application.memory.url = switching.new
    code, out, err = vecferry("route", "docs", "--observe", "--json")
    document = json.loads(out)
    assert code == 5
    assert document["differences"] == [
        f"hook serves {switching.new}, recorded is {switching.old}",
        f"hook reads from {switching.new}, recorded is {switching.old}",
    ]
    assert document.keys() - {"error"} == keys("route")[0] | keys("route")[1] - {"observe"}
    assert "hook serves" in err


def test_s24_an_application_that_is_down_is_shown_as_such(switching: Switching, vecferry: Any) -> None:
    """It cannot be asked, which is no agreement."""
    switching.application.memory.faults["read_back"] = ["fail"]
    code, out, _ = vecferry("route", "docs", "--observe")
    assert code == 5
    assert "HTTP 500" in out


def test_a_route_that_nobody_knows_names_those_that_exist(vecferry: Any) -> None:
    """Exit code 2."""
    code, _, err = vecferry("route", "nothing")
    assert code == 2
    assert "known routes: docs" in err


def test_s9_unpause_releases_and_says_what_can_be_done_now(switching: Switching, vecferry: Any) -> None:
    """Ledger and application; a second time there is nothing to release, which is no error."""
    pausing.pause(switching.runner, switching.ref)
    code, out, _ = vecferry("unpause", switching.ref.migration, "--json")
    document = json.loads(out)
    assert (code, document.keys()) == (0, keys("unpause")[0])
    assert [one["route"] for one in document["released"]] == ["docs"]
    assert switching.application.memory.writes == "open"
    code, out, _ = vecferry("unpause", switching.ref.migration)
    assert code == 0
    assert "no writes were paused" in out


def test_s9_unpause_says_when_the_application_cannot_be_told(switching: Switching, vecferry: Any) -> None:
    """The ledger's pause is over all the same: exit code 3, and until when the application's own one lasts."""
    pausing.pause(switching.runner, switching.ref)
    switching.application.memory.faults["release"] = ["refuse"]
    code, out, err = vecferry("unpause", switching.ref.migration, "--json")
    assert code == 3
    assert len(json.loads(out)["released"]) == 1
    assert "ends by itself at" in err
    assert json.loads(vecferry("route", "docs", "--json")[1])["writes"] == "open"


def test_unpause_of_an_unknown_migration_is_told(vecferry: Any) -> None:
    """Exit code 2."""
    assert vecferry("unpause", "nothing-20261121-0000")[0] == 2
