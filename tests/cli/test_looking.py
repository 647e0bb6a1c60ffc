"""Commands that only look: stores, inventory, plan, verify."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Vecferry
from vecferry.stores.registry import STORES


def test_every_store_is_listed_with_its_urls(vecferry: Vecferry) -> None:
    """The table comes from the registry, so no store can be forgotten; the three forms agree."""
    listed = vecferry("stores", "--json").document["stores"]
    assert [row["scheme"] for row in listed] == list(STORES)
    text, markdown = vecferry("stores").out, vecferry("stores", "--markdown").out
    for store in STORES.values():
        for form in store.forms:
            assert form in text
            assert f"`{form}`" in markdown
    assert next(row for row in listed if row["scheme"] == "archive")["role"] == "source"


def test_an_inventory_shows_schema_count_and_payload(vecferry: Vecferry, source: str, home: Path) -> None:
    """Exact count, vectors, types of each payload key; and no ledger is made for it."""
    found = vecferry("inventory", source, "--json").document
    assert (found["records"], found["complete"], found["profile"]["rows"]) == (60, True, 60)
    assert found["schema"]["vectors"][0]["dimension"] == 8
    assert set(found["profile"]["payload"]["keys"]) == set(found["survey"]["keys"]) == {"text", "year"}
    assert re.search(r"'year' +60 +100 % +integer +9 ", vecferry("inventory", source).out)
    assert not home.exists()


def test_an_inventory_tells_what_each_engine_would_need(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """The files as they are, the rule of thumb, and an estimate for every engine, or for the one that is named."""
    sizes = vecferry("inventory", source, "--json").document["sizes"]
    files = [tmp_path / "old" / name for name in ("docs.npy", "docs.jsonl")]
    assert sizes["stored"]["disk_bytes"] == sum(file.stat().st_size for file in files)
    assert sizes["guide_ram_bytes"] == 60 * 8 * 4 * 1.5
    assert [one["engine"] for one in sizes["estimates"]] == ["qdrant", "chroma", "milvus", "faiss", "faiss"]
    target = f"faiss://{tmp_path}/new.index?index=hnsw&m=8"
    named = vecferry("inventory", source, "--target", target, "--json").document["sizes"]["estimates"]
    assert [(one["engine"], one["index"]) for one in named] == [("faiss", "HNSW, m = 8")]


def test_an_inventory_tells_what_does_not_fit_a_target_and_makes_nothing(
    vecferry: Vecferry, source: str, edge: str, tmp_path: Path
) -> None:
    """Exit 0, as the asked-for state was reached; the decision that a plan would refuse stands in the table."""
    text = vecferry("inventory", source, "--target", edge)
    assert text.code == 0
    assert re.search(r"metric of the vector +refused", text.out)
    fit = vecferry("inventory", source, "--target", edge, "--json").document["fit"]
    assert [decision["feature"] for decision in fit["misfits"]] == ["metric of the vector"]
    assert not fit["exists"]
    assert len(fit["decisions"]) > 3
    fit = vecferry("inventory", source, "--target", edge, "--metric", "cosine", "--json").document["fit"]
    assert fit["misfits"] == []
    assert not (tmp_path / "new").exists()


def test_an_inventory_holds_a_target_to_a_rule_set(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """A profile narrows what fits; without a target it has nothing to narrow."""
    target = ("--target", f"chroma+path://{tmp_path}/new/docs", "--metric", "cosine")
    fits = vecferry("inventory", source, *target, "--json").document["fit"]["misfits"]
    narrow = vecferry("inventory", source, *target, "--profile", "chroma-cloud", "--json")
    assert (fits, narrow.code) == ([], 0)
    alone = vecferry("inventory", source, "--profile", "chroma-cloud")
    assert (alone.code, "--target" in alone.err) == (2, True)


def test_an_inventory_of_a_part_is_told_as_such_and_sized_for_all(vecferry: Vecferry, source: str) -> None:
    """With --limit the counts are of what was read, and the room is for every record."""
    found = vecferry("inventory", source, "--limit", "10", "--json").document
    assert (found["records"], found["complete"], found["survey"]["rows"]) == (60, False, 10)
    assert found["sizes"]["guide_ram_bytes"] == 60 * 8 * 4 * 1.5
    assert "10 read of 60" in vecferry("inventory", source, "--limit", "10").out


def test_an_inventory_can_leave_the_vectors_alone(vecferry: Vecferry, source: str) -> None:
    """With --no-vectors nothing is told of them, and their room comes from the schema."""
    found = vecferry("inventory", source, "--no-vectors", "--json").document
    assert found["survey"]["vectors"] == {}
    assert found["sizes"]["guide_ram_bytes"] == 60 * 8 * 4 * 1.5
    assert "fits in" not in vecferry("inventory", source, "--no-vectors").out


def test_a_plan_moves_nothing(vecferry: Vecferry, source: str, edge: str, home: Path, tmp_path: Path) -> None:
    """A plan shows decisions, slices and size; it makes neither a target, an archive nor a ledger entry."""
    found = vecferry("plan", "--source", source, "--target", edge, "--metric", "cosine", "--json")
    assert found.code == 0, found.err
    document = found.document
    assert {decision["feature"] for decision in document["decisions"]} >= {"ids", "payload"}
    assert (document["rows"], document["slices"], document["refused"]) == (60, 1, [])
    assert document["archive_bytes_at_most"] > 60 * 8 * 4
    assert not home.exists()
    assert not (tmp_path / "new" / "docs").exists()


def test_a_plan_that_would_be_refused_is_shown_and_ends_with_4(vecferry: Vecferry, source: str, edge: str) -> None:
    """The decisions are printed all the same, the refused one by name, and the option that changes it."""
    text = vecferry("plan", "--source", source, "--target", edge)
    assert text.code == 4
    assert "refused" in text.out
    assert "--metric" in text.err
    document = vecferry("plan", "--source", source, "--target", edge, "--json").document
    assert document["refused"] == ["metric of the vector"]
    assert document["error"]["exit_code"] == 4


def test_a_plan_sees_a_target_that_exists(vecferry: Vecferry, source: str, edge: str) -> None:
    """What `migrate` would refuse, `plan` tells before."""
    vecferry("migrate", "--source", source, "--target", edge, "--metric", "cosine", "--approve", "auto")
    found = vecferry("plan", "--source", source, "--target", edge, "--metric", "cosine", "--json")
    assert (found.code, found.document["target_exists"]) == (4, True)


@pytest.mark.parametrize("change", ["payload", "vector"])
def test_verify_ends_with_1_and_names_the_record_when_two_stores_differ(
    change: str, vecferry: Vecferry, source: str, lines: str, tmp_path: Path
) -> None:
    """One changed payload, or one changed vector, in the source: mismatched, with the record's id."""
    vecferry("migrate", "--source", source, "--target", lines, "--approve", "auto")
    if change == "payload":
        file = tmp_path / "old" / "docs.jsonl"
        rows = file.read_text().splitlines()
        rows[7] = json.dumps({"id": "doc-7", "text": "text 7", "year": 1})
        file.write_text("\n".join(rows) + "\n")
    else:
        vectors = np.load(tmp_path / "old" / "docs.npy")
        vectors[7, 0] += 1
        np.save(tmp_path / "old" / "docs.npy", vectors)
    text = vecferry("verify", "--source", source, "--target", lines)
    assert text.code == 1
    assert "'doc-7'" in text.out
    document = vecferry("verify", "--source", source, "--target", lines, "--json").document
    assert document["verdict"]["state"] == "different"
    assert document["error"]["exit_code"] == 1


def test_verify_of_an_absent_target_is_wrong_usage(vecferry: Vecferry, source: str, lines: str) -> None:
    """Nothing to compare with is exit 2, not "different"."""
    assert vecferry("verify", "--source", source, "--target", lines).code == 2
