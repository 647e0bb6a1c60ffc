"""Looking after backups from the command line: list, verify, prune, retention with the backup itself."""

from __future__ import annotations

from pathlib import Path

from tests.backups.support import aged, contents, flip
from tests.cli.conftest import Vecferry


def backup(vecferry: Vecferry, source: str, root: Path, *words: object) -> Path:
    """A new backup's folder."""
    done = vecferry("backup", source, root, *words, "--json")
    assert done.code == 0, done.err
    return Path(done.document["folder"])


def test_a_backup_is_listed_with_its_state(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """`backups list` shows method, records and when it was verified; a folder without any is exit 2."""
    folder = backup(vecferry, source, tmp_path / "root")
    done = vecferry("backups", "list", tmp_path / "root")
    assert done.code == 0, done.err
    assert f"{folder}" in done.out
    assert "files" in done.out
    (found,) = vecferry("backups", "list", tmp_path / "root", "--json").document["backups"]
    assert (found["state"], found["listing"]["rows"], found["listing"]["source"]) == ("verified", 60, source)
    nothing = vecferry("backups", "list", tmp_path / "nowhere", "--json")
    assert (nothing.code, nothing.document["error"]["kind"]) == (2, "NotFound")


def test_verify_names_every_damaged_file(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """Two flipped files are exit 1 with both names on stdout and in JSON; afterwards the list says damaged."""
    folder = backup(vecferry, source, tmp_path / "root")
    for name in ("docs.npy", "docs.jsonl"):
        flip(folder / "files" / name)
    done = vecferry("backups", "verify", tmp_path / "root")
    assert done.code == 1
    assert all(f"{folder}/files/{name} has changed" in done.out for name in ("docs.npy", "docs.jsonl"))
    assert "and 1 more" in done.err
    document = vecferry("backups", "verify", folder, "--json").document
    assert len(document["backups"][0]["damages"]) == 2
    assert document["error"]["exit_code"] == 1
    assert "damaged: " in vecferry("backups", "list", tmp_path / "root").out


def test_verify_of_the_newest_reads_no_other(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """A damage of an old backup is not the newest one's."""
    old = aged(backup(vecferry, source, tmp_path / "root"), 2)
    new = backup(vecferry, source, tmp_path / "root")
    flip(old / "files" / "docs.npy")
    done = vecferry("backups", "verify", tmp_path / "root", "--newest", "--json")
    assert done.code == 0, done.err
    assert [item["folder"] for item in done.document["backups"]] == [str(new)]
    assert vecferry("backups", "verify", tmp_path / "root").code == 1


def test_backup_with_retention_removes_the_oldest(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """`--keep-daily` after the third day's backup keeps two days; the document says what went."""
    folders = [aged(backup(vecferry, source, tmp_path / "root"), days) for days in (2, 1)]
    done = vecferry("backup", source, tmp_path / "root", "--keep-daily", 2, "--json")
    assert done.code == 0, done.err
    assert done.document["retention"]["removed"] == [str(folders[0])]
    kept = [item["folder"] for item in done.document["retention"]["kept"]]
    assert kept == [done.document["folder"], str(folders[1])]


def test_prune_says_first_what_it_would_do(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """`--dry-run` changes no byte, and names what the run without it removes."""
    old = aged(backup(vecferry, source, tmp_path / "root"), 3)
    backup(vecferry, source, tmp_path / "root")
    before = contents(tmp_path / "root")
    told = vecferry("backups", "prune", tmp_path / "root", "--keep-daily", 1, "--dry-run")
    assert (told.code, contents(tmp_path / "root") == before) == (0, True)
    assert "would be removed" in told.out
    done = vecferry("backups", "prune", tmp_path / "root", "--keep-daily", 1, "--json")
    assert done.document["removed"] == [str(old)]
    assert not old.exists()


def test_prune_without_a_policy_is_refused(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """Nothing is removed by a command that does not say what to keep: exit 2 with the options."""
    folder = backup(vecferry, source, tmp_path / "root")
    done = vecferry("backups", "prune", tmp_path / "root")
    assert (done.code, folder.exists()) == (2, True)
    assert "--keep-daily" in done.err


def test_prune_stops_at_a_damaged_newest(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """Exit 1, and the old backups stay."""
    old = aged(backup(vecferry, source, tmp_path / "root"), 3)
    flip(backup(vecferry, source, tmp_path / "root") / "files" / "docs.npy")
    done = vecferry("backups", "prune", tmp_path / "root", "--keep-daily", 1, "--json")
    assert (done.code, done.document["removed"], old.exists()) == (1, [], True)


def test_an_older_backup_is_restored_by_its_folder(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """The root holds two, which is exit 2 with an example; the older one's folder brings back what was then."""
    before = contents(tmp_path / "old")
    older = aged(backup(vecferry, source, tmp_path / "root"), 1)
    (tmp_path / "old" / "docs.jsonl").write_text("".join(f'{{"id":"new-{row}"}}\n' for row in range(60)))
    newer = backup(vecferry, source, tmp_path / "root")
    asked = vecferry("restore", tmp_path / "root", f"numpy://{tmp_path}/back/docs.npy")
    assert asked.code == 2
    assert str(newer) in asked.err
    done = vecferry("restore", older, f"numpy://{tmp_path}/back/docs.npy", "--json")
    assert done.code == 0, done.err
    assert done.document["rows"] == 60
    assert contents(tmp_path / "back") == before


def test_an_unknown_method_is_named(vecferry: Vecferry, source: str, tmp_path: Path) -> None:
    """Exit 2 with those that there are; nothing is made."""
    done = vecferry("backup", source, tmp_path / "root", "--method", "tape")
    assert done.code == 2
    assert "files, archive, snapshot" in done.err
    assert not (tmp_path / "root").exists()


def test_an_export_that_is_refused_leaves_nothing(vecferry: Vecferry, tmp_path: Path) -> None:
    """An id that comes twice is exit 1 before anything was exported, so no unfinished backup stays either."""
    lines = tmp_path / "docs.jsonl"
    lines.write_text('{"id":"a","vector":[1,2]}\n' * 2)
    assert vecferry("backup", f"jsonl://{lines}", tmp_path / "root", "--method", "archive").code == 1
    assert contents(tmp_path / "root") == {}


def test_a_backup_that_fails_leaves_nothing(vecferry: Vecferry, tmp_path: Path) -> None:
    """A source that is not there is exit 2, and no folder appears."""
    assert vecferry("backup", f"numpy://{tmp_path}/none/docs.npy", tmp_path / "root").code == 2
    assert not (tmp_path / "root").exists()
