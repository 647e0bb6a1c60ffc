"""The folders below `.demo` that the demo and the UI keep everything in."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.local_server import PROJECT, ServerError

__all__ = ["DEMO", "exclusive", "file_digest"]

DEMO = PROJECT / ".demo"


@contextmanager
def exclusive(folder: Path) -> Iterator[Path]:
    """Have a folder to oneself; the system gives it back even after a kill. Raises ServerError if it is taken."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServerError(f"{folder} is in use by another run of the same command") from None
        yield folder


def file_digest(folder: Path) -> str:
    """One checksum over the names and contents of all files in a folder."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder)}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return digest.hexdigest()
