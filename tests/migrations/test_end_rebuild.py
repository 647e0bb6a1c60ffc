"""A ledger that was lost: made anew from the archive of a switched migration, and the way back works from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.migrating import Harness, contents, fill, mixed_batch
from vecferry import address
from vecferry.archive import Archive
from vecferry.errors import ArchiveDamaged, BadOption, NotFound, PlanRefused
from vecferry.ledger import State
from vecferry.operations import ending, rebuilding, routes
from vecferry.strategies.runner import Ref


@pytest.fixture
def docs(request: pytest.FixtureRequest) -> str:
    """A source of 300 records."""
    url = f"memory:///{request.node.name}"
    fill(url, [mixed_batch(300)])
    return url


def switched(harness: Harness, docs: str, folder: Path, **options: object) -> Ref:
    """A migration that has switched, with its archive in a folder of its own."""
    return harness.migrate(docs, f"{docs}-new", archive=str(folder), slice_rows=120, route="docs", **options)


def lose_ledger(harness: Harness) -> Harness:
    """The file is gone; another one, in another place, is empty."""
    folder = harness.folder / "other"
    folder.mkdir()
    for file in harness.folder.glob("ledger.db*"):
        file.unlink()
    return Harness(folder)


def rebuild(harness: Harness, archive: Path) -> rebuilding.Rebuilt:
    return rebuilding.rebuild(harness.ledger, rebuilding.propose(archive))


@pytest.mark.slow
def test_s11_the_way_back_works_from_a_ledger_made_of_the_archive(harness: Harness, docs: str, tmp_path: Path) -> None:
    """Migration, plan, slices and route are as they were; a rollback sends the route back by one more epoch."""
    ref = switched(harness, docs, tmp_path / "archive")
    before, slices, route = harness.migration(ref), harness.ledger.slices(ref.migration), harness.route(ref)
    anew = lose_ledger(harness)
    found = rebuild(anew, tmp_path / "archive")
    assert found.observed.differences == ()
    assert (found.migration.id, found.migration.state) == (ref.migration, State.SWITCHED)
    names = ("name", "strategy", "source_url", "target_url", "route", "created_at")
    assert [getattr(found.migration, name) for name in names] == [getattr(before, name) for name in names]
    mine = Ref(anew.ledger.url, ref.migration)
    assert (anew.route(mine).url, anew.route(mine).epoch) == (route.url, route.epoch)
    again = anew.ledger.slices(ref.migration)
    assert [(row.slice, row.copied, row.verified) for row in again] == [
        (row.slice, row.copied, row.verified) for row in slices
    ]
    assert routes.foresee(anew.runner, mine).leads_to == docs
    assert anew.migration(mine).state is State.SWITCHED
    anew.rollback(mine)
    assert anew.route(mine).url == docs
    assert anew.route(mine).epoch > route.epoch
    assert anew.migration(mine).state is State.ROLLED_BACK
    assert len(contents(docs)) == 300
    assert "rebuilt from the archive" in [entry.event for entry in anew.ledger.audit(ref.migration)]


@pytest.mark.slow
def test_the_end_works_from_a_ledger_made_of_the_archive(harness: Harness, docs: str, tmp_path: Path) -> None:
    """Complete and decommission look at the old store as they would have done."""
    ref = switched(harness, docs, tmp_path / "archive")
    anew = lose_ledger(harness)
    rebuild(anew, tmp_path / "archive")
    mine = Ref(anew.ledger.url, ref.migration)
    assert not ending.complete(anew.runner, mine).late
    assert ending.decommission(anew.runner, mine, address.parse(docs).name).dropped == docs


@pytest.mark.slow
def test_an_archive_that_was_moved_is_the_archive_of_the_new_ledger(
    harness: Harness, docs: str, tmp_path: Path
) -> None:
    """The folder that is given counts, not the one that it was written in."""
    switched(harness, docs, tmp_path / "archive")
    (tmp_path / "archive").rename(tmp_path / "moved")
    anew = lose_ledger(harness)
    found = rebuild(anew, tmp_path / "moved")
    assert found.migration.archive == str(tmp_path / "moved")
    assert not ending.complete(anew.runner, Ref(anew.ledger.url, found.migration.id)).late


@pytest.mark.slow
def test_tokens_go_on_above_all_that_an_application_has_seen(harness: Harness, docs: str, tmp_path: Path) -> None:
    """A pause of the new ledger is no older pause to an application that knows those of the old one."""
    ref = switched(harness, docs, tmp_path / "archive")
    before = harness.ledger.pause_writes("docs", ref.migration, 60, None, state_to=None)
    anew = lose_ledger(harness)
    rebuild(anew, tmp_path / "archive")
    after = anew.ledger.pause_writes("docs", ref.migration, 60, None, state_to=None)
    assert after.token > before.token + 1_000_000


def test_a_ledger_that_knows_the_migration_is_not_touched(harness: Harness, docs: str, tmp_path: Path) -> None:
    """What a ledger says counts more than what an archive says."""
    ref = switched(harness, docs, tmp_path / "archive")
    trail = len(harness.ledger.audit(ref.migration))
    with pytest.raises(PlanRefused, match="knows migration"):
        rebuild(harness, tmp_path / "archive")
    assert len(harness.ledger.audit(ref.migration)) == trail


@pytest.mark.slow
def test_a_route_of_the_same_name_is_not_taken(harness: Harness, docs: str, tmp_path: Path) -> None:
    """Another migration's route stays where it leads."""
    switched(harness, docs, tmp_path / "archive")
    anew = lose_ledger(harness)
    fill(f"{docs}-second", [mixed_batch(5)])
    anew.migrate(f"{docs}-second", f"{docs}-third", route="docs")
    with pytest.raises(PlanRefused, match="has a route 'docs'"):
        rebuild(anew, tmp_path / "archive")


def test_an_archive_without_a_switch_rebuilds_nothing(harness: Harness, docs: str, tmp_path: Path) -> None:
    """An export has no route to go back on; a folder without an archive says so."""
    harness.migrate(docs, f"archive://{tmp_path}/archive/docs", "export", archive=str(tmp_path / "archive"))
    with pytest.raises(NotFound, match="no cutover file"):
        rebuilding.propose(tmp_path / "archive")
    with pytest.raises(NotFound):
        rebuilding.propose(tmp_path)


@pytest.mark.slow
def test_a_damaged_archive_rebuilds_nothing(harness: Harness, docs: str, tmp_path: Path) -> None:
    """Every file has its checksum before a ledger stands on it."""
    switched(harness, docs, tmp_path / "archive")
    part = next((tmp_path / "archive").rglob("hashes/*.parquet"))
    part.write_bytes(part.read_bytes()[:-1])
    anew = lose_ledger(harness)
    with pytest.raises(ArchiveDamaged):
        rebuild(anew, tmp_path / "archive")
    assert anew.ledger.migrations() == []


@pytest.mark.slow
def test_one_of_several_collections_has_to_be_named(harness: Harness, docs: str, tmp_path: Path) -> None:
    """Two migrations may share one folder."""
    switched(harness, docs, tmp_path / "archive")
    fill(f"{docs}-second", [mixed_batch(5)])
    harness.migrate(f"{docs}-second", f"{docs}-third", archive=str(tmp_path / "archive"), route="second")
    with pytest.raises(BadOption, match="2 collections"):
        rebuilding.propose(tmp_path / "archive")
    name = address.parse(f"{docs}-second").name
    assert rebuilding.propose(tmp_path / "archive", name).statement.route == "second"


def test_s11_the_cutover_file_lists_every_record_with_both_hashes(harness: Harness, docs: str, tmp_path: Path) -> None:
    """It holds the typed id, the target's id, and what stood on both sides before the switch."""
    switched(harness, docs, tmp_path / "archive")
    archive = Archive.open(tmp_path / "archive", address.parse(docs).name)
    assert archive.manifest().cutover is not None
    rows = [row for batch in archive.read_cutover() for row in batch.to_pylist()]
    assert {row["id"] for row in rows} == set(contents(docs))
    assert all(row["target_hash"] and row["target_id"] == row["id"] for row in rows)
