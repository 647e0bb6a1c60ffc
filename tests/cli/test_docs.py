"""The help and docs/cli.md: complete, true, and the same as what the commands take."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tests.cli.conftest import Vecferry
from vecferry import errors
from vecferry.cli.main import app
from vecferry.config import MigrationConfig, Rolling, make_config

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def _commands(group: Any, before: str = "") -> dict[str, Any]:
    """Every command by its words; those of a group have two."""
    found: dict[str, Any] = {}
    for name, item in group.commands.items():
        found |= _commands(item, f"{before}{name} ") if hasattr(item, "commands") else {f"{before}{name}": item}
    return found


COMMANDS = _commands(typer.main.get_command(app))
EVERY_COMMAND = {
    "demo", "stores", "doctor", "inventory", "plan", "export", "load", "backup", "restore", "migrate", "list", "status",
    "resume", "approve", "abort", "unpause", "route", "rollback", "discard", "verify", "backups list", "backups verify",
    "backups prune", "complete", "decommission", "ledger rebuild", "sync",
    "merge", "workspaces", "forward",
}  # fmt: skip


def _options(name: str) -> dict[str, str]:
    """A command's long options, and their help."""
    return {item.opts[0]: item.help for item in COMMANDS[name].params if item.opts[0].startswith("--")}


def _section(name: str) -> str:
    return DOCS.partition(f"### `vecferry {name}`\n")[2].partition("\n### ")[0]


def _examples(name: str) -> list[str]:
    return [line for line in COMMANDS[name].epilog.split("\n\n") if line.startswith("vecferry")]


def test_the_commands_are_those_that_were_promised() -> None:
    """None is missing, none came unnoticed."""
    assert set(COMMANDS) == EVERY_COMMAND


@pytest.mark.parametrize("name", sorted(EVERY_COMMAND))
def test_every_command_is_documented_with_all_its_options(name: str) -> None:
    """Its section names exactly the options that it takes, and shows its examples."""
    taken = re.findall(r"`(--[a-z-]+)`", _section(name).partition("Takes: ")[2])
    assert taken == list(_options(name))
    for example in _examples(name):
        assert example in _section(name)


@pytest.mark.parametrize("name", sorted(EVERY_COMMAND))
def test_every_command_takes_json_and_its_help_has_examples_that_parse(name: str) -> None:
    """An example in --help is a line that the command understands."""
    assert {"--json", "--debug"} <= _options(name).keys()
    assert _examples(name)
    for example in _examples(name):
        words = shlex.split(example)
        parts = len(name.split())
        assert words[: parts + 1] == ["vecferry", *name.split()]
        COMMANDS[name].make_context(name, words[parts + 1 :])


def test_every_option_is_described_once_as_its_help_says() -> None:
    """The tables of options hold each option of each command, in the words of --help."""
    rows = re.findall(r"^\| `(--[a-z-]+)` \| .*? \| (.*) \|$", DOCS, re.MULTILINE)
    every = {option: text for name in COMMANDS for option, text in _options(name).items()}
    assert dict(rows) == {option: text.rstrip(".").replace("|", " or ") for option, text in every.items()}
    assert len(rows) == len(every)


def test_defaults_in_the_help_are_the_configurations() -> None:
    """A number after "default:" is what a migration takes when the option is left out."""
    said = {option: re.search(r"\(default: ([\w.]+)\)", text) for option, text in _options("migrate").items()}
    told = {option[2:].replace("-", "_"): found[1] for option, found in said.items() if found}
    assert told.keys() >= {"slice_rows", "batch_rows", "workers", "retry_budget_s", "approve_timeout_s", "approve"}
    for field, text in told.items():
        default = (MigrationConfig.model_fields | Rolling.model_fields)[field].default
        assert text in (str(default), f"{default:.0f}" if isinstance(default, float) else ""), field


def test_the_migration_file_in_the_docs_is_one() -> None:
    """It is read, and names most of what a file may hold."""
    text = re.search(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    assert text is not None
    config = make_config(yaml.safe_load(text[1]))
    assert (config.workers, config.target.public().host) == (4, "qdrant.example.org")


def test_the_exit_codes_are_those_of_the_errors() -> None:
    """Every group of errors has its line in the table."""
    told = set(map(int, re.findall(r"^\| (\d) \| ", DOCS, re.MULTILINE)))
    raised = {getattr(errors, name).exit_code for name in errors.__all__}
    assert told == raised | {0}


@pytest.mark.slow
def test_the_documents_have_the_keys_that_the_docs_say(
    vecferry: Vecferry, source: str, edge: str, tmp_path: Path
) -> None:
    """One migration's life in JSON: each command prints exactly the keys of its line in the table."""
    pair = ("--source", source, "--target", edge, "--metric", "cosine")
    found = {name: vecferry(name, *pair, "--json").document for name in ("plan", "migrate")}
    name = found["migrate"]["error"]["migration"]
    found["approve"] = vecferry("approve", name, "--json").document
    found["resume"] = vecferry("resume", name, "--json").document
    found["verify"] = vecferry("verify", *pair, "--json").document
    found |= {word: vecferry(word, "--json").document for word in ("stores", "list", "status")}
    found["inventory"] = vecferry("inventory", source, "--json").document
    found["route"] = vecferry("route", "docs", "--json").document
    found |= {word: vecferry(word, name, "--json").document for word in ("rollback", "discard")}
    again = vecferry("migrate", *pair, "--approve", "auto", "--archive", tmp_path / "archive", "--json")
    name = again.document["migration"]["id"]
    found["ledger rebuild"] = vecferry("ledger", "rebuild", tmp_path / "archive", "--json").document
    found["complete"] = vecferry("complete", name, "--json").document
    found["decommission"] = vecferry("decommission", name, "--json").document
    found["backup"] = vecferry("backup", source, tmp_path / "b", "--json").document
    found["restore` of files"] = vecferry(
        "restore", tmp_path / "b", f"numpy://{tmp_path}/c/docs.npy", "--json"
    ).document
    for words in (("list",), ("verify",), ("prune", "--keep-daily", 1)):
        found[f"backups {words[0]}"] = vecferry("backups", words[0], tmp_path / "b", *words[1:], "--json").document
    for command, document in found.items():
        assert document.keys() - {"error"} == _keys(command), command


def _keys(command: str) -> set[str]:
    table = DOCS.partition("## What `--json` prints")[2].partition("## Commands")[0]
    label = command if "`" in command else f"{command}`"
    line = next(line for line in table.splitlines() if re.match(rf"\| .*`{re.escape(label)}", line.split(" | ")[0]))
    return set(re.findall(r"`([a-z_]+)`", line.split(" | ")[1].partition("; with")[0]))
