"""Connections and transactions: one writer at a time, durable at the commit, the same for SQLite and PostgreSQL.

All writes are in one order, because each of them adds to one audit chain. SQLite gives that with
BEGIN IMMEDIATE; PostgreSQL by a lock on the chain's head.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event, func, select
from sqlalchemy.exc import DBAPIError

from vecferry.errors import MissingExtra
from vecferry.ledger import faults, place, upgrade
from vecferry.ledger.place import Place
from vecferry.ledger.schema import audit_head

__all__ = ["Clock", "Database", "Write"]

Clock = Callable[[], datetime]

BUSY_TIMEOUT_S = 60.0
"""How long a writer waits for others. A write takes milliseconds, so longer means that one hangs."""

_LOCK = select(audit_head).with_for_update()


@dataclass(frozen=True, slots=True)
class Write:
    """A write transaction under way, and its time by the ledger's clock."""

    connection: Connection
    now: datetime


class Database:
    """One ledger. Cheap to make: the connections are shared by all that open the same one in this process."""

    def __init__(self, where: Place, engine: Engine, clock: Clock | None) -> None:
        self._place, self._engine, self._clock = where, engine, clock
        # Else two statements of one answer, a route and its pause, could be of two instants.
        one_instant = engine.execution_options(isolation_level="REPEATABLE READ") if where.file is None else engine
        self._reading = one_instant

    @classmethod
    def open(
        cls, url: str | Path | None = None, clock: Clock | None = None, *, busy_timeout_s: float = BUSY_TIMEOUT_S
    ) -> Self:
        """Open a path or URL, else `VECFERRY_LEDGER`, else the default; create or upgrade it where needed.

        Without `clock` the time is the server's (PostgreSQL) or this machine's (SQLite), so that all
        processes agree on when a lease ends. Raises ConfigError for what is not a ledger, is of a newer version or
        may not be opened, RetryLater where it is locked or out of reach.
        """
        where = place.find(url)
        return cls(where, _shared(where, busy_timeout_s), clock)

    @property
    def url(self) -> str:
        """Text that opens the same ledger in another process. It never holds a password."""
        return self._place.text

    def close(self) -> None:
        """Close idle connections. Whoever else uses this ledger in the process is not disturbed."""
        self._engine.dispose()

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        """What is committed, at one instant."""
        with _understood(self._place), self._reading.begin() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Write]:
        """One transaction, after all others; committed at the end, undone by an error."""
        with _understood(self._place), _writing(self._engine) as connection:
            connection.execute(_LOCK)
            yield Write(connection, self._now(connection))

    def _now(self, connection: Connection) -> datetime:
        if self._clock is not None:
            return self._clock()
        if connection.dialect.name == "sqlite":
            return datetime.now(UTC)
        now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return now


@dataclass(frozen=True, slots=True)
class _Opened:
    engine: Engine
    inode: tuple[int, int] | None


_opened: dict[tuple[str, float], _Opened] = {}
_lock = threading.Lock()


def _shared(where: Place, busy_timeout_s: float) -> Engine:
    key = (where.text, busy_timeout_s)
    with _lock:
        known = _opened.get(key)
        # A file that was moved away or put in place anew must not be written through old connections.
        if known is None or known.inode != _inode(where):
            if known is not None:
                known.engine.dispose()
            engine = _engine(where, busy_timeout_s)
            _opened[key] = known = _Opened(engine, _inode(where))
        return known.engine


def _inode(where: Place) -> tuple[int, int] | None:
    if where.file is None or not where.file.exists():
        return None
    found = where.file.stat()
    return found.st_dev, found.st_ino


def _engine(where: Place, busy_timeout_s: float) -> Engine:
    engine = _sqlite(where, where.file, busy_timeout_s) if where.file is not None else _postgresql(where)
    with ExitStack() as on_error, _understood(where):
        on_error.callback(engine.dispose)
        with engine.begin() as connection:
            version = upgrade.found_version(connection, str(where), upgrade.STEPS)
        if version < upgrade.STEPS[-1].version:
            if where.file is not None:
                _use_wal(engine)
            with _writing(engine) as connection:
                upgrade.upgrade(connection, str(where), datetime.now(UTC), upgrade.STEPS)
        on_error.pop_all()
    return engine


def _sqlite(where: Place, file: Path, busy_timeout_s: float) -> Engine:
    place.make_folder(file)
    engine = create_engine(
        where.url, poolclass=QueuePool, pool_size=4, max_overflow=-1, connect_args={"timeout": busy_timeout_s}
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")


def _begin(connection: Connection) -> None:
    # The driver by itself would take the write lock only at the first change: too late to read before it.
    writes = connection.get_execution_options().get("vecferry_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _use_wal(engine: Engine) -> None:
    # The pool's own connection, since a journal mode cannot change within a transaction.
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _postgresql(where: Place) -> Engine:
    try:
        return create_engine(where.url, pool_pre_ping=True, max_overflow=-1)
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"the ledger {where} needs {error.name}", advice="pip install 'vecferry[postgres]'"
        ) from error


@contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    with engine.execution_options(vecferry_writes=True).begin() as connection:
        yield connection


@contextmanager
def _understood(where: Place) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        known = faults.meaning(error, str(where))
        if known is None:
            raise
        raise known from error
