"""`vecferry migrate`: what it prints, what it leaves behind, how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Vecferry

SWITCH = ("--metric", "cosine", "--approve", "auto")


def test_a_migration_prints_one_json_document_and_nothing_else(vecferry: Vecferry, source: str, edge: str) -> None:
    """With --json stdout is one document with state, verdict, route, decisions and report; progress is on stderr."""
    done = vecferry("migrate", "--source", source, "--target", edge, *SWITCH, "--json")
    assert done.code == 0
    document = done.document
    assert document["migration"]["state"] == "SWITCHED"
    assert document["verdict"]["state"] == "same"
    assert document["rows"] == 60
    assert document["route"] == {"name": "docs", "url": edge, "epoch": 2}
    assert {"feature", "outcome", "detail"} <= document["decisions"][0].keys()
    assert document["next_commands"][0] == f"vecferry rollback {document['migration']['id']}"
    assert Path(document["report"]).exists()
    assert "load: 60 of 60 records" in done.err


def test_the_text_of_a_migration_says_what_the_json_says(vecferry: Vecferry, source: str, edge: str) -> None:
    """Without --json stdout has verdict, state, route, report and next command; the plan went to stderr."""
    done = vecferry("migrate", "--source", source, "--target", edge, *SWITCH)
    assert done.code == 0
    for expected in (
        "Verdict on",
        "V4     verified",
        "not checked",
        ": SWITCHED",
        f"docs -> {edge}",
        "vecferry rollback",
    ):
        assert expected in done.out
    assert "Plan:" in done.err
    assert "Plan:" not in done.out


@pytest.mark.slow
def test_what_is_not_moved_is_listed(vecferry: Vecferry, source: str, edge: str, tmp_path: Path) -> None:
    """A collection of an engine has settings that stay behind; the result names them."""
    vecferry("migrate", "--source", source, "--target", edge, *SWITCH)
    second = vecferry("migrate", "--source", edge, "--target", f"jsonl://{tmp_path}/x.jsonl", *SWITCH, "--route", "b")
    assert second.code == 0, second.err
    assert "not moved" in second.out


def test_a_migration_file_is_read_and_options_go_before_it(
    vecferry: Vecferry, source: str, edge: str, tmp_path: Path
) -> None:
    """--config FILE holds the same things as the options, and an option beside it wins."""
    file = tmp_path / "migration.yaml"
    file.write_text(
        f"source: {source}\ntarget: jsonl:///nowhere/x.jsonl\nmetric: cosine\napprove: auto\nroute: library\n"
    )
    done = vecferry("migrate", "--config", file, "--target", edge, "--json")
    assert done.code == 0, done.err
    assert done.document["migration"]["target_url"] == edge
    assert done.document["route"]["name"] == "library"


def test_a_trial_is_never_switched(vecferry: Vecferry, source: str, edge: str) -> None:
    """--limit N moves and proves the first N records; the route stays, and no approval can change that."""
    done = vecferry("migrate", "--source", source, "--target", edge, *SWITCH, "--limit", 10, "--json")
    assert done.code == 0, done.err
    found = done.document
    assert (found["migration"]["state"], found["rows"], found["route"]) == ("READY", 10, None)
    name = found["migration"]["id"]
    assert not any("approve" in command for command in found["next_commands"])
    assert vecferry("approve", name).code == 5
    assert vecferry("route", "docs").code == 2


def test_a_trial_can_be_taken_away(vecferry: Vecferry, source: str, edge: str, tmp_path: Path) -> None:
    """After abort, discard drops the trial's target, and the whole collection can take its name."""
    trial = vecferry("migrate", "--source", source, "--target", edge, *SWITCH, "--limit", 10, "--json")
    name = trial.document["migration"]["id"]
    assert vecferry("migrate", "--source", source, "--target", edge, *SWITCH).code == 4
    assert vecferry("abort", name).code == 0
    assert vecferry("discard", name).code == 0
    assert vecferry("migrate", "--source", source, "--target", edge, *SWITCH).code == 0


def test_without_a_backup_no_file_is_copied(vecferry: Vecferry, source: str, lines: str, tmp_path: Path) -> None:
    """Files are copied beside the archive before anything moves; --no-backup leaves that out."""
    first = vecferry("migrate", "--source", source, "--target", lines, *SWITCH, "--archive", tmp_path / "a")
    second = vecferry(
        "migrate", "--source", source, "--target", f"{lines}.jsonl", *SWITCH, "--archive", tmp_path / "b",
        "--no-backup", "--route", "other",
    )  # fmt: skip
    assert (first.code, second.code) == (0, 0), second.err
    assert list((tmp_path / "a").rglob("backup.json"))
    assert not list((tmp_path / "b").rglob("backup.json"))


def test_the_source_file_is_untouched(vecferry: Vecferry, source: str, edge: str, tmp_path: Path) -> None:
    """A migration and its rollback leave the files of the old store byte for byte as they were."""
    before = {file.name: file.read_bytes() for file in (tmp_path / "old").iterdir()}
    name = vecferry("migrate", "--source", source, "--target", edge, *SWITCH, "--json").document["migration"]["id"]
    assert vecferry("rollback", name).code == 0
    assert {file.name: file.read_bytes() for file in (tmp_path / "old").iterdir()} == before
