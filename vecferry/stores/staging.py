"""How a target made of files takes writes: laid aside as numbered segments, merged, renamed into place whole.

Beside the target `NAME` lies the folder `.NAME.vecferry-staging` while a load is open:

    segments/00000000.arrow   what one `write` brought, or (ids alone) what one `delete` named;
                              synced before it is acknowledged
    merged/                   the new files while they are built
    ready/                    the same, complete: from here on the publication is rolled forward

The newest segment that names an id wins. A crash leaves this folder only, and a later load goes on with it.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as batches
from vecferry import failpoints, sealing
from vecferry.errors import Stopped, StoreRefused

__all__ = ["Build", "Staging", "is_staging", "sync_file", "sync_folder", "write_whole", "writing"]

_SUFFIX = ".vecferry-staging"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

Build = Callable[[Path, int, Iterator[pa.RecordBatch]], None]
"""Writes the new files into a folder, given how many rows come and the rows themselves."""

Rows = Callable[[bool], Iterable[pa.RecordBatch]]
"""The rows that are published already, in a fixed order; ids alone when called with True."""


@contextlib.contextmanager
def writing(url: str) -> Iterator[None]:
    """Turn the file system's refusals into errors that say what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Stopped(
                f"no space left while writing {url}", advice="free some space, then `vecferry resume`"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise StoreRefused(f"{url} may not be written: {error.strerror}", advice="check its owner") from error
        raise


def is_staging(name: str) -> bool:
    """Whether a file or folder of this name is a staging area."""
    return name.startswith(".") and name.endswith(_SUFFIX)


def sync_file(path: Path) -> None:
    """Wait until a file's bytes are on the disk."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def sync_folder(path: Path) -> None:
    """Wait until a folder's names are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file with `content` in one step."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with aside.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    sync_folder(path.parent)


class Staging:
    """The staging area of one target."""

    def __init__(self, final: Path) -> None:
        self._final = final
        self._folder = final.with_name(f".{final.name}{_SUFFIX}")
        self._segments = self._folder / "segments"
        self._ready = self._folder / "ready"
        self._lock = threading.Lock()
        self._next = 0

    def is_open(self) -> bool:
        """Whether a load was begun and not finished."""
        return self._segments.is_dir()

    def is_half_published(self) -> bool:
        """Whether a run died after the new files were whole and before all of them were in place."""
        return self._ready.is_dir()

    def open(self) -> None:
        """Begin a load, or go on with the one that is there."""
        self.roll_forward()
        self._segments.mkdir(parents=True, exist_ok=True)
        sync_folder(self._folder.parent)

    def add(self, rows: pa.RecordBatch) -> None:
        """Lay rows aside; they are on the disk when this returns."""
        self._add(rows)

    def add_deleted(self, ids: pa.RecordBatch) -> None:
        """Lay aside that these ids are gone."""
        self._add(batches.ids_of(ids))

    def publish(self, published: Rows, build: Build) -> None:
        """Merge what is published with the segments, build the new files and rename them into place."""
        self.roll_forward()
        merged = self._folder / "merged"
        shutil.rmtree(merged, ignore_errors=True)
        merged.mkdir(parents=True)
        segments = self._listed()
        winners = _winners(published, segments)
        build(merged, int(winners.sum()), _winning(published, segments, winners))
        _sync_tree(merged)
        failpoints.reached("staging.merged")
        merged.rename(self._ready)
        sync_folder(self._folder)
        failpoints.reached("staging.ready")
        self.roll_forward()

    def roll_forward(self) -> None:
        """Finish a publication that had become whole; does nothing where there is none."""
        if not self._ready.is_dir():
            return
        shutil.rmtree(self._segments, ignore_errors=True)
        for entry in sorted(self._ready.iterdir()):
            self._move(entry, self._final.with_name(entry.name))
            failpoints.reached("staging.moved")
        sync_folder(self._final.parent)
        self.discard()

    def discard(self) -> None:
        """Remove the staging area and all that is in it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _move(self, entry: Path, goal: Path) -> None:
        if goal.is_dir():
            goal.rename(self._folder / f"old-{goal.name}")
        entry.replace(goal)

    def _add(self, rows: pa.RecordBatch) -> None:
        with self._lock:
            aside = self._segments / f".{os.getpid()}-{threading.get_ident()}.part"
            try:
                with pa.OSFile(str(aside), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as writer:
                    writer.write_batch(rows)
                sync_file(aside)
                self._claim(aside)
            finally:
                aside.unlink(missing_ok=True)
            sync_folder(self._segments)
        failpoints.reached("staging.segment_written")

    def _claim(self, aside: Path) -> None:
        """Give a written segment the next free number; other processes may write here too."""
        while True:
            try:
                os.link(aside, self._segments / f"{self._next:08}.arrow")
            except FileExistsError:
                self._next = 1 + max(int(path.stem) for path in self._listed())
                continue
            self._next += 1
            return

    def _listed(self) -> list[Path]:
        return sorted(self._segments.glob("[0-9]*.arrow"), key=lambda path: int(path.stem))


def _winners(published: Rows, segments: list[Path]) -> npt.NDArray[np.bool_]:
    """Which rows, counted through everything in order, are the newest of their id and not deleted: `(n,) bool`.

    Memory: 16 bytes a row for the hash of its id, 8 for its place in the order.
    """
    hashes: list[npt.NDArray[np.uint8]] = [sealing.hash_ids(ids) for ids in published(True)]
    deletes = [np.zeros(len(block), dtype=np.bool_) for block in hashes]
    for path in segments:
        ids = _read(path, ids_only=True)
        hashes.append(sealing.hash_ids(ids))
        deletes.append(np.full(ids.num_rows, _deletes(path)))
    if not hashes:
        return np.zeros(0, dtype=np.bool_)
    halves = np.concatenate(hashes).view(">u8")
    del hashes
    order = np.lexsort((halves[:, 1], halves[:, 0]))
    ordered = halves[order]
    last = np.ones(len(order), dtype=np.bool_)
    last[:-1] = (ordered[1:] != ordered[:-1]).any(axis=1)
    winners = np.zeros(len(order), dtype=np.bool_)
    winners[order[last]] = True
    return winners & ~np.concatenate(deletes)


def _winning(published: Rows, segments: list[Path], winners: npt.NDArray[np.bool_]) -> Iterator[pa.RecordBatch]:
    at = 0
    for rows in itertools.chain(published(False), map(_read, segments)):
        mask = winners[at : at + rows.num_rows]
        at += rows.num_rows
        if mask.any():
            yield rows if mask.all() else rows.filter(pa.array(mask))


def _read(path: Path, ids_only: bool = False) -> pa.RecordBatch:
    options = pa.ipc.IpcReadOptions(included_fields=[0, 1] if ids_only else [])
    with pa.OSFile(str(path), "rb") as stream:
        return pa.ipc.open_file(stream, options=options).get_batch(0)


def _deletes(path: Path) -> bool:
    with pa.OSFile(str(path), "rb") as stream:
        return batches.PAYLOAD not in pa.ipc.open_file(stream).schema.names


def _sync_tree(folder: Path) -> None:
    """Put every file below on the disk; beyond a hundred of them one call for all is quicker than one each."""
    folders = list(os.walk(folder, topdown=False))
    if sum(len(names) for _, _, names in folders) > 100:
        os.sync()
        return
    for root, _, names in folders:
        for name in names:
            sync_file(Path(root, name))
        sync_folder(Path(root))
