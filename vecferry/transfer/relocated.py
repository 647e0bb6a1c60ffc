"""Stores made of files whose files were copied elsewhere: the address of the copy, and who may open it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, unquote

from vecferry.address import Address

__all__ = ["FILE_STORES", "is_read_directly", "relocated"]

FILE_STORES = frozenset({"numpy", "jsonl", "faiss"})
"""Their files belong together by name, so they keep their names."""

_READ_DIRECTLY = FILE_STORES | {"chroma+path"}


def is_read_directly(scheme: str) -> bool:
    """Whether files of such a store are only read: then even a backup's own copies may be opened as a source."""
    return scheme in _READ_DIRECTLY


def relocated(address: Address, folder: Path) -> Address:
    """The address of a store whose files now lie in `folder`. Metadata of FAISS are copied beside their index."""
    options = {name: Path(value).name if name == "metadata" else value for name, value in address.options.items()}
    place = f"{quote(str(folder))}/{address.raw_path.rstrip('/').rpartition('/')[2]}"
    return replace(address, path=unquote(place), raw_path=place, options=options)
