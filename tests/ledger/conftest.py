from __future__ import annotations

import os
import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from vecferry.ledger import Holder, Lease, Ledger, Migration, State, Workspace, migration_resource, workspace_key
from vecferry.model import Receipt, Slice

OLD = "numpy:///data/docs"
NEW = "qdrant+edge:///data/new/docs"


class SetClock:
    """A clock that only moves when told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 3, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def place(file: Path) -> Iterator[str]:
    """Where the ledger is: a file, or a new database of the server that VECFERRY_TEST_POSTGRES_URL names."""
    server = os.environ.get("VECFERRY_TEST_POSTGRES_URL")
    if not server:
        yield str(file)
        return
    name = f"vecferry_test_{secrets.token_hex(6)}"
    engine = create_engine(make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        yield make_url(server).set(database=name).render_as_string()
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def ledger(place: str, clock: SetClock) -> Iterator[Ledger]:
    opened = Ledger.open(place, clock)
    yield opened
    opened.close()


@pytest.fixture
def migration(ledger: Ledger) -> Migration:
    return create(ledger)


@pytest.fixture
def lease(ledger: Ledger, migration: Migration) -> Lease:
    return ledger.acquire([migration_resource(migration.id)], Holder.here("test"), 60)


@pytest.fixture
def planned(ledger: Ledger, migration: Migration) -> Migration:
    ledger.store_plan(migration.id, {"rows": 10}, two_slices())
    return migration


def create(ledger: Ledger, name: str = "docs", *, limit: int | None = None) -> Migration:
    return ledger.create_migration(
        name=name,
        strategy="blue-green",
        source_url=OLD,
        target_url=NEW,
        route=name,
        archive="/data/archive",
        config={"batch_rows": 1000},
        limit=limit,
    )


@pytest.fixture
def ready(ledger: Ledger, migration: Migration, lease: Lease) -> Migration:
    """A migration that may be switched."""
    ledger.claim_route("docs", OLD, migration.id, lease.token)
    return ledger.transition(migration.id, [State.PLANNED], State.READY, event="verified")


def groups_of(*values: object) -> list[Workspace]:
    """A workspace for each value, with ten records, numbered from 1."""
    return [Workspace(number, workspace_key(value), 10) for number, value in enumerate(values, 1)]


def two_slices() -> list[Slice]:
    return [Slice(0, {"rows": [0, 5]}, 5), Slice(1, {"rows": [5, 10]}, 5)]


def receipt(number: int, digest: str = "5-0a") -> Receipt:
    return Receipt(number, f"parts/{number:05}.parquet", 5, 4096, "ab" * 32, digest, "a", "e")


def elsewhere(name: str) -> Holder:
    """A holder on a machine whose processes cannot be looked at."""
    return Holder(name, "another boot", "pid:[1]", 7, 7, "someone")


def by_hand(file: Path, statement: str) -> None:
    """Change the database behind the ledger's back."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute(statement)
    connection.close()


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start Python processes that run a text with arguments; they are ended after the test."""
    running: list[subprocess.Popen[str]] = []

    def run(program: str, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()
