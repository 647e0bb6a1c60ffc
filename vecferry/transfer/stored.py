"""How much disk a collection takes where it is now."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vecferry.address import Address
from vecferry.contract import Source

__all__ = ["StoredSize", "stored_size"]


@dataclass(frozen=True, slots=True)
class StoredSize:
    """Bytes on disk, and of what: None where nobody here can know."""

    disk_bytes: int | None
    of: str


def stored_size(address: Address, source: Source) -> StoredSize:
    """The size of a store's files, or of the folder that an embedded engine keeps. A server is not asked."""
    if address.host:
        return StoredSize(None, "a server, which does not say")
    files = [item.file for item in source.files()]
    if files:
        return StoredSize(sum(map(_allocated, files)), "its files, those that it shares with others as well")
    if address.file.is_dir():
        return StoredSize(_folder_bytes(address.file), "its folder")
    if address.path and address.folder().is_dir():
        return StoredSize(_folder_bytes(address.folder()), f"the folder {address.folder().name}, all collections in it")
    return StoredSize(None, "not on a disk")


def _folder_bytes(folder: Path) -> int:
    return sum(map(_allocated, _files(folder)))


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place) / name for name in names)


def _allocated(file: Path) -> int:
    """Bytes of a file, those of its holes not counted: engines reserve room long before they fill it."""
    try:
        found = file.lstat()
    except FileNotFoundError:
        # An engine replaces its files while it runs.
        return 0
    return min(found.st_size, found.st_blocks * 512)
