"""How much disk a collection takes where it is now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vecferry.address import Address
from vecferry.contract import Source

__all__ = ["StoredSize", "stored_size"]


@dataclass(frozen=True, slots=True)
class StoredSize:
    """Bytes on disk, and of what: None where the store does not say."""

    disk_bytes: int | None
    of: str


def stored_size(place: Address, source: Source) -> StoredSize:
    """The size of the files of the store at a place. A server does not say, and memory has none."""
    files = [item.file for item in source.files()]
    if not files:
        return StoredSize(None, "the store does not say")
    # Where no file or folder is named like the collection, it shares its files with others.
    shared = "" if place.file.exists() else ", other collections in them included"
    count = "one file" if len(files) == 1 else f"{len(files):,} files"
    return StoredSize(sum(map(_filled_bytes, files)), count + shared)


def _filled_bytes(file: Path) -> int:
    """Bytes of a file, those of its holes not counted: engines reserve room long before they fill it."""
    try:
        found = file.stat()
    except FileNotFoundError:
        # An engine replaces its files while it runs.
        return 0
    return min(found.st_size, found.st_blocks * 512)
