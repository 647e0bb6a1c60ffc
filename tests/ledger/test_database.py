from __future__ import annotations

import os
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.ledger.conftest import OLD, Start, create, receipt
from vecferry.errors import BadOption, ConfigError, MissingExtra, RetryLater
from vecferry.ledger import Ledger
from vecferry.model import Slice


def test_a_place_is_chosen_in_a_fixed_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An argument comes before VECFERRY_LEDGER, that before VECFERRY_HOME, that before the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("VECFERRY_HOME", raising=False)
    monkeypatch.delenv("VECFERRY_LEDGER", raising=False)
    assert Ledger.open().url == str(tmp_path / "home/.vecferry/ledger.db")
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "own"))
    assert Ledger.open().url == str(tmp_path / "own/ledger.db")
    monkeypatch.setenv("VECFERRY_LEDGER", f"sqlite:///{tmp_path}/named.db")
    assert Ledger.open().url == str(tmp_path / "named.db")
    assert Ledger.open(tmp_path / "given.db").url == str(tmp_path / "given.db")


def test_a_new_folder_is_its_owners_alone(tmp_path: Path) -> None:
    """The folder made for a ledger cannot be looked into by others."""
    Ledger.open(tmp_path / "new" / "ledger.db")
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_the_url_opens_the_same_ledger_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path, and one with signs that URLs use, is given on as text that works in any folder."""
    monkeypatch.chdir(tmp_path)
    ledger = Ledger.open("odd?name%20#x.db")
    migration = create(ledger)
    monkeypatch.chdir("/")
    assert Ledger.open(ledger.url).migration(migration.id) == migration


def test_sqlite_is_set_to_lose_nothing(file: Path) -> None:
    """The journal is a write-ahead log, every commit is synced, and rows cannot point nowhere."""
    with Ledger.open(file)._read() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("mysql://host/db", "cannot be kept in mysql"),
        ("postgresql://ann:hunter2@host/db", "a password stands"),
        ("postgresql://host/db?password=hunter2", "a password stands"),
    ],
)
def test_a_url_that_cannot_hold_a_ledger_is_refused(url: str, words: str) -> None:
    """Each wrong URL has its reason and advice, and a password is not repeated."""
    with pytest.raises(BadOption, match=words) as caught:
        Ledger.open(url)
    assert caught.value.advice
    assert "hunter2" not in str(caught.value)


def test_postgresql_without_its_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing driver is answered with what to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra) as caught:
        Ledger.open("postgresql://127.0.0.1:1/vecferry")
    assert "vecferry[postgres]" in caught.value.advice


def test_a_locked_ledger_is_tried_again_later(file: Path) -> None:
    """While another process holds the write lock, a write ends in RetryLater, and reading goes on."""
    ledger = Ledger.open(file, busy_timeout_s=0.05)
    migration = create(ledger)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RetryLater, match="is locked") as caught:
        ledger.note(migration.id, "noted", {})
    assert caught.value.advice
    assert ledger.migration(migration.id) == migration
    other.rollback()
    other.close()
    ledger.note(migration.id, "noted", {})


def test_something_else_is_not_taken_for_a_ledger(tmp_path: Path) -> None:
    """A text file, another program's database and a folder are refused and left as they are."""
    text, database = tmp_path / "text", tmp_path / "chroma.sqlite3"
    text.write_text("not a database, but long enough to be looked at as one" * 20)
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE migrations (dir TEXT)")
    connection.close()
    for path, words in ((text, "is not a SQLite database"), (database, "of something else")):
        before = path.read_bytes()
        with pytest.raises(ConfigError, match=words):
            Ledger.open(path)
        assert path.read_bytes() == before
    with pytest.raises(ConfigError, match="cannot be opened"):
        Ledger.open(tmp_path)
    with pytest.raises(ConfigError, match="folder"):
        Ledger.open(text / "ledger.db")
    assert {path.name for path in tmp_path.iterdir()} == {"text", "chroma.sqlite3"}


def test_a_ledger_put_in_place_of_another_is_the_one_that_counts(file: Path, tmp_path: Path) -> None:
    """After a backup was put back, the next opening sees it, not the file that was there before."""
    create(Ledger.open(file), "before")
    backup = Ledger.open(tmp_path / "backup.db")
    create(backup, "restored")
    backup.close()
    for left in file.parent.glob("ledger.db-*"):
        left.unlink()
    (tmp_path / "backup.db").replace(file)
    assert [one.name for one in Ledger.open(file).migrations()] == ["restored"]


def test_threads_share_a_ledger(place: str) -> None:
    """Eight threads that record slices at once lose nothing, and the trail is one chain."""
    ledger = Ledger.open(place)
    migration = create(ledger)
    ledger.store_plan(migration.id, {}, [Slice(number, {}) for number in range(40)])

    def record(number: int) -> None:
        ledger.record_copied(migration.id, number, receipt(number))
        Ledger.open(place).record_loaded(migration.id, number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(record, range(40)))
    assert all(row.copied == receipt(row.slice.number) and row.loaded_at for row in ledger.slices(migration.id))
    assert ledger.verify_audit() == 2 + 80


NOTE = """
import sys
from vecferry.ledger import Ledger
sys.stdin.readline()
ledger = Ledger.open(sys.argv[1])
migration = ledger.create_migration(
    name=sys.argv[2], strategy="blue-green", source_url="memory:a", target_url="memory:b", route="r", archive="/a",
    config={})
for number in range(20):
    ledger.note(migration.id, "noted", {"number": number})
"""


@pytest.mark.slow
def test_processes_that_start_at_once_share_a_new_ledger(place: str, start: Start) -> None:
    """Three processes create one ledger together and write to it without an error or a gap."""
    writers = [start(NOTE, place, f"p{number}") for number in range(3)]
    for process in writers:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.wait(60) for process in writers] == [0, 0, 0]
    ledger = Ledger.open(place)
    assert ledger.verify_audit() == 3 * 21
    for migration in ledger.migrations():
        noted = [entry.detail["number"] for entry in ledger.audit(migration.id) if entry.event == "noted"]
        assert noted == list(range(20))


def test_a_forked_child_uses_connections_of_its_own(file: Path) -> None:
    """A ledger that was open before a fork works on both sides of it."""
    ledger = Ledger.open(file)
    migration = create(ledger)
    ledger.claim_route("docs", OLD, migration.id)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            ledger.note(migration.id, "noted by the child", {})
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    ledger.note(migration.id, "noted by the parent", {})
    assert [entry.event for entry in ledger.audit()][-2:] == ["noted by the child", "noted by the parent"]
    assert ledger.verify_audit() == 4
