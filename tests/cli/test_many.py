"""`--all` and `--collections`: what is printed, how it ends, and how it goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run, Vecferry, write_files
from vecferry.ledger import Ledger

pytestmark = pytest.mark.slow

SWITCH = ("--metric", "cosine", "--approve", "auto")


@pytest.fixture
def store(tmp_path: Path) -> str:
    """Three collections of 20 records in a folder of arrays."""
    for name in ("docs-a", "docs-b", "images"):
        write_files(tmp_path / "old", 20, name=name)
    return f"numpy://{tmp_path}/old"


@pytest.fixture
def new(tmp_path: Path) -> str:
    """A folder for embedded collections."""
    return f"qdrant+edge://{tmp_path}/new"


def spoil(folder: Path, name: str) -> None:
    """Put a number into an array that no target takes."""
    numbers = np.load(folder / f"{name}.npy")
    numbers[3, 1] = np.nan
    np.save(folder / f"{name}.npy", numbers)


def by_name(done: Run) -> dict[str, dict[str, object]]:
    """The collections of a document by their names."""
    return {one["name"].removesuffix(".npy"): one for one in done.document["collections"]}


def test_many_collections_end_in_one_document(vecferry: Vecferry, store: str, new: str, tmp_path: Path) -> None:
    """One fails, the others are switched; numbers, each one's end and the worst exit code are in the document."""
    spoil(tmp_path / "old", "docs-b")
    done = vecferry("migrate", "--source", store, "--target", new, "--all", *SWITCH, "--json")
    assert done.code == 4
    document = done.document
    assert (document["found"], document["verified"], document["failed"]) == (3, 2, 1)
    assert (document["appeared"], document["vanished"], document["missing"]) == ([], [], [])
    found = by_name(done)
    assert {name: one["outcome"] for name, one in found.items()} == {
        "docs-a": "done", "docs-b": "failed", "images": "done"
    }  # fmt: skip
    assert found["docs-a"]["state"] == "SWITCHED"
    assert found["docs-a"]["rows"] == 20
    assert found["docs-a"]["verdict"]["state"] == "same"  # type: ignore[index]
    assert found["docs-b"]["verdict"] is None
    assert found["docs-b"]["error"]["exit_code"] == 4  # type: ignore[index]
    assert document["error"]["migration"] == document["group"]
    assert "docs-a.npy: done, 20 records, verdict same" in done.err
    assert "docs-b.npy: failed" in done.err


def test_a_group_goes_on_by_the_same_command_and_by_its_id(
    vecferry: Vecferry, store: str, new: str, tmp_path: Path
) -> None:
    """What failed is moved once its source is mended; list, status and resume know the group."""
    spoil(tmp_path / "old", "docs-b")
    command = ("migrate", "--source", store, "--target", new, "--collections", "docs*", *SWITCH)
    first = vecferry(*command)
    assert first.code == 4
    assert "1 of 2 collections verified, 1 failed" in first.out
    assert "not moved" not in first.out
    group = Ledger.open().groups()[0].id
    write_files(tmp_path / "old", 20, name="docs-b")
    resumed = vecferry("resume", group, "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.document["verified"] == 2
    again = vecferry(*command, "--json")
    assert (again.code, again.document["group"]) == (0, group)
    listed = vecferry("list", "--json").document["migrations"]
    assert [one["group_id"] for one in listed] == [group, group]
    assert group in vecferry("list").out
    status = vecferry("status", group, "--json")
    assert (status.code, status.document["verified"]) == (0, 2)


def test_without_an_answer_each_waits_for_its_own(vecferry: Vecferry, store: str, new: str) -> None:
    """All are moved first, then each stops before its switch with exit 3; approved one by one, the group goes on."""
    asked = ("migrate", "--source", store, "--target", new, "--collections", "docs*", "--metric", "cosine", "--json")
    first = vecferry(*asked)
    assert first.code == 3
    assert [one["outcome"] for one in first.document["collections"]] == ["waits for approval"] * 2
    assert first.document["verified"] == 2
    assert "vecferry approve ID" in first.document["error"]["advice"]
    for one in first.document["collections"]:
        assert vecferry("approve", one["migration"]).code == 0
    assert vecferry("resume", first.document["group"]).code == 0
    assert vecferry("route", "docs-a").out.strip() == f"{new}/docs-a"


def test_collections_that_would_meet_are_listed(vecferry: Vecferry, store: str, new: str) -> None:
    """The refusal names both and the option that helps; the ledger holds nothing of it."""
    done = vecferry("migrate", "--source", store, "--target", new, "--all", "--target-name", "same", *SWITCH)
    assert done.code == 2
    assert "docs-a.npy and" in done.err
    assert "--target-name" in done.err
    assert vecferry("list", "--json").document["migrations"] == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--all", "--collections", "x"), "give one of them"),
        (("--exclude", "x"), "add --all or --collections"),
        (("--target-name", "x"), "add --all or --collections"),
        (("--collections", "nothing*"), "it has docs-a, docs-b, images"),
    ],
)
def test_options_that_make_no_sense_are_told(
    vecferry: Vecferry, store: str, new: str, options: tuple[str, ...], words: str
) -> None:
    """Each names what to write instead."""
    done = vecferry("migrate", "--source", store, "--target", new, *options)
    assert done.code == 2
    assert words in done.err


def test_a_migration_file_may_name_many(vecferry: Vecferry, store: str, new: str, tmp_path: Path) -> None:
    """`collections`, `exclude` and `target_name` stand in the file as on the command line, which goes before it."""
    file = tmp_path / "many.yaml"
    file.write_text(f"""
source: {store}
target: {new}
metric: cosine
collections: ["docs*", images]
exclude: ["*-b"]
target_name: "{{name}}_new"
""")
    done = vecferry("plan", "--config", file, "--json")
    assert done.code == 0, done.err
    assert [one["target"] for one in done.document["collections"]] == [f"{new}/docs-a_new", f"{new}/images_new"]
    one = vecferry("plan", "--config", file, "--collections", "images", "--json")
    assert one.document["found"] == 1


def test_plan_inventory_and_verify_look_at_many(vecferry: Vecferry, store: str, new: str, tmp_path: Path) -> None:
    """Each prints one document with all collections, counts them, and ends with the worst exit code."""
    spoil(tmp_path / "old", "docs-b")
    pair = ("--source", store, "--target", new, "--metric", "cosine", "--json")
    plan = vecferry("plan", *pair, "--all")
    assert (plan.code, plan.document["found"], plan.document["planned"], plan.document["failed"]) == (4, 3, 2, 1)
    assert plan.document["collections"][1]["error"]["exit_code"] == 4
    assert not (tmp_path / "new").exists()
    inventory = vecferry("inventory", store, "--all", "--json")
    assert (inventory.code, inventory.document["read"]) == (0, 3)
    assert vecferry("migrate", *pair, "--all", "--exclude", "docs-b", "--approve", "auto").code == 0
    verify = vecferry("verify", *pair, "--collections", "images")
    assert (verify.code, verify.document["verified"]) == (0, 1)
    assert verify.document["beside"] == [f"{new}/docs-a"]


def test_an_export_of_many_is_loaded_as_many(vecferry: Vecferry, store: str, new: str, tmp_path: Path) -> None:
    """One folder holds an archive for each file, named like it; those that are meant are loaded under new names."""
    folder = tmp_path / "archives"
    exported = vecferry("export", store, folder, "--all", "--json")
    assert (exported.code, exported.document["verified"]) == (0, 3)
    loaded = vecferry(
        "load", folder, new, "--collections", "docs*", "--target-name", "new_{name}", "--metric", "cosine", "--json"
    )
    assert loaded.code == 0, loaded.err
    assert [one["target"] for one in loaded.document["collections"]] == [
        f"{new}/new_docs-a.npy",
        f"{new}/new_docs-b.npy",
    ]


def test_a_bug_with_one_collection_does_not_stop_the_others(
    vecferry: Vecferry, store: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw is told as a bug of that collection, and the next one begins."""
    from vecferry.operations import migrations

    run = migrations.run

    def broken(*given: object, **named: object) -> object:
        if "docs-a" in str(named["ref"]):
            raise ZeroDivisionError("division by zero")
        return run(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(migrations, "run", broken)
    done = vecferry("migrate", "--source", store, "--target", new, "--collections", "docs*", *SWITCH, "--json")
    assert done.code == 2
    assert [one["outcome"] for one in done.document["collections"]] == ["failed", "done"]
    assert "ZeroDivisionError" in str(done.document["collections"][0]["error"])
