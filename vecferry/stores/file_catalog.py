"""Files of one kind in a folder, as a listing of collections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from vecferry.address import Address, below
from vecferry.contract import Listed
from vecferry.errors import NotFound
from vecferry.stores.staging import is_staging

__all__ = ["entries", "listed_files"]


def entries(store: Address) -> list[Path]:
    """What is in the folder of an address, sorted; hidden files and what broken loads left are passed over.

    Raises NotFound where there is no such folder.
    """
    if not store.file.is_dir():
        raise NotFound(f"{store} is no folder", advice="name the folder that holds the collections")
    return sorted(path for path in store.file.iterdir() if not path.name.startswith(".") and not is_staging(path.name))


def listed_files(store: Address, endings: Sequence[str], wanted: Callable[[Path], bool]) -> tuple[Listed, ...]:
    """The files with one of these endings (`.jsonl`) that are `wanted`, each a collection named without its ending."""
    found = [path for path in entries(store) if path.suffix in endings and path.is_file() and wanted(path)]
    return tuple(Listed(path.stem, below(store, path.name)) for path in found)
