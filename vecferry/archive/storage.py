"""Where an archive's files are. The one place of the archive that touches a file system.

A file becomes visible whole or not at all: locally it is written aside, synced and renamed, and its
folder is synced; object storage would do the same with one final PUT.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any, Protocol

import pyarrow as pa

from vecferry import failpoints
from vecferry.errors import ArchiveDamaged, Stopped, StoreRefused, VecferryError

__all__ = ["LocalStorage", "Sink", "Storage"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
_BUFFER_BYTES = 1 << 20


class Storage(Protocol):
    """A folder of files that appear whole. Paths are relative, with `/`."""

    def place(self, path: str = "") -> str:
        """Where a file is, for messages."""

    def read(self, path: str) -> bytes:
        """A whole small file. Raises ArchiveDamaged when it is not there or cannot be read."""

    def put(self, path: str, data: bytes) -> None:
        """Write a whole small file. Errors as for `writing`."""

    def writing(self, path: str) -> AbstractContextManager[Sink]:
        """A file to write from start to end; it appears, or replaces the old one, when the block ends without error.

        Raises Stopped when the disk is full or the write fails, StoreRefused when it is not allowed.
        """

    def open(self, path: str) -> pa.NativeFile:
        """A file to read at any place. Raises ArchiveDamaged when it is not there or cannot be opened."""

    def size(self, path: str) -> int | None:
        """A file's size in bytes, None when it is not there."""

    def files(self) -> dict[str, int]:
        """All whole files below, path to size in bytes. What is being written is not among them."""

    def folders(self) -> list[str]:
        """Names of the folders directly below, sorted; hidden ones left out."""

    def below(self, folder: str) -> Storage:
        """The same storage, one folder down. The folder need not exist yet."""


class Sink:
    """A file that is being written: counts and hashes what passes. Looks like a binary file to Arrow."""

    def __init__(self, file: IO[bytes], place: str) -> None:
        self._file = file
        self._place = place
        self._hash = hashlib.sha256()
        self._abandoned = False
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        """SHA-256 of what was written so far, in hex."""
        return self._hash.hexdigest()

    @property
    def closed(self) -> bool:
        """Whether the file was finished or given up."""
        return self._file.closed

    def write(self, data: Any) -> int:
        """Append bytes. Raises Stopped or StoreRefused, and then takes and drops everything else."""
        view = memoryview(data)
        if self._abandoned:
            return view.nbytes
        try:
            self._file.write(view)
        except OSError as error:
            raise self._failed(error) from error
        self._hash.update(view)
        self.size_bytes += view.nbytes
        return view.nbytes

    def flush(self) -> None:
        """Nothing: `finish` brings the bytes to the disk."""

    def close(self) -> None:
        """Nothing: the storage closes the file."""

    def finish(self) -> None:
        """Bring every byte to the disk and close. Errors as for `write`."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
        except OSError as error:
            raise self._failed(error) from error

    def abandon(self) -> None:
        """Close without an error, whatever is still in the buffer."""
        self._abandoned = True
        with contextlib.suppress(OSError):
            self._file.close()

    def _failed(self, error: OSError) -> VecferryError:
        self._abandoned = True
        return _write_error(error, self._place)


class LocalStorage:
    """Files of a local folder."""

    def __init__(self, root: Path) -> None:
        self._root = Path(root)

    def place(self, path: str = "") -> str:
        """Where a file is, for messages."""
        return str(self._root / path) if path else str(self._root)

    def read(self, path: str) -> bytes:
        """A whole small file."""
        try:
            return (self._root / path).read_bytes()
        except OSError as error:
            raise _read_error(error, self.place(path)) from error

    def put(self, path: str, data: bytes) -> None:
        """Write a whole small file."""
        with self.writing(path) as sink:
            sink.write(data)

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[Sink]:
        """A file to write; visible when the block ends without error."""
        final = self._root / path
        place = self.place(path)
        aside = final.with_name(f".{final.name}.{uuid.uuid4().hex}.tmp")
        with contextlib.ExitStack() as undo:
            try:
                _make_folder(final.parent)
                _remove_leftovers(final)
                file = self._open_aside(aside)
            except OSError as error:
                raise _write_error(error, place) from error
            sink = Sink(file, place)
            undo.callback(aside.unlink, missing_ok=True)
            undo.callback(sink.abandon)
            yield sink
            sink.finish()
            failpoints.reached("archive.file_aside")
            _rename(aside, final, place)
        failpoints.reached("archive.file_visible")

    def _open_aside(self, aside: Path) -> IO[bytes]:
        return aside.open("wb", buffering=_BUFFER_BYTES)

    def open(self, path: str) -> pa.NativeFile:
        """A file to read at any place."""
        try:
            return pa.OSFile(str(self._root / path), "rb")
        except OSError as error:
            raise _read_error(error, self.place(path)) from error

    def size(self, path: str) -> int | None:
        """A file's size in bytes, None when it is not there."""
        file = self._root / path
        return file.stat().st_size if file.is_file() else None

    def files(self) -> dict[str, int]:
        """All whole files below, path to size in bytes."""
        found: dict[str, int] = {}
        for folder, folders, names in os.walk(self._root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                path = Path(folder) / name
                if not name.startswith("."):
                    found[path.relative_to(self._root).as_posix()] = path.stat().st_size
        return found

    def folders(self) -> list[str]:
        """Names of the folders directly below."""
        if not self._root.is_dir():
            return []
        return sorted(path.name for path in self._root.iterdir() if path.is_dir() and not path.name.startswith("."))

    def below(self, folder: str) -> LocalStorage:
        """The same storage, one folder down."""
        return LocalStorage(self._root / folder)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, each of them synced into its parent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _remove_leftovers(final: Path) -> None:
    """Remove what a killed run left of this very file; a run that still writes it loses its rename."""
    prefix, suffix = f".{final.name}.", ".tmp"
    for path in list(final.parent.iterdir()):
        if path.name.startswith(prefix) and path.name.endswith(suffix):
            path.unlink(missing_ok=True)


def _rename(aside: Path, final: Path, place: str) -> None:
    try:
        aside.replace(final)
        _sync_folder(final.parent)
    except FileNotFoundError as error:
        raise Stopped(
            f"{place} was being written by another run at the same time",
            advice="let that run end, then resume this one",
        ) from error
    except OSError as error:
        raise _write_error(error, place) from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_error(error: OSError, place: str) -> VecferryError:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return Stopped(
            f"no room to write {place}: {reason}",
            advice="free some space or raise the quota, then `vecferry resume ID`: no half file was left",
        )
    if error.errno in _NOT_ALLOWED:
        return StoreRefused(f"{place} may not be written: {reason}", advice="give this user the right to write there")
    return Stopped(f"cannot write {place}: {reason}", advice="look at the disk, then `vecferry resume ID`")


def _read_error(error: OSError, place: str) -> VecferryError:
    reason = error.strerror or str(error)
    if error.errno in _NOT_ALLOWED:
        return StoreRefused(f"{place} may not be read: {reason}", advice="give this user the right to read it")
    return ArchiveDamaged(f"{place} cannot be read: {reason}", advice="`vecferry verify` lists all that is damaged")
