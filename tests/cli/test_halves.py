"""Export and load, backup and restore: the halves of a migration on their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Vecferry, write_files


def _files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_an_export_ends_with_an_archive_that_was_read_back(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """`export URL FOLDER` needs no metric and no target; the archive's URL is the result."""
    done = vecferry("export", source, tmp_path / "archive", "--json")
    assert done.code == 0, done.err
    assert done.document["migration"]["state"] == "READY"
    assert done.document["migration"]["target_url"] == f"archive://{tmp_path}/archive/docs.npy"
    assert (tmp_path / "archive" / "docs.npy" / "manifest.json").exists()


@pytest.mark.parametrize("form", ["{0}", "archive://{0}", "archive://{0}/docs.npy", "{0}/docs.npy"])
def test_an_archive_is_loaded_by_folder_or_url(
    form: str, vecferry: Vecferry, source: str, edge: str, tmp_path: Path
) -> None:
    """The folder suffices where it holds one collection; every record is compared, no route is touched."""
    vecferry("export", source, tmp_path / "archive")
    done = vecferry("load", form.format(tmp_path / "archive"), edge, "--metric", "cosine", "--json")
    assert done.code == 0, done.err
    assert (done.document["verdict"]["state"], done.document["route"]) == ("same", None)
    assert vecferry("verify", "--source", source, "--target", edge, "--metric", "cosine").code == 0


def test_a_folder_with_two_archives_needs_a_name(vecferry: Vecferry, tmp_path: Path, edge: str) -> None:
    """Which one is meant is not guessed: exit 2 with an example."""
    for name in ("one", "two"):
        vecferry("export", write_files(tmp_path / name, name=name), tmp_path / "archive")
    done = vecferry("load", tmp_path / "archive", edge)
    assert done.code == 2
    assert f"archive://{tmp_path}/archive/one.npy" in done.err


def test_a_folder_without_an_archive_is_named(vecferry: Vecferry, tmp_path: Path, edge: str) -> None:
    """A wrong folder is exit 2, and the command that makes an archive."""
    done = vecferry("load", tmp_path, edge, "--json")
    assert (done.code, done.document["error"]["kind"]) == (2, "NotFound")
    assert "vecferry export" in done.document["error"]["advice"]


def test_files_are_backed_up_and_put_back_byte_for_byte(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """A backup of files is copies with checksums; restore writes the same bytes under the same names."""
    saved = vecferry("backup", source, tmp_path / "backup", "--json")
    assert saved.code == 0, saved.err
    assert {file["path"] for file in saved.document["files"]} == {"docs.npy", "docs.jsonl"}
    back = vecferry("restore", tmp_path / "backup", f"numpy://{tmp_path}/back/docs.npy", "--json")
    assert back.code == 0, back.err
    assert _files(tmp_path / "back") == _files(tmp_path / "old")


def test_restore_overwrites_nothing(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """A file that is there already is exit 2, and stays as it is."""
    vecferry("backup", source, tmp_path / "backup")
    before = _files(tmp_path / "old")
    assert vecferry("restore", tmp_path / "backup", source).code == 2
    assert _files(tmp_path / "old") == before


def test_restored_files_keep_their_names(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """A target with another file name is refused with the name to use."""
    vecferry("backup", source, tmp_path / "backup")
    for wrong in ("back/other.npy", "back"):
        done = vecferry("restore", tmp_path / "backup", f"numpy://{tmp_path}/{wrong}")
        assert done.code == 2
        assert "end the target with docs.npy" in done.err
    assert not (tmp_path / "back").exists()


def test_a_backup_that_changed_is_not_restored(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """A flipped byte in the copy is exit 1, naming the file; nothing is written."""
    vecferry("backup", source, tmp_path / "backup")
    copy = next(file for file in (tmp_path / "backup").rglob("docs.npy") if file.is_file())
    content = bytearray(copy.read_bytes())
    content[-1] ^= 1
    copy.write_bytes(content)
    done = vecferry("restore", tmp_path / "backup", f"numpy://{tmp_path}/back/docs.npy")
    assert (done.code, "docs.npy" in done.err) == (1, True)
    assert not (tmp_path / "back").exists()


@pytest.mark.slow
def test_a_database_is_backed_up_as_an_archive_and_restored_elsewhere(
    vecferry: Vecferry, source: str, edge: str, tmp_path: Path
) -> None:
    """For a database the verified export is the backup; restore loads it into a new collection and compares it."""
    vecferry("migrate", "--source", source, "--target", edge, "--metric", "cosine", "--approve", "auto")
    assert vecferry("backup", edge, tmp_path / "backup").code == 0
    back = vecferry("restore", tmp_path / "backup", f"{edge}_again", "--json")
    assert back.code == 0, back.err
    assert back.document["verdict"]["state"] == "same"
    assert vecferry("verify", "--source", edge, "--target", f"{edge}_again").code == 0


def test_a_tree_of_files_is_backed_up_and_put_back(vecferry: Vecferry, tmp_path: Path) -> None:
    """One vector a file, in folders: the copy has the same tree."""
    for number in range(3):
        folder = tmp_path / "tree" / f"shelf{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / f"book-{number}.npy", np.full(4, number, dtype=np.float32))
        (folder / f"book-{number}.json").write_text(f'{{"year": {2000 + number}}}')
    assert vecferry("backup", f"numpy://{tmp_path}/tree", tmp_path / "backup").code == 0
    back = vecferry("restore", tmp_path / "backup", f"numpy://{tmp_path}/back/tree")
    assert back.code == 0, back.err
    assert _files(tmp_path / "back" / "tree") == _files(tmp_path / "tree")
