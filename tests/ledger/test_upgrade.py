from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import inspect
from sqlalchemy.exc import OperationalError

from tests.ledger.conftest import SetClock, by_hand, create
from vecferry.errors import ConfigError
from vecferry.ledger import Direction, Kind, Ledger, State, upgrade
from vecferry.ledger.schema import METADATA
from vecferry.ledger.upgrade import Step

VERSION_1 = Path(__file__).parent / "version_1.sql"
VERSION_2 = Path(__file__).parent / "version_2.sql"
VERSION_4 = Path(__file__).parent / "version_4.sql"

NEXT = Step(
    upgrade.STEPS[-1].version + 1,
    (
        "ALTER TABLE vecferry_migrations ADD COLUMN nickname TEXT",
        "UPDATE vecferry_migrations SET nickname = name",
    ),
)


def left_behind(file: Path, content: Path) -> Path:
    """A ledger with this content."""
    connection = sqlite3.connect(file)
    connection.executescript(content.read_text())
    connection.close()
    return file


@pytest.fixture
def old(file: Path) -> Path:
    """A ledger that the first version of the schema left behind."""
    return left_behind(file, VERSION_1)


@pytest.fixture
def second(file: Path) -> Path:
    """A ledger that the second version left behind: a group, of which one member waits for its switch."""
    return left_behind(file, VERSION_2)


@pytest.fixture
def fourth(file: Path) -> Path:
    """A ledger that the fourth version left behind: a delta closed, one open, one reserved; a pass ended, one not; a
    yes that waits for its use.
    """
    return left_behind(file, VERSION_4)


def columns(file: Path, table: str) -> list[str]:
    connection = sqlite3.connect(file)
    found = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    connection.close()
    return found


def test_queries_and_tables_agree(file: Path) -> None:
    """A new ledger has exactly the tables, columns and keys that the queries are made of."""
    with Ledger.open(file)._read() as connection:
        seen = inspect(connection)
        assert set(seen.get_table_names()) == set(METADATA.tables)
        for name, table in METADATA.tables.items():
            found = {column["name"]: column["nullable"] for column in seen.get_columns(name)}
            keys = set(seen.get_pk_constraint(name)["constrained_columns"])
            assert keys == {column.name for column in table.primary_key}
            # SQLite calls a key that is text nullable unless it says otherwise.
            assert {key for key in found if key not in keys and found[key]} == {
                column.name for column in table.columns if column.nullable
            }
            assert list(found) == [column.name for column in table.columns]


def test_versions_follow_one_another() -> None:
    """Steps are numbered from 1 without a gap."""
    assert [step.version for step in upgrade.STEPS] == list(range(1, len(upgrade.STEPS) + 1))


def test_a_ledger_of_the_first_version_is_still_read(old: Path) -> None:
    """What the first version wrote is understood, and its chain holds and goes on."""
    ledger = Ledger.open(old)
    (migration,) = ledger.migrations()
    route = ledger.route("docs")
    assert route is not None
    assert (migration.id, migration.state, route.epoch) == ("docs-20261121-7f3a", State.SWITCHED, 2)
    assert [row.copied is not None for row in ledger.slices(migration.id)] == [True, False]
    ledger.note(migration.id, "read again", {})
    assert ledger.verify_audit() == len(ledger.audit())


def test_a_ledger_of_the_second_version_goes_on_to_its_switch(second: Path) -> None:
    """Groups are read, and a yes that was given to the older version is used by this one, with its chain unbroken."""
    ledger = Ledger.open(second)
    [group] = ledger.groups()
    docs, notes = ledger.members(group.id)
    assert (docs.state, notes.state) == (State.READY, State.PLANNED)
    approval = ledger.approval(docs.id)
    assert approval is not None
    assert (approval.kind, approval.expires_at) == (Kind.SWITCH, None)
    assert ledger.ask_approval(docs.id, {"lines": ["docs moves"]}) == approval.number
    switched = ledger.switch_route(
        docs.id, "docs", expected_epoch=1, to_url=docs.target_url, state_from=State.READY, state_to=State.SWITCHED,
        event="switched", token=None, approval=approval.number,
    )  # fmt: skip
    assert (switched.epoch, switched.reads_url, switched.workspace) == (2, None, None)
    assert [event.event for event in ledger.unsent_events()] == ["vecferry.migration.switched"]
    assert ledger.verify_audit() == len(ledger.audit())


def test_a_ledger_of_the_fourth_version_keeps_deltas_passes_and_its_yes(fourth: Path, clock: SetClock) -> None:
    """What had a column for a workspace is made anew without it: every row is there, and goes on where it was."""
    ledger, name = Ledger.open(fourth, clock), "docs-20261121-7f3a"
    clock.forward(10)
    closed, left = ledger.deltas(name)
    assert (closed.number, closed.closing, left.number, left.closing, left.note) == (1, 1, 2, None, {"pass": 2})
    assert (closed.receipt.path, closed.counts) == ("deltas/00001.parquet", {"upserts": 4, "tombstones": 1})
    assert closed.hashes is not None
    assert (closed.recorded_at, closed.closed_at) == (ledger.migration(name).changed_at,) * 2
    ledger.record_delta_loaded(name, 2)
    ledger.close_delta(name, 2, closed.hashes)
    assert ledger.reserve_delta(name, Direction.REVERSE) == 3
    ended, begun = ledger.passes(name, Direction.FORWARD)
    assert (ended.differences, ended.digest, ended.whole, begun.ended_at) == (2, "5-0a", True, None)
    approval = ledger.use_approval(name, 1)
    assert (approval.kind, approval.largest_delta_rows, approval.answered_by) == (Kind.SWITCH, 1000, "ann")
    assert ledger.verify_audit() == len(ledger.audit())


@pytest.mark.parametrize("version", ["old", "second"])
def test_what_is_new_works_in_an_older_ledger(version: str, request: pytest.FixtureRequest) -> None:
    """An upgraded ledger takes a pause with a token of its own, and has nothing to send of what happened before."""
    ledger = Ledger.open(request.getfixturevalue(version))
    assert ledger.unsent_events() == []
    pause = ledger.pause_writes("docs", "docs-20261121-7f3a", 60, None, state_to=None)
    assert pause.token == 1
    serving = ledger.ask_route("docs")
    assert serving is not None
    assert serving.writes == "paused"


def test_an_older_ledger_is_upgraded_with_its_rows(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vecferry that knows one version more adds what is missing and keeps the rest."""
    monkeypatch.setattr(upgrade, "STEPS", (*upgrade.STEPS, NEXT))
    ledger = Ledger.open(old)
    assert [one.id for one in ledger.migrations()] == ["docs-20261121-7f3a"]
    assert columns(old, "vecferry_migrations")[-1] == "nickname"
    connection = sqlite3.connect(old)
    assert connection.execute("SELECT nickname FROM vecferry_migrations").fetchall() == [("docs",)]
    versions = [version for (version,) in connection.execute("SELECT version FROM vecferry_schema_version")]
    connection.close()
    assert versions == [step.version for step in upgrade.STEPS]


def test_an_upgrade_that_fails_leaves_the_older_version(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All statements of an upgrade count or none, so that the older vecferry goes on."""
    broken = Step(NEXT.version, (*NEXT.statements, "UPDATE no_such_table SET a = 1"))
    monkeypatch.setattr(upgrade, "STEPS", (*upgrade.STEPS, broken))
    with pytest.raises(OperationalError):
        Ledger.open(old)
    monkeypatch.undo()
    assert "nickname" not in columns(old, "vecferry_migrations")
    assert len(Ledger.open(old).migrations()) == 1


def test_a_newer_ledger_is_refused_untouched(file: Path) -> None:
    """A version from the future is named with advice, and not a byte is written."""
    ledger = Ledger.open(file)
    create(ledger)
    ledger.close()
    by_hand(file, "INSERT INTO vecferry_schema_version VALUES (99, '2027-01-01T00:00:00.000000+00:00')")
    before = file.read_bytes()
    with pytest.raises(ConfigError, match="version 99") as caught:
        Ledger.open(file, busy_timeout_s=1)
    assert "upgrade vecferry" in caught.value.advice
    assert file.read_bytes() == before
