from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from tests.archive.support import TYPES, path_of, rows
from vecferry.archive import Archive
from vecferry.archive.storage import LocalStorage
from vecferry.errors import ArchiveDamaged, Stopped


class FullDisk(LocalStorage):
    """A folder whose device has no room left."""

    def _open_aside(self, aside: Path) -> IO[bytes]:
        aside.touch()
        return Path("/dev/full").open("wb")


def test_a_file_is_not_visible_before_it_is_whole(tmp_path: Path) -> None:
    """While a file is written, neither it nor what stands aside is among the files."""
    storage = LocalStorage(tmp_path)
    with storage.writing("parts/00000.parquet") as sink:
        sink.write(b"half")
        assert storage.files() == {}
        assert storage.size("parts/00000.parquet") is None
    assert storage.files() == {"parts/00000.parquet": 4}


def test_an_error_while_writing_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """A write that fails half-way changes nothing."""
    storage = LocalStorage(tmp_path)
    storage.put("x", b"old")
    with contextlib.suppress(KeyError), storage.writing("x") as sink:
        sink.write(b"new")
        raise KeyError
    assert storage.read("x") == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_full_disk_stops_the_run_with_advice_and_leaves_no_part(tmp_path: Path) -> None:
    """ENOSPC becomes Stopped, which `resume` goes on from; no half part is left."""
    Archive.create(tmp_path, "docs", {})
    archive = Archive(FullDisk(tmp_path / "docs"), "docs")
    with pytest.raises(Stopped, match=r"no room to write .*00000\.parquet") as caught:
        archive.write_part(0, TYPES, [rows(0, 100)])
    assert "resume" in caught.value.advice
    assert archive.storage.files().keys() == {"plan.json"}
    assert list(path_of(archive, "parts").iterdir()) == []


@pytest.mark.parametrize("limit_bytes", [0, 1_000, 30_000])
def test_a_disk_that_fills_up_half_way_stops_the_run(tmp_path: Path, limit_bytes: int) -> None:
    """Wherever in a part the system refuses to write on, the old part stays."""
    archive = Archive.create(tmp_path, "docs", {})
    before = archive.write_part(0, TYPES, [rows(0, 3)])
    with file_limit(limit_bytes), pytest.raises(Stopped, match="no room"):
        archive.write_part(0, TYPES, [rows(0, 20_000)])
    archive.confirm(before)
    assert [path.name for path in path_of(archive, "parts").iterdir()] == ["00000.parquet"]


def test_leftovers_of_a_killed_run_are_ignored_and_then_removed(tmp_path: Path) -> None:
    """What a killed run left aside is no file of the archive, and goes when that file is written again."""
    storage = LocalStorage(tmp_path)
    storage.put("x", b"whole")
    (tmp_path / ".x.0123.tmp").write_bytes(b"half")
    (tmp_path / ".y.0123.tmp").write_bytes(b"another file's")
    assert storage.files() == {"x": 5}
    storage.put("x", b"again")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".y.0123.tmp", "x"]


def test_of_two_runs_that_write_one_file_the_first_loses(tmp_path: Path) -> None:
    """A run that was overtaken is told so; the file is the other's, whole."""
    storage = LocalStorage(tmp_path)
    overtaken = storage.writing("x")
    overtaken.__enter__().write(b"overtaken")
    storage.put("x", b"newer")
    with pytest.raises(Stopped, match="another run"):
        overtaken.__exit__(None, None, None)
    assert storage.read("x") == b"newer"


def test_a_missing_file_is_damage(tmp_path: Path) -> None:
    """Reading what is not there names the file."""
    storage = LocalStorage(tmp_path)
    with pytest.raises(ArchiveDamaged, match="nothing"):
        storage.read("nothing")
    with pytest.raises(ArchiveDamaged, match="nothing"):
        storage.open("nothing")


@contextlib.contextmanager
def file_limit(limit_bytes: int) -> Iterator[None]:
    """Let the system refuse to make any file longer than this."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
