"""The names of all vectors below a folder, sorted, without holding a Python object for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from vecferry.errors import BadRecord, StoreRefused
from vecferry.stores.staging import is_staging

__all__ = ["Listing"]

_BLOCK_ROWS = 10_000


class Listing:
    """Relative paths of the `.npy` files, without the suffix, in byte order.

    `others`: a few files that are neither a vector nor the payload of one. `links`: folders behind links,
    which are not followed (they could lead in a circle).
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.links = 0
        vectors: list[pa.Array] = []
        payloads: list[pa.Array] = []
        self.others: list[str] = []
        self._collect(vectors, payloads)
        names = pa.chunked_array(vectors, pa.string())
        self._names = names.take(pc.sort_indices(names)).combine_chunks() if len(names) else pa.array([], pa.string())
        self.rows = len(self._names)
        beside = pa.chunked_array(payloads, pa.string())
        alone = beside.filter(pc.invert(pc.is_in(beside, value_set=self._names)))
        self.payloads_alone = len(alone)
        self.others += [f"{name}.json" for name in alone.slice(0, 5).to_pylist()]

    def names(self, start: int, stop: int) -> list[str]:
        """The names `start` to `stop`."""
        listed: list[str] = self._names.slice(start, stop - start).to_pylist()
        return listed

    def name(self, row: int) -> str:
        """One name."""
        return str(self._names[row].as_py())

    def blocks(self) -> Iterator[list[str]]:
        """All names, some thousands at a time."""
        for start in range(0, self.rows, _BLOCK_ROWS):
            yield self.names(start, min(start + _BLOCK_ROWS, self.rows))

    @staticmethod
    def any_vector(root: Path) -> bool:
        """Whether there is a `.npy` file anywhere below."""
        return any(found.endswith(".npy") for found, _ in _walk(str(root), ""))

    def _collect(self, vectors: list[pa.Array], payloads: list[pa.Array]) -> None:
        block: list[str] = []
        beside: list[str] = []
        for path, linked in _walk(str(self._root), ""):
            if linked:
                self.links += 1
            elif path.endswith(".npy"):
                block.append(self._text(path[:-4]))
            elif path.endswith(".json"):
                beside.append(self._text(path[:-5]))
            elif len(self.others) < 5:
                self.others.append(path)
            for names, chunks in ((block, vectors), (beside, payloads)):
                if len(names) == _BLOCK_ROWS:
                    chunks.append(pa.array(names, pa.string()))
                    names.clear()
        vectors.append(pa.array(block, pa.string()))
        payloads.append(pa.array(beside, pa.string()))

    def _text(self, name: str) -> str:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise BadRecord(f"the file name {name!r} below {self._root} is not UTF-8", advice="rename it") from None
        return name


def _walk(root: str, below: str) -> Iterator[tuple[str, bool]]:
    """Relative paths of all files; and, with True, of folders behind links."""
    try:
        with os.scandir(f"{root}/{below}") as entries:
            folders = []
            for entry in entries:
                path = below + entry.name
                if entry.is_dir(follow_symlinks=False):
                    if not is_staging(entry.name):
                        folders.append(path)
                else:
                    yield path, entry.is_symlink() and entry.is_dir()
    except PermissionError as error:
        raise StoreRefused(f"the folder {error.filename} may not be read", advice="check its owner") from error
    for folder in folders:
        yield from _walk(root, folder + "/")
