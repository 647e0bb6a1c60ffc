"""The folder of an embedded collection: what is in it, the migration's mark, and its coming and going as a whole."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vecferry import canonical
from vecferry.errors import BadOption, StoreRefused
from vecferry.model import JsonObject
from vecferry.stores.staging import sync_folder

__all__ = ["EdgeFolder"]

CONFIG, MARK = "edge_config.json", "vecferry.json"
# In the order in which they go, so that a folder without its configuration, but with the mark, is a broken drop.
_ENGINE_FILES = (CONFIG, "segments", "wal", "payload_index_schema.json", "applied_seq.json", MARK)


class EdgeFolder:
    """`DIR/COLLECTION`. Raises BadOption for a name that is no folder's name."""

    def __init__(self, parent: Path, name: str) -> None:
        if name in (".", "..") or "/" in name or "\0" in name:
            raise BadOption(f"{name!r} cannot be the name of a collection's folder")
        self.path = parent / name
        self._staging = parent / f".{name}.vecferry-new"

    def exists(self) -> bool:
        """Whether a collection is there (asking the engine would make one of an empty folder)."""
        if (self.path / CONFIG).is_file():
            return True
        segments = self.path / "segments"
        return not self._broken_drop() and segments.is_dir() and any(segments.iterdir())

    def is_free(self) -> bool:
        """Whether a collection can be made here: nothing is there, or only what a broken drop left."""
        return not self.path.exists() or self._broken_drop() or (self.path.is_dir() and not any(self.path.iterdir()))

    def _broken_drop(self) -> bool:
        return not (self.path / CONFIG).exists() and (self.path / MARK).is_file()

    def config(self) -> dict[str, Any]:
        """The engine's own description. Raises StoreRefused when it cannot be read."""
        return self._read(CONFIG)

    def mark(self) -> JsonObject | None:
        """What a migration left here when it made the collection."""
        if not (self.path / MARK).is_file():
            return None
        found = self._read(MARK).get("mark")
        return found if isinstance(found, dict) else None

    def _read(self, name: str) -> dict[str, Any]:
        try:
            found = canonical.decode((self.path / name).read_bytes())
        except (OSError, ValueError) as error:
            raise StoreRefused(f"{self.path / name} cannot be read: {error}") from error
        if not isinstance(found, dict):
            raise StoreRefused(f"{self.path / name} holds no JSON object")
        return found

    @contextlib.contextmanager
    def made(self, mark: JsonObject) -> Iterator[Path]:
        """A staging folder to build in; it appears under the collection's name, with the mark, when the block ends."""
        self._remove_staging()
        try:
            self._staging.mkdir(parents=True)
            yield self._staging
            _write_synced(self._staging / MARK, canonical.encode({"format": 1, "mark": dict(mark)}))
            self._remove_files()
            self._staging.rename(self.path)
            sync_folder(self.path.parent)
        finally:
            self._remove_staging()

    def drop(self) -> None:
        """Remove the collection; files of others stay, and then the folder with them."""
        self._remove_staging()
        self._remove_files()

    def _remove_files(self) -> None:
        for name in _ENGINE_FILES:
            _remove(self.path / name)
        with contextlib.suppress(OSError):  # somebody else's files
            self.path.rmdir()

    def _remove_staging(self) -> None:
        _remove(self._staging)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
