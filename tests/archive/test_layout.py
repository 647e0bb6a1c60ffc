from __future__ import annotations

from pathlib import Path

import pytest

from tests.archive.support import TYPES, rows
from vecferry.archive import Archive, layout
from vecferry.errors import NotFound

HOSTILE = [
    "..", ".", "", "a/b", "/etc/passwd", "../../x", ".hidden", "%", "%2E%2E", "%~", "backup", "ünïcode 🚢", "\0",
    "\ud800", "a b\n", "-rf", "~", "CON", "parts", "manifest.json", "x" * 512, "é" * 300, "." * 300,
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_a_hostile_name_becomes_one_harmless_folder_and_comes_back(tmp_path: Path, name: str) -> None:
    """A collection of any name has a folder of its own directly in the archive, and is listed by its name."""
    archive = Archive.create(tmp_path, name, {})
    archive.write_part(0, TYPES, [rows(0, 3)])
    assert [path.parent for path in tmp_path.rglob("plan.json")] == [tmp_path / layout.folder_name(name)]
    assert Archive.collections(tmp_path) == [name]
    assert Archive.open(tmp_path, name).plan() == {}


def test_hostile_names_get_different_folders(tmp_path: Path) -> None:
    """No two names share a folder, and none takes the one that is kept for backups."""
    folders = {layout.folder_name(name) for name in HOSTILE}
    assert len(folders) == len(HOSTILE)
    assert layout.BACKUP not in folders
    assert all(len(folder.encode()) <= 200 for folder in folders)


def test_long_names_with_one_beginning_stay_apart() -> None:
    """A name that is cut keeps what tells it from others."""
    assert layout.folder_name("x" * 512) != layout.folder_name("x" * 511)


def test_part_numbers_are_read_from_paths_that_we_write_and_no_others() -> None:
    """A path counts as a part only in the one form in which it is written."""
    assert [layout.part_number(layout.part_path(number)) for number in (0, 99_999, 100_000)] == [0, 99_999, 100_000]
    for path in ("parts/1.parquet", "parts/000001.parquet", "hashes/00001.parquet", "parts/00001.parquet/x"):
        assert layout.part_number(path) is None


def test_opening_an_unknown_collection_names_those_that_are_there(tmp_path: Path) -> None:
    """A wrong name is an error whose advice lists the right ones; nothing is created."""
    Archive.create(tmp_path, "docs", {})
    (tmp_path / "backup" / "docs").mkdir(parents=True)
    with pytest.raises(NotFound, match="'dogs'") as caught:
        Archive.open(tmp_path, "dogs")
    assert "'docs'" in caught.value.advice
    with pytest.raises(NotFound):
        Archive.open(tmp_path / "nowhere", "docs")
    assert not (tmp_path / "nowhere").exists()
    assert Archive.collections(tmp_path) == ["docs"]
