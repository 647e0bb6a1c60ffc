"""`--profile`: what a service would refuse is refused by the plan, before anything is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Vecferry
from tests.support.migrating import contents
from vecferry.cli.completion import profiles
from vecferry.rule_sets import RULE_SETS


def lines(path: Path, payloads: list[dict[str, Any]], texts: list[str] | None = None) -> str:
    """A JSONL file of points with number ids; its URL."""
    points = [{"id": number, "vector": [1.0, number], "payload": payload} for number, payload in enumerate(payloads)]
    for point, text in zip(points, texts or [], strict=False):
        point["document"] = text
    path.write_text("".join(json.dumps(point) + "\n" for point in points))
    return f"jsonl://{path}"


@pytest.fixture
def with_null(tmp_path: Path) -> str:
    """20 records; one has null under a key."""
    rows: list[dict[str, Any]] = [{"year": 2000 + number, "note": "plain"} for number in range(20)]
    rows[7]["note"] = None
    return lines(tmp_path / "points.jsonl", rows)


def test_the_plan_refuses_before_the_target_exists(vecferry: Vecferry, with_null: str, tmp_path: Path) -> None:
    """Both the plan and the migration end with exit 4 and name the consent; no folder, no file, nothing was made."""
    pair = ("--source", with_null, "--target", f"milvus+path://{tmp_path}/new/docs", "--metric", "dot")
    assert vecferry("plan", *pair).code == 0
    for command in ("plan", "migrate"):
        run = vecferry(command, *pair, "--profile", "zilliz-qdrant-json", "--json")
        assert run.code == 4
        assert "under the rules zilliz-qdrant-json is to take no null" in run.document["error"]["message"]
        assert "--consent null_values" in run.document["error"]["advice"]
        assert not (tmp_path / "new").exists()


def test_with_consent_the_keys_are_left_out_and_the_verdict_is_same(
    vecferry: Vecferry, with_null: str, tmp_path: Path
) -> None:
    """The one record lacks the key in the target, the others have it; the profile stands in a migration file."""
    target, file = f"milvus+path://{tmp_path}/new/docs", tmp_path / "migration.yaml"
    content = {
        "source": with_null,
        "target": target,
        "metric": "dot",
        "profile": "zilliz-qdrant-json",
        "consent": ["null_values"],
    }
    file.write_text(json.dumps(content))
    run = vecferry("migrate", "--config", file, "--approve", "auto", "--json")
    assert (run.code, run.document["verdict"]["state"]) == (0, "same")
    found = {name: json.loads(row.payload) for name, row in contents(target).items()}
    assert found["7"] == {"year": 2007}
    assert found["8"] == {"year": 2008, "note": "plain"}


def test_records_that_are_too_large_stay_behind_with_consent(vecferry: Vecferry, tmp_path: Path) -> None:
    """The quotas of Chroma Cloud on a local folder: refused and named; agreed to, all others arrive and are proven."""
    source = lines(tmp_path / "points.jsonl", [{"n": n, "text": "x" * (17_000 if n == 3 else 9000)} for n in range(10)])
    pair = ("--source", source, "--target", f"chroma+path://{tmp_path}/new/docs", "--metric", "dot")
    pair += ("--profile", "chroma-cloud")
    refused = vecferry("migrate", *pair, "--json")
    assert (refused.code, "in record 3" in refused.document["error"]["message"]) == (4, True)
    assert not (tmp_path / "new").exists()
    run = vecferry("migrate", *pair, "--consent", "oversized_records", "--approve", "auto", "--json")
    assert (run.code, run.document["verdict"]["state"]) == (0, "same")
    counts = run.document["verdict"]["levels"][1]
    assert (counts["checked"], "1 of the source's records stayed behind" in counts["bound"]) == (9, True)
    assert set(contents(f"chroma+path://{tmp_path}/new/docs")) == set("012456789")


@pytest.mark.slow
def test_numbers_come_back_as_the_kind_that_they_were(vecferry: Vecferry, tmp_path: Path) -> None:
    """uint64 to int64 keys of Milvus and back: the same ids, of the same kind."""
    source = lines(tmp_path / "points.jsonl", [{"n": number} for number in range(10)])
    middle, back = f"milvus+path://{tmp_path}/new/docs", f"jsonl://{tmp_path}/back.jsonl"
    assert vecferry("migrate", "--source", source, "--target", middle, "--metric", "dot", "--approve", "auto").code == 0
    inventory = vecferry("inventory", middle, "--json").document
    assert inventory["schema"]["id_kinds"] == ["uint64"]
    assert vecferry("migrate", "--source", middle, "--target", back, "--approve", "auto").code == 0
    assert contents(back).keys() == contents(source).keys()
    assert all(type(json.loads(line)["id"]) is int for line in (tmp_path / "back.jsonl").read_text().splitlines())


@pytest.mark.parametrize(
    ("name", "target", "says"),
    [
        ("chroma-cloud", "milvus+path:///d/docs", "not for a target of milvus+path://"),
        ("zilliz", "milvus+path:///d/docs", "no profile is named 'zilliz'"),
    ],
)
def test_a_profile_that_does_not_fit_is_wrong_usage(
    vecferry: Vecferry, source: str, name: str, target: str, says: str
) -> None:
    """Exit 2 at once, with the names that fit."""
    run = vecferry("plan", "--source", source, "--target", target, "--profile", name, "--json")
    assert (run.code, says in run.document["error"]["message"]) == (2, True)
    assert "zilliz-qdrant-json" in run.document["error"]["advice"]


def test_the_tab_key_knows_the_profiles() -> None:
    """By the start of the name."""
    assert [name for name, _ in profiles("")] == list(RULE_SETS)
    assert {name for name, _ in profiles("zilliz-")} == {"zilliz-qdrant-json", "zilliz-qdrant-varchar"}
