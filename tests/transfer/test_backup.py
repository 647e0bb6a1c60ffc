"""Copies of files: proven by reading them back, and put back without overwriting anything."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from vecferry.contract import SourceFile
from vecferry.errors import ArchiveDamaged, NotFound, Stopped
from vecferry.transfer.backup import copy_files, read_listing, restore_files, verify_files

# Names that a backup, or a copy in the making, might use itself.
NAMES = ("a.npy", "a.npy.part", "backup.json", "backup.part", "sub/backup.json", "sub/b.npy", "files/c.npy", "empty")


@pytest.fixture
def files(tmp_path: Path) -> list[SourceFile]:
    """A store of files, one of them empty."""
    for name in NAMES:
        path = tmp_path / "store" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if name == "empty" else f"content of {name}".encode() * 1000)
    return [SourceFile(tmp_path / "store" / name, name) for name in NAMES]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copy_of(folder: Path, name: str) -> Path:
    """The copy of a file in a backup."""
    return next(path for path in folder.rglob("*") if path.is_file() and str(path).endswith(f"files/{name}"))


def test_a_backup_gives_every_file_back(files: list[SourceFile], tmp_path: Path) -> None:
    """Files of any name come back with the same bytes, those that are called like the backup's own included."""
    before = contents(tmp_path / "store")
    copied = copy_files(files, tmp_path / "backup")
    assert {item.path: item.sha256 for item in copied} == {
        name: hashlib.sha256(content).hexdigest() for name, content in before.items()
    }
    assert read_listing(tmp_path / "backup") == verify_files(tmp_path / "backup") == copied
    assert restore_files(tmp_path / "backup", tmp_path / "back") == copied
    assert contents(tmp_path / "back") == contents(tmp_path / "store") == before


def test_copying_again_keeps_what_is_whole_and_mends_what_is_not(files: list[SourceFile], tmp_path: Path) -> None:
    """A copy that was cut by a crash is made anew; a whole one is not touched."""
    folder = tmp_path / "backup"
    copied = copy_files(files, folder)
    whole, cut = copy_of(folder, "a.npy"), copy_of(folder, "sub/b.npy")
    cut.write_bytes(cut.read_bytes()[:10])
    inode = whole.stat().st_ino
    assert copy_files(files, folder) == copied
    assert whole.stat().st_ino == inode
    assert verify_files(folder) == copied


def test_a_crash_before_the_listing_leaves_no_backup(files: list[SourceFile], tmp_path: Path) -> None:
    """Without its listing a folder of copies is not taken for a backup."""
    copy_files(files, tmp_path / "backup")
    (tmp_path / "backup" / "backup.json").unlink()
    with pytest.raises(NotFound, match="holds no backup"):
        verify_files(tmp_path / "backup")


def test_a_changed_copy_is_seen(files: list[SourceFile], tmp_path: Path) -> None:
    """One flipped bit is found, named, and never restored."""
    copy_files(files, tmp_path / "backup")
    copy = copy_of(tmp_path / "backup", "sub/b.npy")
    content = bytearray(copy.read_bytes())
    content[500] ^= 1
    copy.write_bytes(content)
    for use in (verify_files, lambda folder: restore_files(folder, tmp_path / "back")):
        with pytest.raises(ArchiveDamaged, match=r"sub/b\.npy has changed"):
            use(tmp_path / "backup")
    assert not (tmp_path / "back").exists()


def test_a_missing_copy_is_seen(files: list[SourceFile], tmp_path: Path) -> None:
    """A file that is gone is named."""
    copy_files(files, tmp_path / "backup")
    copy_of(tmp_path / "backup", "empty").unlink()
    with pytest.raises(ArchiveDamaged, match="empty is missing"):
        verify_files(tmp_path / "backup")


@pytest.mark.parametrize("name", NAMES)
def test_a_restore_overwrites_nothing(files: list[SourceFile], tmp_path: Path, name: str) -> None:
    """Where one of the files is there already, none is written."""
    copy_files(files, tmp_path / "backup")
    there = tmp_path / "back" / name
    there.parent.mkdir(parents=True)
    there.write_bytes(b"mine")
    with pytest.raises(NotFound, match="overwrites nothing"):
        restore_files(tmp_path / "backup", tmp_path / "back")
    assert contents(tmp_path / "back") == {name: b"mine"}


def test_a_restore_leaves_other_files_alone(tmp_path: Path) -> None:
    """A file of the folder that is no business of the backup stays, even one called as the backup's listing."""
    (tmp_path / "a.npy").write_bytes(b"vectors")
    copy_files([SourceFile(tmp_path / "a.npy", "a.npy")], tmp_path / "backup")
    goal = tmp_path / "back"
    goal.mkdir()
    (goal / "backup.json").write_bytes(b"mine")
    restore_files(tmp_path / "backup", goal)
    assert contents(goal) == {"a.npy": b"vectors", "backup.json": b"mine"}


def test_a_file_that_cannot_be_read_is_named(files: list[SourceFile], tmp_path: Path) -> None:
    """A source file that went away stops the backup before its listing."""
    files[3].file.unlink()
    with pytest.raises(NotFound, match="cannot be read"):
        copy_files(files, tmp_path / "backup")
    assert not (tmp_path / "backup" / "backup.json").exists()


def test_a_copy_that_cannot_be_written_stops_the_run(files: list[SourceFile], tmp_path: Path) -> None:
    """Where a file stands in the way of a folder, the error says which copy failed, and nothing half-made stays."""
    (tmp_path / "backup").mkdir()
    (tmp_path / "backup" / "files").write_bytes(b"in the way")
    with pytest.raises(Stopped, match=r"the copy of .* failed"):
        copy_files(files, tmp_path / "backup")
    assert contents(tmp_path / "backup") == {"files": b"in the way"}


def test_nothing_to_copy_makes_nothing(tmp_path: Path) -> None:
    """A database has no files, and gets no backup folder."""
    assert copy_files([], tmp_path / "backup") == []
    assert not (tmp_path / "backup").exists()


def test_the_listing_can_be_checked_without_vecferry(files: list[SourceFile], tmp_path: Path) -> None:
    """It is JSON with each path, size and SHA-256."""
    copy_files(files, tmp_path / "backup")
    listing = json.loads((tmp_path / "backup" / "backup.json").read_text())
    for item in listing["files"]:
        content = copy_of(tmp_path / "backup", item["path"]).read_bytes()
        assert (item["size_bytes"], item["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
