"""What a database error means to whoever runs vecferry."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError, OperationalError

from vecferry.errors import ConfigError, RetryLater, VecferryError

__all__ = ["meaning"]

_FILE = "check its path and rights, or set VECFERRY_LEDGER to another one"
_LOCKED = "another process holds it for long: look which one has the file open, then run the same command again"
_DAMAGED = "put a backup in its place, or move it aside; archives and collections are not affected"

# By SQLite's primary result code (https://www.sqlite.org/rescode.html).
_SQLITE: dict[int, tuple[type[VecferryError], str, str]] = {
    sqlite3.SQLITE_BUSY: (RetryLater, "is locked", _LOCKED),
    sqlite3.SQLITE_LOCKED: (RetryLater, "is locked", _LOCKED),
    sqlite3.SQLITE_FULL: (
        RetryLater,
        "cannot grow: the disk is full",
        "free some space, then run the same command again",
    ),
    sqlite3.SQLITE_IOERR: (RetryLater, "cannot be read or written", "check the disk, then run the same command again"),
    sqlite3.SQLITE_NOTADB: (ConfigError, "is not a SQLite database", _FILE),
    sqlite3.SQLITE_CANTOPEN: (ConfigError, "cannot be opened", _FILE),
    sqlite3.SQLITE_READONLY: (ConfigError, "may not be written", _FILE),
    sqlite3.SQLITE_PERM: (ConfigError, "may not be opened", _FILE),
    sqlite3.SQLITE_CORRUPT: (ConfigError, "is damaged", _DAMAGED),
}


def meaning(error: DBAPIError, where: str) -> VecferryError | None:
    """The public error for a driver's one; None where it is a mistake of ours."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        known = _SQLITE.get(code & 0xFF)
        return known[0](f"the ledger {where} {known[1]}", advice=known[2]) if known else None
    if isinstance(error, OperationalError) or error.connection_invalidated:
        advice = "check the address, the server and its log, then run the same command again"
        return RetryLater(f"the ledger {where} is out of reach: {_first_line(error)}", advice=advice)
    return None


def _first_line(error: DBAPIError) -> str:
    return str(error.orig).strip().partition("\n")[0]
