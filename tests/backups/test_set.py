"""A folder of backups: what stands in it, what is verified, what goes, and what a crash leaves."""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.backups.support import back_up, contents, flip, killed, made_one, prune
from tests.support.migrating import Harness
from tests.support.raw_collections import Place, generate, make_source
from vecferry.errors import ArchiveDamaged, BadOption, LockHeld, NotFound, Stopped
from vecferry.operations import backup_sets, backups, migrations, restores
from vecferry.operations.backups import Backup, Method
from vecferry.transfer import backup_set
from vecferry.transfer.backup_listing import read_listing, write_listing
from vecferry.transfer.backup_set import BackupState, Making
from vecferry.transfer.retention import Policy


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where the backups go."""
    return tmp_path / "root"


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A 2-D file."""
    (tmp_path / "old").mkdir()
    np.save(tmp_path / "old" / "docs.npy", np.arange(40, dtype=np.float32).reshape(10, 4))
    return f"numpy://{tmp_path}/old/docs.npy"


@pytest.fixture
def make(source: str, root: Path) -> Callable[..., Path]:
    """Makes a backup that is so many days old; its folder."""

    def made(days: int = 0) -> Path:
        return made_one(source, root, days)

    return made


def states(root: Path) -> dict[str, BackupState]:
    return {item.folder.name: item.state for item in backup_sets.list_backups(root)}


def test_a_backup_lists_what_it_is(make: Callable[..., Path], source: str) -> None:
    """`backup.json` names source, method, rows, times and each file with its size and SHA-256, for any reader."""
    folder = make()
    listing = json.loads((folder / "backup.json").read_text())
    assert (listing["format"], listing["format_version"], listing["method"]) == ("vecferry-backup", 1, "files")
    assert (listing["source"], listing["collection"], listing["rows"]) == (source, "docs.npy", 10)
    assert listing["made_at"] <= listing["verified_at"]
    (file,) = listing["files"]
    content = (folder / "files" / file["path"]).read_bytes()
    assert (file["size_bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_two_backups_of_one_second_do_not_meet(make: Callable[..., Path], root: Path) -> None:
    """Each has a folder of its own, below the collection's."""
    folders = {make() for _ in range(3)}
    assert len(folders) == 3
    assert {folder.parent for folder in folders} == {root / "docs.npy"}
    assert set(states(root).values()) == {BackupState.VERIFIED}


def test_backups_are_found_from_any_height(make: Callable[..., Path], root: Path) -> None:
    """The root, a collection's folder and a backup's own folder all do."""
    folder = make()
    for place in (root, root / "docs.npy", folder):
        assert [item.folder for item in backup_sets.list_backups(place)] == [folder]
    with pytest.raises(NotFound, match="holds no backup"):
        backup_sets.list_backups(root / "nowhere")


def test_fields_of_a_later_version_stay(make: Callable[..., Path]) -> None:
    """Whoever verifies a backup keeps what its listing says beyond what is known here."""
    folder = make()
    path = folder / "backup.json"
    listing = read_listing(folder)
    raw = json.loads(path.read_text()) | {"comment": "before the release"}
    path.unlink()
    path.write_text(path_text(raw))
    write_listing(folder, listing)
    backup_sets.verify_backups(folder, newest=False)
    assert json.loads(path.read_text())["comment"] == "before the release"


def path_text(raw: dict[str, object]) -> str:
    """A listing with the checksum that it should have, reckoned by the definition in the documentation."""
    covered = {name: value for name, value in raw.items() if name != "sha256"}
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return json.dumps({**covered, "sha256": hashlib.sha256(text.encode()).hexdigest()})


def test_a_listing_of_a_later_format_is_not_guessed_at(make: Callable[..., Path], root: Path) -> None:
    """Version 2 is told as such, and such a backup is never removed."""
    folder = make(9)
    path = folder / "backup.json"
    path.write_text(path_text(json.loads(path.read_text()) | {"format_version": 2}))
    make()
    with pytest.raises(ArchiveDamaged, match="format version 2"):
        read_listing(folder)
    pruned = backup_sets.prune(root, Policy(1))
    assert [path for path, _ in pruned.left] == [folder]
    assert folder.exists()


def test_verify_records_what_it_found(make: Callable[..., Path], root: Path) -> None:
    """A damaged backup counts as damaged until it is whole again, and tells which file it is."""
    folder = make()
    copy = folder / "files" / "docs.npy"
    flip(copy)
    assert states(root) == {folder.name: BackupState.VERIFIED}, "a listing reads no bytes"
    (found,) = backup_sets.verify_backups(root, newest=True)
    assert str(copy) in found.damages[0]
    assert states(root) == {folder.name: BackupState.DAMAGED}
    flip(copy)
    assert backup_sets.verify_backups(root, newest=True)[0].damages == ()
    assert states(root) == {folder.name: BackupState.VERIFIED}


def test_the_newest_is_verified_even_if_it_is_damaged(make: Callable[..., Path], root: Path) -> None:
    """A damaged newest backup does not hide behind the one before it."""
    make(3)
    newest = make()
    (newest / "files" / "docs.npy").unlink()
    (found,) = backup_sets.verify_backups(root, newest=True)
    assert found.backup.folder == newest
    assert found.damages


def test_retention_removes_the_old_ones(make: Callable[..., Path], root: Path) -> None:
    """Of ten nights three stay; a dry run says the same, and removes nothing."""
    folders = [make(days) for days in range(9, -1, -1)]
    before = contents(root)
    would = backup_sets.prune(root, Policy(3), dry_run=True)
    assert contents(root) == before
    pruned = backup_sets.prune(root, Policy(3))
    assert pruned.removed == would.removed == tuple(folders[:7])
    assert [path for path, _ in pruned.kept] == folders[:6:-1]
    assert sorted(path for path in (root / "docs.npy").iterdir()) == sorted(folders[7:])


def test_nothing_goes_when_the_newest_turns_out_to_be_damaged(make: Callable[..., Path], root: Path) -> None:
    """Retention reads the newest backup back before it removes anything, whatever was recorded of it."""
    old = [make(days) for days in (5, 4)]
    newest = make()
    flip(newest / "files" / "docs.npy")
    pruned = backup_sets.prune(root, Policy(1))
    assert pruned.removed == ()
    assert "is damaged" in pruned.held[0]
    assert all(folder.exists() for folder in old)


def test_damaged_and_foreign_folders_are_told_and_stay(make: Callable[..., Path], root: Path) -> None:
    """What vecferry did not make, or does not find whole, is never removed."""
    damaged = make(9)
    (damaged / "files" / "docs.npy").unlink()
    foreign = root / "docs.npy" / "my own copy"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("keep")
    make(8)
    make()
    pruned = backup_sets.prune(root, Policy(1))
    assert {path for path, _ in pruned.left} == {damaged, foreign}
    assert damaged.exists()
    assert (foreign / "notes.txt").exists()
    assert len(pruned.removed) == 1


def test_sources_of_one_name_do_not_crowd_each_other_out(make: Callable[..., Path], root: Path, tmp_path: Path) -> None:
    """Two stores with a collection of one name share a folder, and each keeps its own backups."""
    older = make(3)
    (tmp_path / "two").mkdir()
    np.save(tmp_path / "two" / "docs.npy", np.ones((3, 4), np.float32))
    other = made_one(f"numpy://{tmp_path}/two/docs.npy", root)
    assert other.parent == older.parent
    assert backup_sets.prune(root, Policy(1)).removed == ()


@pytest.mark.slow
def test_a_removal_that_was_killed_is_finished(make: Callable[..., Path], root: Path) -> None:
    """A kill in the middle leaves a hidden folder, which the next prune sweeps away."""
    make(5)
    newest = make()
    assert killed(prune, root, "prune.renamed=kill") == -9
    assert [item.folder for item in backup_sets.list_backups(root)] == [newest]
    assert len(list((root / "docs.npy").iterdir())) == 2
    backup_sets.prune(root, Policy(1))
    assert list((root / "docs.npy").iterdir()) == [newest]


def test_a_backup_that_was_killed_is_unfinished_until_a_newer_one_is_there(source: str, root: Path) -> None:
    """It is told, is restored by nobody, and goes once a newer verified backup exists."""
    made_one(source, root, 4)
    assert killed(back_up, root, "backup.listed=kill", source) == -9
    (whole,) = (folder for folder in (root / "docs.npy").iterdir() if (folder / "making.json").exists())
    assert states(root)[whole.name] is BackupState.VERIFIED, "its listing was written"
    (whole / "backup.json").unlink()
    assert states(root)[whole.name] is BackupState.UNFINISHED
    with pytest.raises(NotFound, match="did not end"):
        restores.find_backup(str(whole))
    assert backup_sets.prune(root, Policy(9)).removed == ()
    older = whole.with_name("20260101T000000Z")
    whole.rename(older)
    making = backup_set.read_making(older)
    assert making is not None
    backup_set.write_making(older, Making(making.source, making.collection, making.method, "2026-01-01T00:00:00+00:00"))
    with backup_set.making(older):
        assert backup_sets.prune(root, Policy(9)).removed == (), "somebody is making it"
    assert backup_sets.prune(root, Policy(9)).removed == (older,)


def test_two_runs_do_not_make_one_backup(source: str, root: Path) -> None:
    """A second process that would go on with it is refused while the first has it."""
    folder = backup_set.begin(root, Making(source, "docs.npy", Method.FILES, "2026-11-21T02:17:00+00:00"))
    assert folder.name == "20261121T021700Z"
    with backup_set.making(folder), pytest.raises(LockHeld, match="another run is making"), backup_set.making(folder):
        pass


def test_an_interrupted_export_is_resumed_into_the_same_backup(
    source: str, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database's backup that was killed goes on by its migration's id, and is a backup afterwards."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    harness = Harness(tmp_path)
    ref = backups.start_backup(harness.ledger, harness.config(source, "memory:///x", slice_rows=4), root)
    assert harness.run_until_killed(ref, "copy.part_recorded=kill@2") == -9
    (found,) = backup_sets.list_backups(root)
    assert (found.state, found.making and found.making.migration) == (BackupState.UNFINISHED, ref.migration)
    migrations.run(harness.runner, ref)
    made = backups.found_backup(harness.ledger, ref)
    assert made.listing.rows == 10
    assert backup_sets.verify_backups(root, newest=True)[0].damages == ()
    migrations.run(harness.runner, ref)
    assert backups.found_backup(harness.ledger, ref) == made, "once more changes nothing"


def test_each_file_of_an_archive_is_watched(
    source: str, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flipped bit in plan, manifest or part is named by the file."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    harness = Harness(tmp_path)
    config = harness.config(source, "memory:///x")
    made: Backup = backups.backup(harness.runner, harness.ledger, config, root, Method.ARCHIVE)
    for item in made.listing.files:
        path = made.folder / "archive" / item.path
        flip(path)
        (found,) = backup_sets.verify_backups(root, newest=True)
        assert str(path) in found.damages[0]
        flip(path)
    assert backup_sets.verify_backups(root, newest=True)[0].damages == ()


def test_a_disk_that_fills_up_leaves_no_half_backup(source: str, root: Path, tmp_path: Path) -> None:
    """Files may not grow beyond 8 kB, as on a full disk: the run says so, and what it began is gone."""
    np.save(tmp_path / "old" / "docs.npy", np.ones((1000, 4), np.float32))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, limit[1]))
    try:
        with pytest.raises(Stopped, match=r"failed: File too large"):
            made_one(source, root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert contents(root) == {}


def test_a_root_inside_the_store_is_refused(tmp_path: Path) -> None:
    """The next backup would copy this one; a folder beside the files is fine."""
    url = make_source("chroma+path", Place(tmp_path / "old"), "docs", generate(5, 4))
    inside = tmp_path / "old" / "chroma-docs" / "backups"
    with pytest.raises(BadOption, match="lies inside"):
        made_one(url, inside)
    assert contents(inside) == {}


def test_a_root_of_unfinished_backups_is_not_verified(source: str, root: Path) -> None:
    """Nothing to read is an error, not a success."""
    backup_set.begin(root, Making(source, "docs.npy", Method.FILES, "2026-11-21T02:17:00+00:00"))
    with pytest.raises(NotFound, match="no backup that was finished"):
        backup_sets.verify_backups(root, newest=True)


def test_a_folder_with_several_backups_needs_a_name(make: Callable[..., Path], root: Path) -> None:
    """Which one is restored is not guessed; the newest is given as the example."""
    make(2)
    newest = make()
    with pytest.raises(BadOption, match="holds 2 backups") as refused:
        restores.find_backup(str(root))
    assert str(newest) in refused.value.advice
