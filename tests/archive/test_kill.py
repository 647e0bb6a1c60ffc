from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.archive.support import filled, path_of, rows
from vecferry.archive import Archive, verify
from vecferry.archive.storage import LocalStorage

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path
from tests.archive.test_kill import fill
fill(Path(sys.argv[1]))
"""


def fill(folder: Path) -> Archive:
    """Six files: the plan, two parts, two files of hashes, the manifest."""
    return filled(folder, [rows(0, 50), rows(50, 70)])


def run(folder: Path, failpoints: str) -> int:
    """Fill an archive in a process of its own that dies at a failpoint. Returns its exit code."""
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    environment = {**os.environ, "VECFERRY_FAILPOINTS": failpoints}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failpoint", "files"),
    [
        ("archive.file_aside=kill@1", 0),
        ("archive.file_visible=kill@1", 1),
        ("archive.file_aside=kill@3", 2),
        ("archive.file_visible=kill@4", 4),
        ("archive.file_aside=kill@6", 5),
        ("archive.file_visible=kill@6", 6),
    ],
)
def test_a_kill_leaves_whole_files_and_the_same_run_finishes(tmp_path: Path, failpoint: str, files: int) -> None:
    """After `kill -9` before or after a file appears, the same run gives the archive of an undisturbed one."""
    killed = tmp_path / "killed"
    assert run(killed, failpoint) == -signal.SIGKILL
    left = Archive(LocalStorage(killed / "docs"), "docs")
    assert len(left.storage.files()) == files
    assert left.has_manifest() == (files == 6)
    for path in left.storage.files():
        if path.startswith("parts/"):
            number = int(Path(path).stem)
            assert sum(batch.num_rows for batch in left.read_part(number)) == (50, 20)[number]
    one, other = fill(killed), fill(tmp_path / "undisturbed")
    assert verify(one, deep=True).sound
    assert [part.rows for part in one.manifest().parts] == [part.rows for part in other.manifest().parts]
    assert list(path_of(one, ".").rglob(".*")) == []
