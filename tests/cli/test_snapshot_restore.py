"""`vecferry migrate --strategy snapshot-restore`: asked before it pauses, told afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Vecferry

STRATEGY = ("--metric", "cosine", "--strategy", "snapshot-restore")


@pytest.mark.slow
def test_it_waits_for_a_yes_before_anything_is_copied(vecferry: Vecferry, source: str, edge: str) -> None:
    """Without a terminal it stops in PLANNED with exit code 3; approve and resume switch, and the pause is told."""
    asked = vecferry("migrate", "--source", source, "--target", edge, *STRATEGY, "--json")
    assert (asked.code, asked.document["migration"]["state"]) == (3, "PLANNED")
    name = asked.document["migration"]["id"]
    assert asked.document["next_commands"][0] == f"vecferry approve {name}"
    assert vecferry("approve", name).code == 0
    done = vecferry("resume", name)
    assert done.code == 0, done.err
    assert ": SWITCHED" in done.out
    assert "writes paused" in done.out
    assert "digest before it, and of the snapshot" in done.err


@pytest.mark.slow
def test_a_file_may_name_the_strategy(vecferry: Vecferry, source: str, edge: str, tmp_path: Path) -> None:
    """`strategy:` stands beside the other fields."""
    file = tmp_path / "migration.yaml"
    file.write_text(f"source: {source}\ntarget: {edge}\nmetric: cosine\napprove: auto\nstrategy: snapshot-restore\n")
    done = vecferry("migrate", "--config", file, "--json")
    assert (done.code, done.document["migration"]["strategy"]) == (0, "snapshot-restore")


def test_a_strategy_that_there_is_not_is_named(vecferry: Vecferry, source: str, edge: str) -> None:
    """A misspelt one is an error, with those that there are."""
    wrong = vecferry("migrate", "--source", source, "--target", edge, "--strategy", "green-blue")
    assert wrong.code == 2
    assert "no strategy 'green-blue'" in wrong.err


def test_it_moves_one_collection_at_a_time(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """Many pauses in one command are refused, with the reason."""
    store = source.rpartition("/")[0]
    done = vecferry("migrate", "--source", store, "--target", f"qdrant+edge://{tmp_path}/new", "--all", *STRATEGY)
    assert done.code == 2
    assert "one collection at a time" in done.err
