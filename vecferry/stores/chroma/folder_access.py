"""Safe, read-only access to a Chroma folder: who writes to it, whether it is whole, whether it changed.

An idle Chroma holds no lock on its sqlite file, so a lock cannot tell whether one runs; the list of
open files of all visible processes can (Linux). A process of another user or machine stays unseen:
for these, every batch is checked against the files' size and time of change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from vecferry.errors import DataDiffer, NotFound, RetryLater, StoreRefused

__all__ = ["DATABASE_FILE", "Database", "Holder", "Watch", "check_folder", "writers_of"]

DATABASE_FILE = "chroma.sqlite3"
_JOURNALS = ("-journal", "-wal")
_PROCESSES = Path("/proc")
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)
_WAL_VERSION = 2
_BUSY_TIMEOUT_S = 5.0
# Chroma's client closes its files a moment after `close()` has returned.
_RELEASE_TIMEOUT_S = 2.0
_RELEASE_POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a file open for writing."""

    pid: int
    command: str

    def __str__(self) -> str:
        return f"{self.command or 'process'} (pid {self.pid})"


def writers_of(file: Path) -> list[Holder]:
    """Processes, this one included, that have `file` open for writing, as far as `/proc` shows them.

    Only looks at names: opening and closing the file here would drop the locks that this process holds on it.
    """
    status = file.stat()
    identity = (status.st_dev, status.st_ino)
    pids = (int(entry.name) for entry in _PROCESSES.glob("[0-9]*"))
    return [Holder(pid, _command(pid)) for pid in pids if _writes_to(pid, file.name, identity)]


def _writes_to(pid: int, name: str, identity: tuple[int, int]) -> bool:
    return any(_is_writable(pid, number) for number in _open_numbers(pid, name, identity))


def _open_numbers(pid: int, name: str, identity: tuple[int, int]) -> Iterator[str]:
    try:
        links = list((_PROCESSES / str(pid) / "fd").iterdir())
    except _GONE:
        return
    for link in links:
        try:
            if link.readlink().name != name:
                continue
            status = link.stat()
        except _GONE:
            continue
        if (status.st_dev, status.st_ino) == identity:
            yield link.name


def _is_writable(pid: int, number: str) -> bool:
    try:
        text = (_PROCESSES / str(pid) / "fdinfo" / number).read_text()
    except _GONE:
        return False
    flags = next(line.split()[1] for line in text.splitlines() if line.startswith("flags:"))
    return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY


def _command(pid: int) -> str:
    try:
        return (_PROCESSES / str(pid) / "comm").read_text().strip()
    except _GONE:
        return ""


def check_folder(folder: Path) -> None:
    """Refuse a folder that cannot be read as it lies there.

    Raises NotFound where no Chroma folder is, StoreRefused where a process has it open for writing.
    """
    database = folder / DATABASE_FILE
    if not database.is_file():
        raise NotFound(f"{folder} is not a Chroma folder: it has no {DATABASE_FILE}", advice="Check the path.")
    if holders := _lasting_writers(database):
        raise StoreRefused(
            f"{folder} is in use by {', '.join(map(str, holders))}",
            advice="Stop it, read through its server (chroma://host:port/collection), or copy the folder while idle.",
        )


def _lasting_writers(database: Path) -> list[Holder]:
    """Writers that are still there when this process, were it the only one, has had time to let go."""
    end_s = time.monotonic() + _RELEASE_TIMEOUT_S
    while True:
        holders = writers_of(database)
        if {holder.pid for holder in holders} != {os.getpid()} or time.monotonic() > end_s:
            return holders
        time.sleep(_RELEASE_POLL_S)


def _has_content(file: Path) -> bool:
    """A journal that sqlite has finished with is absent, empty or starts with zeros."""
    try:
        with file.open("rb") as stream:
            return any(stream.read(8))
    except FileNotFoundError:
        return False


class Watch:
    """Size and time of change of some files, to see that nobody wrote to them in between."""

    def __init__(self, folder: Path, files: Iterable[Path]) -> None:
        self._folder = folder
        self._files = [*files, *(folder / (DATABASE_FILE + suffix) for suffix in ("", *_JOURNALS))]
        self._seen = self._look()

    def check(self) -> None:
        """Raises DataDiffer when a file is not as it was."""
        if self._look() != self._seen:
            raise DataDiffer(
                f"{self._folder} was written to while it was read",
                advice="Stop whatever uses the folder, then start again; or read through its server.",
            )

    def fingerprint(self) -> str:
        """A text that changes when one of the files does."""
        return hashlib.sha256(repr(self._seen).encode()).hexdigest()

    def _look(self) -> list[tuple[int, int] | None]:
        return [_size_and_time(file) for file in self._files]


def _size_and_time(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns


class Database:
    """`chroma.sqlite3`, opened so that nothing beside it or in it changes. Safe to use from several threads.

    Every query is read to its end before it returns: an open read would block a Chroma that starts meanwhile.
    A write that was interrupted can only be undone or applied by changing the file; it is, in a copy in the system's
    folder for temporary files, which is read instead and gone with `close`.
    """

    def __init__(self, folder: Path) -> None:
        self._file = folder / DATABASE_FILE
        self._lock = threading.Lock()
        self._aside = _settled_aside(folder)
        if self._aside:
            opened, mode = Path(self._aside.name) / DATABASE_FILE, "mode=rw"
        else:
            opened, mode = self._file.absolute(), "mode=ro&immutable=1" if self._is_wal() else "mode=ro"
        self._connection = sqlite3.connect(
            f"file:{quote(str(opened))}?{mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=_BUSY_TIMEOUT_S,
        )

    @property
    def is_copy(self) -> bool:
        """Whether a copy is read, because the file was left in the middle of a write."""
        return self._aside is not None

    def _is_wal(self) -> bool:
        """A file in WAL mode makes a reader create its side files, unless it may take the file for unchanging."""
        with self._file.open("rb") as stream:
            return stream.read(20)[18:20] == bytes([_WAL_VERSION, _WAL_VERSION])

    def rows(self, sql: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query.

        Raises RetryLater while a writer locks the file, StoreRefused when sqlite cannot read it.
        """
        try:
            with self._lock:
                return self._connection.execute(sql, arguments).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise RetryLater(f"{self._file} is locked by a writer") from error
            raise self._refusal(error) from error
        except sqlite3.DatabaseError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: sqlite3.Error) -> StoreRefused:
        return StoreRefused(
            f"{self._file} cannot be read: {error}",
            advice="Check the file with `PRAGMA integrity_check` (on a copy) and restore it from a backup.",
        )

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._connection.close()
        if self._aside:
            self._aside.cleanup()


def _settled_aside(folder: Path) -> tempfile.TemporaryDirectory[str] | None:
    """A copy of the database with its journals, if one of them has content. Raises DataDiffer when it is written to."""
    files = [folder / (DATABASE_FILE + suffix) for suffix in ("", *_JOURNALS)]
    if not any(map(_has_content, files[1:])):
        return None
    watch = Watch(folder, [])
    aside = tempfile.TemporaryDirectory(prefix="vecferry-chroma-")
    try:
        for file in filter(Path.exists, files):
            shutil.copyfile(file, Path(aside.name) / file.name)
        watch.check()
    except (OSError, DataDiffer):
        aside.cleanup()
        raise
    return aside
