"""Errors are advice: what happened, what to do, an exit code by group, and no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Vecferry
from vecferry.cli import advice
from vecferry.cli.result import Result
from vecferry.cli.screen import Screen
from vecferry.errors import RetryLater

WRONG = {
    "an unknown scheme": (("inventory", "pinecone:///docs"), "known are"),
    "a URL that is none": (("inventory", "docs"), "vecferry stores"),
    "a secret in a URL": (("inventory", "qdrant://user@host:6334/docs"), "--source-key-env"),
    "an absent file": (("inventory", "numpy:///nowhere/docs.npy"), ""),
    "no stores": (("migrate",), "--config"),
    "no target": (("plan", "--source", "numpy:///x.npy"), "--config"),
    "a secret for a store that is not named": (("migrate", "--target-key-env", "KEY"), "--target"),
    "a variable that is not set": (
        ("migrate", "--source", "qdrant://localhost/a", "--target", "memory:///b", "--source-key-env", "VECFERRY_NONE"),
        "export VECFERRY_NONE",
    ),
    "an absent migration file": (("migrate", "--config", "/nowhere.yaml"), ""),
    "an approval that is neither": (
        ("migrate", "--source", "memory:///a", "--target", "memory:///b", "--approve", "perhaps"),
        "--help",
    ),
    "source and target the same": (("migrate", "--source", "memory:///a", "--target", "memory:///a"), "another"),
    "an unknown migration": (("resume", "docs"), "vecferry list"),
    "an unknown route": (("route", "docs"), "known routes"),
    "an unknown command": (("mirgate",), "--help"),
    "an unknown option": (("migrate", "--sauce", "x"), "--help"),
    "a number that is none": (("migrate", "--limit", "many"), "--help"),
    "a missing argument": (("export",), "--help"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_ends_with_2_and_advice(case: str, vecferry: Vecferry) -> None:
    """Each wrong request says what is wrong and what to do, on stderr, without a traceback."""
    words, hint = WRONG[case]
    done = vecferry(*words)
    assert done.code == 2
    assert done.err.count("error: ") == 1
    assert hint in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("case", WRONG)
def test_an_error_is_one_json_document_too(case: str, vecferry: Vecferry) -> None:
    """With --json stdout is {"error": {...}} whatever went wrong, options that do not exist included."""
    error = vecferry(*WRONG[case][0], "--json").document["error"]
    assert error.keys() == {"kind", "message", "advice", "exit_code", "migration"}
    assert error["exit_code"] == 2
    assert error["message"]


def test_a_refused_plan_ends_with_4_and_the_option_that_changes_it(vecferry: Vecferry, source: str, edge: str) -> None:
    """A metric that nobody recorded is refused, not guessed; the document still has the migration."""
    done = vecferry("migrate", "--source", source, "--target", edge, "--json")
    assert done.code == 4
    assert "--metric" in done.document["error"]["advice"]
    assert done.document["error"]["migration"] == done.document["migration"]["id"]
    assert done.document["migration"]["state"] == "ABORTED"
    assert done.document["next_commands"] == [f"vecferry status {done.document['migration']['id']}"]


def test_a_migration_that_fails_before_its_plan_leaves_nothing_open(
    vecferry: Vecferry, source: str, edge: str, home: Path
) -> None:
    """No archive, no report, no route, nothing to resume: the corrected command just works."""
    assert vecferry("migrate", "--source", source, "--target", edge).code == 4
    assert vecferry("list", "--live", "--json").document == {"migrations": []}
    assert not (home / "archives").exists()
    assert (
        vecferry("migrate", "--source", source, "--target", edge, "--metric", "cosine", "--approve", "auto").code == 0
    )


def test_a_target_with_data_is_refused(vecferry: Vecferry, source: str, lines: str, tmp_path: Path) -> None:
    """A file that is there already is not written: exit 4."""
    file = tmp_path / "new" / "docs.jsonl"
    file.parent.mkdir()
    file.write_text('{"id": 1, "vector": [1.0], "payload": {}}\n')
    done = vecferry("migrate", "--source", source, "--target", lines)
    assert done.code == 4
    assert file.read_text().count("\n") == 1


def test_a_server_that_does_not_answer_ends_with_3_and_the_way_on(vecferry: Vecferry, lines: str) -> None:
    """Unreachable is "stopped": the message names the store, the advice the resume."""
    words = ("--source", "qdrant://127.0.0.1:1/docs", "--target", lines, "--retry-budget-s", 0)
    done = vecferry("migrate", *words)
    assert done.code == 3
    assert "qdrant://127.0.0.1:1/docs" in done.err
    assert "vecferry resume docs-to-jsonl" in done.err


def test_bad_data_ends_with_1_and_names_the_record(vecferry: Vecferry, source: str, lines: str, tmp_path: Path) -> None:
    """A broken line is named with its number."""
    file = tmp_path / "old" / "docs.jsonl"
    rows = file.read_text().splitlines()
    file.write_text("\n".join([*rows[:4], '{"id": ', *rows[5:]]) + "\n")
    done = vecferry("migrate", "--source", source, "--target", lines)
    assert done.code == 1
    assert "5" in done.err


def _screen() -> Screen:
    return Screen.standard(as_json=False)


def test_a_bug_is_called_one(capsys: pytest.CaptureFixture[str]) -> None:
    """An unexpected exception is exit 2 with a plea for a report; its traceback comes with --debug alone."""

    def broken(screen: Screen) -> Result:
        raise ZeroDivisionError("by nought")

    for debug in (False, True):
        assert advice.carry_out(broken, _screen(), debug=debug) == 2
        found = capsys.readouterr().err
        assert "vecferry has a bug: ZeroDivisionError: by nought" in found
        assert ("Traceback" in found) is debug


def test_stopped_by_the_keyboard_is_3_and_the_way_on(capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C is no error of the data: exit 3, and the command that goes on."""

    def interrupted(screen: Screen) -> Result:
        screen.migration = "docs-1"
        raise KeyboardInterrupt

    assert advice.carry_out(interrupted, _screen(), debug=False) == 3
    assert "vecferry resume docs-1" in capsys.readouterr().err


def test_an_errors_own_way_on_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """Where the advice names the resume already, it stands once."""

    def later(screen: Screen) -> Result:
        screen.migration = "docs-1"
        raise RetryLater("busy", advice="vecferry resume docs-1")

    assert advice.carry_out(later, _screen(), debug=False) == 3
    assert capsys.readouterr().err.count("vecferry resume") == 1
