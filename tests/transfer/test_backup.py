"""Copies of files: proven by reading them back, and put back without overwriting anything."""

from __future__ import annotations

import hashlib
import resource
import shutil
from pathlib import Path

import pytest

from vecferry.contract import SourceFile
from vecferry.errors import ArchiveDamaged, NotFound, Stopped
from vecferry.transfer.backup import copy_files, damages, list_files, put_back

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


def test_copies_give_every_file_back(files: list[SourceFile], tmp_path: Path) -> None:
    """Files of any name come back with the same bytes, those that are called like the backup's own included."""
    before = contents(tmp_path / "store")
    copied = copy_files(files, tmp_path / "copies")
    assert {item.path: item.sha256 for item in copied} == {
        name: hashlib.sha256(content).hexdigest() for name, content in before.items()
    }
    assert sorted(copied, key=lambda item: item.path) == list_files(tmp_path / "copies")
    assert damages(copied, tmp_path / "copies") == []
    put_back(copied, tmp_path / "copies", tmp_path / "back")
    assert contents(tmp_path / "back") == contents(tmp_path / "store") == before


def test_copying_again_keeps_what_is_whole_and_mends_what_is_not(files: list[SourceFile], tmp_path: Path) -> None:
    """A copy that was cut by a crash is made anew; a whole one is not touched."""
    folder = tmp_path / "copies"
    copied = copy_files(files, folder)
    whole, cut = folder / "a.npy", folder / "sub" / "b.npy"
    cut.write_bytes(cut.read_bytes()[:10])
    inode = whole.stat().st_ino
    assert copy_files(files, folder) == copied
    assert whole.stat().st_ino == inode
    assert damages(copied, folder) == []


def test_every_damage_is_named(files: list[SourceFile], tmp_path: Path) -> None:
    """A flipped bit, a missing and an unlisted file are all told, and none of such copies is put back."""
    folder = tmp_path / "copies"
    copied = copy_files(files, folder)
    (folder / "empty").unlink()
    (folder / "stranger").write_bytes(b"mine")
    content = bytearray((folder / "sub" / "b.npy").read_bytes())
    content[500] ^= 1
    (folder / "sub" / "b.npy").write_bytes(content)
    assert [line.removeprefix(f"{folder}/") for line in damages(copied, folder)] == [
        "sub/b.npy has changed since the backup was made",
        "empty is missing from the backup",
        "stranger is no part of the backup",
    ]
    with pytest.raises(ArchiveDamaged, match=r"sub/b\.npy has changed"):
        put_back(copied, folder, tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("name", NAMES)
def test_a_restore_overwrites_nothing(files: list[SourceFile], tmp_path: Path, name: str) -> None:
    """Where one of the files, or a folder of them, is there already, none is written."""
    copied = copy_files(files, tmp_path / "copies")
    there = tmp_path / "back" / name
    there.parent.mkdir(parents=True)
    there.write_bytes(b"mine")
    with pytest.raises(NotFound, match="overwrites nothing"):
        put_back(copied, tmp_path / "copies", tmp_path / "back")
    assert contents(tmp_path / "back") == {name: b"mine"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "copies", "store"]


def test_a_restore_leaves_other_files_alone(tmp_path: Path) -> None:
    """A file of the folder that is no business of the backup stays."""
    (tmp_path / "a.npy").write_bytes(b"vectors")
    copied = copy_files([SourceFile(tmp_path / "a.npy", "a.npy")], tmp_path / "copies")
    goal = tmp_path / "back"
    goal.mkdir()
    (goal / "backup.json").write_bytes(b"mine")
    put_back(copied, tmp_path / "copies", goal)
    assert contents(goal) == {"a.npy": b"vectors", "backup.json": b"mine"}


def test_a_file_that_cannot_be_read_is_named(files: list[SourceFile], tmp_path: Path) -> None:
    """A source file that went away stops the copy."""
    files[3].file.unlink()
    with pytest.raises(NotFound, match="cannot be read"):
        copy_files(files, tmp_path / "copies")


def test_a_copy_that_cannot_be_written_stops_the_run(files: list[SourceFile], tmp_path: Path) -> None:
    """Where a file stands in the way of a folder, the error says which copy failed, and nothing half-made stays."""
    (tmp_path / "copies").write_bytes(b"in the way")
    with pytest.raises(Stopped, match=r"the copy of .* failed"):
        copy_files(files, tmp_path / "copies")
    assert (tmp_path / "copies").read_bytes() == b"in the way"


def test_a_disk_that_is_too_small_is_told_before_a_byte_is_copied(files: list[SourceFile], tmp_path: Path) -> None:
    """A sparse file larger than the disk is refused with both sizes."""
    huge = tmp_path / "store" / "huge"
    with huge.open("wb") as stream:
        stream.truncate(shutil.disk_usage(tmp_path).total * 2)
    with pytest.raises(Stopped, match=r"GB free, .* GB are to be copied"):
        copy_files([*files, SourceFile(huge, "huge")], tmp_path / "copies")
    assert not (tmp_path / "copies").exists()


def test_a_disk_that_fills_up_under_the_copy_is_told(files: list[SourceFile], tmp_path: Path) -> None:
    """Files may not grow beyond 4 kB, as on a full disk: the run stops, and no part of a copy stays."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
    try:
        with pytest.raises(Stopped, match=r"the copy of .* failed: File too large"):
            copy_files(files, tmp_path / "copies")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert contents(tmp_path / "copies") == {}
