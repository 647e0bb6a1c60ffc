"""`rollback GROUP` and `abort GROUP`: each member on its own, the worst exit code for all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run, Vecferry, write_files
from tests.cli.test_many import SWITCH, spoil
from vecferry.ledger import Ledger

pytestmark = pytest.mark.slow


def states(done: Run) -> dict[str, str]:
    """The state of each collection by its name."""
    rows = done.document["collections"]
    return {Path(one["source"]).name.removesuffix(".npy"): one["state"] for one in rows}


@pytest.fixture
def group(vecferry: Vecferry, tmp_path: Path) -> str:
    """Of three collections two are switched; one could not be moved."""
    for name in ("docs-a", "docs-b", "images"):
        write_files(tmp_path / "old", 20, name=name)
    spoil(tmp_path / "old", "docs-b")
    stores = ("--source", f"numpy://{tmp_path}/old", "--target", f"qdrant+edge://{tmp_path}/new")
    assert vecferry("migrate", *stores, "--all", *SWITCH).code == 4
    return Ledger.open().groups()[0].id


def test_a_group_is_rolled_back_member_by_member(vecferry: Vecferry, group: str, tmp_path: Path) -> None:
    """One whose old store is gone stops no other; the same command again finishes it once the store is back."""
    (tmp_path / "old" / "images.npy").rename(tmp_path / "images.npy")
    done = vecferry("rollback", group, "--json")
    assert done.code == 5
    assert states(done) == {"docs-a": "ROLLED_BACK", "docs-b": "PLANNED", "images": "SWITCHED"}
    assert vecferry("route", "docs-a").out.strip() == f"numpy://{tmp_path}/old/docs-a.npy"
    (tmp_path / "images.npy").rename(tmp_path / "old" / "images.npy")
    again = vecferry("rollback", group, "--json")
    assert (again.code, states(again)["images"]) == (0, "ROLLED_BACK")
    skipped = {Path(one["source"]).name: one["skipped"] for one in again.document["collections"]}
    assert skipped["images.npy"] is None
    assert skipped["docs-a.npy"] == "it is ROLLED_BACK: nothing to roll back"


def test_what_is_for_one_migration_is_refused_for_a_group(vecferry: Vecferry, group: str) -> None:
    """A dry run, the route alone, a file of decisions: each by a migration's own id, and nothing is done."""
    for option in (("--dry-run",), ("--route-only",), ("--conflicts", "some.jsonl")):
        done = vecferry("rollback", group, *option)
        assert done.code == 2
        assert "is a group" in done.err


def test_a_group_is_aborted_where_it_has_not_switched(vecferry: Vecferry, group: str) -> None:
    """What serves from the new store already stays; what does not is ended, and a second time changes nothing."""
    done = vecferry("abort", group, "--json")
    assert done.code == 0, done.err
    assert states(done) == {"docs-a": "SWITCHED", "docs-b": "ABORTED", "images": "SWITCHED"}
    again = vecferry("abort", group)
    assert again.code == 0
    assert "stays so" in again.out
