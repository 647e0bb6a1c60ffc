"""Where a ledger is: a SQLite file by default, a PostgreSQL database by URL."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from vecferry.errors import BadOption, ConfigError

__all__ = ["Place", "find", "make_folder"]


@dataclass(frozen=True, slots=True)
class Place:
    """`text` opens the same ledger in any process on this machine; `file` is None for a server."""

    text: str
    url: URL
    file: Path | None

    def __str__(self) -> str:
        return self.text


def find(given: str | Path | None) -> Place:
    """The place given, else `VECFERRY_LEDGER`, else `ledger.db` in `VECFERRY_HOME` or `~/.vecferry`.

    Raises BadOption for a URL that is not SQLite's or PostgreSQL's, or that holds a password.
    """
    home = Path(os.environ.get("VECFERRY_HOME") or Path.home() / ".vecferry")
    chosen = given or os.environ.get("VECFERRY_LEDGER") or home / "ledger.db"
    if isinstance(chosen, Path) or chosen.startswith("/") or "://" not in chosen:
        return _file(Path(chosen))
    try:
        url = make_url(chosen)
    except (ArgumentError, ValueError):
        raise BadOption("the ledger's URL cannot be read", advice="postgresql://host/database, or a path") from None
    if url.get_backend_name() == "sqlite":
        return _file(Path(_database(url)))
    return _server(url)


def make_folder(file: Path) -> None:
    """Create the file's folder, for its owner alone. Raises ConfigError."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        advice = "set VECFERRY_LEDGER to a file in a folder that you may write"
        raise ConfigError(f"the ledger's folder {file.parent}: {error.strerror}", advice=advice) from error


def _file(path: Path) -> Place:
    absolute = path.expanduser().absolute()
    return Place(str(absolute), URL.create("sqlite", database=str(absolute)), absolute)


def _database(url: URL) -> str:
    if not url.database or url.database == ":memory:":
        raise BadOption(
            "a ledger in memory is gone with the process, and the way back with it",
            advice="name a file: sqlite:///PATH",
        )
    return url.database


def _server(url: URL) -> Place:
    if url.get_backend_name() != "postgresql":
        advice = "postgresql://host/database, or the path of a SQLite file"
        raise BadOption(f"a ledger cannot be kept in {url.get_backend_name()}", advice=advice)
    if url.password is not None or "password" in url.query:
        raise BadOption(
            "a password stands in the ledger's URL, where logs and process lists would show it",
            advice="put it into ~/.pgpass or PGPASSWORD",
        )
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return Place(url.render_as_string(), url, None)
