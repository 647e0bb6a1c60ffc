"""What the stores made of files share: slices by row, fetching by id, and writing through a staging area.

A store gives a `FileView`, which reads the files as they are now, and `_build`, which writes new ones.
`NAME.vecferry.json` beside the target `NAME` keeps what files have no place for: the mark, and the vectors
with their metrics. Files without that mark are somebody's own and are never written.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as batches
from vecferry import plain, sealing
from vecferry.capabilities import Capabilities
from vecferry.contract import Target
from vecferry.errors import BadOption, DataDiffer, NotFound, Stopped, StoreRefused, TargetNotEmpty
from vecferry.model import ALL_PARTS, IDS_ONLY, CollectionSchema, IdKind, JsonObject, Part, Slice, VectorField
from vecferry.stores.conform import conform, refuse_unheld, refuse_vectors
from vecferry.stores.staging import Staging, sync_folder, write_whole, writing

__all__ = ["FileMark", "FileStore", "FileView", "IdIndex", "RowNumbers", "mark_path"]

_COPY_ROWS = 5000


@dataclass(frozen=True, slots=True)
class FileMark:
    """The content of `NAME.vecferry.json`. `published`: the files themselves were put in place."""

    version: int
    mark: JsonObject
    vectors: tuple[VectorField, ...]
    published: bool = False
    notation: JsonObject = field(default_factory=dict)


def mark_path(final: Path) -> Path:
    """Where the mark of a target is."""
    return final.with_name(final.name + ".vecferry.json")


class IdIndex:
    """Where ids may be: 8 bytes of each id's hash, sorted, and its row. 16 bytes a row."""

    def __init__(self, hashes: list[npt.NDArray[np.uint8]]) -> None:
        keys = np.concatenate([_key(block) for block in hashes]) if hashes else np.zeros(0, dtype=np.uint64)
        self._rows = np.argsort(keys, kind="stable")
        self._keys = keys[self._rows]

    def candidates(self, ids: pa.RecordBatch) -> npt.NDArray[np.int64]:
        """Rows, ascending, that may hold one of these ids; a few may not, all that do are among them."""
        if not ids.num_rows:
            return np.zeros(0, dtype=np.int64)
        wanted = _key(sealing.hash_ids(ids))
        starts = np.searchsorted(self._keys, wanted, side="left")
        ends = np.searchsorted(self._keys, wanted, side="right")
        found = [self._rows[start:end] for start, end in zip(starts, ends, strict=True) if end > start]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)

    def twins(self) -> tuple[int, int] | None:
        """Two rows that have the same key, where there are such."""
        same = np.flatnonzero(self._keys[1:] == self._keys[:-1])
        return (int(self._rows[same[0]]), int(self._rows[same[0] + 1])) if len(same) else None


class RowNumbers(IdIndex):
    """Where ids are that are nothing but the number of the row."""

    def __init__(self, rows: int) -> None:
        super().__init__([])
        self._count = rows

    def candidates(self, ids: pa.RecordBatch) -> npt.NDArray[np.int64]:
        numbers = [int(item.text) for item in batches.record_ids(ids) if item.kind is IdKind.UINT64]
        return np.array(sorted({number for number in numbers if number < self._count}), dtype=np.int64)


def _key(hashes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(hashes[:, :8]).view(">u8").reshape(-1).astype(np.uint64)


class FileView(ABC):
    """The files of a collection as they were when it was made. `schema` is what they hold, `rows` how many."""

    schema: CollectionSchema
    rows: int

    @abstractmethod
    def read(self, start: int, stop: int, parts: frozenset[Part]) -> pa.RecordBatch:
        """The rows `start` to `stop`."""

    @abstractmethod
    def take(self, rows: npt.NDArray[np.int64], parts: frozenset[Part]) -> pa.RecordBatch:
        """These rows, which are ascending and at least one."""

    @abstractmethod
    def index(self) -> IdIndex:
        """Where each id is."""

    @abstractmethod
    def fingerprint(self, start: int, stop: int) -> str:
        """A text that changes when the files that hold these rows change."""

    def borders(self, start: int, stop: int) -> dict[str, int]:
        """Where in the file these rows are, for whoever looks at a slice."""
        return {}


class FileStore(Target):
    """One collection in files. `final` is the file or folder that the URL names."""

    def __init__(self, url: str, final: Path, claimed: Capabilities) -> None:
        self.url = url
        self.final = final
        self._claimed = claimed
        self._staging = Staging(final)
        self._lock = threading.RLock()

    # What a store gives

    @abstractmethod
    def _view(self) -> FileView:
        """A view of the files as they are now (may be kept while they stay the same)."""

    @abstractmethod
    def _has_data(self) -> bool:
        """Whether the files themselves are there."""

    @abstractmethod
    def _build(self, folder: Path, rows: int, found: Iterator[pa.RecordBatch], mark: FileMark) -> None:
        """Write the new files of `rows` records into `folder`, named as they will be."""

    @abstractmethod
    def _remove(self) -> None:
        """Remove the files themselves, where they are there."""

    def _is_occupied(self) -> bool:
        """Whether something stands where the files would be put, theirs or not."""
        return self._has_data()

    def _refuse(self, batch: pa.RecordBatch) -> None:
        """Raise BadRecord for what this form of files cannot hold beyond what the capabilities say."""

    def notation(self) -> JsonObject:
        """How this store writes, kept in the mark, so that reading knows it."""
        return {}

    # Reading

    def require(self) -> None:
        """Raise NotFound unless the files are there, without reading them."""
        if not self._is_readable(self._mark()):
            raise NotFound(f"{self.url} does not exist")

    def capabilities(self) -> Capabilities:
        return self._claimed

    def describe(self) -> CollectionSchema:
        self.require()
        mark = self._mark()
        if mark is None:
            return self._view().schema
        if not self._has_data():
            return CollectionSchema(self.final.name, mark.vectors, self._claimed.id_kinds, mark=mark.mark)
        return replace(self._view().schema, mark=mark.mark)

    def count(self) -> int:
        return self._rows()

    def slices(self, n: int) -> list[Slice]:
        rows = self._rows()
        if not rows:
            return [Slice(0, {"first": 0, "rows": 0, "fingerprint": ""}, 0)]
        view, pieces = self._view(), min(max(n, 1), rows)
        edges = [rows * at // pieces for at in range(pieces + 1)]
        return [
            Slice(at, self._bounds(view, start, stop), stop - start) for at, (start, stop) in enumerate(pairwise(edges))
        ]

    def _bounds(self, view: FileView, start: int, stop: int) -> JsonObject:
        print_ = view.fingerprint(start, stop)
        return {"first": start, "rows": stop - start, "fingerprint": print_, **view.borders(start, stop)}

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        start = int(part.bounds["first"])
        stop = start + int(part.bounds["rows"])
        if start == stop and not self._rows():
            return
        view = self._view()
        self._refuse_change(view, part, start, stop)
        for at in range(start, stop, batch_rows):
            yield view.read(at, min(at + batch_rows, stop), columns)
        self._refuse_change(view, part, start, stop)

    def _refuse_change(self, view: FileView, part: Slice, start: int, stop: int) -> None:
        if stop > view.rows or view.fingerprint(start, stop) != part.bounds["fingerprint"]:
            raise DataDiffer(
                f"{self.url} changed since the plan was made (rows {start} to {stop})",
                advice="plan the migration again; files must stay as they are while they are copied",
            )

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        rows = self._rows()
        view = self._view() if rows else None
        found = view.index().candidates(ids) if view else np.zeros(0, dtype=np.int64)
        if view is None or not len(found):
            return batches.empty(self.describe().vectors, columns)
        taken = view.take(found, columns)
        wanted = set(batches.record_ids(ids))
        return taken.filter(pa.array([item in wanted for item in batches.record_ids(taken)], pa.bool_()))

    def fingerprint(self) -> str:
        rows = self._rows()
        return self._view().fingerprint(0, rows) if rows else ""

    def _rows(self) -> int:
        self.require()
        return self._view().rows if self._has_data() else 0

    def _is_readable(self, mark: FileMark | None) -> bool:
        if self._staging.is_half_published():
            raise Stopped(f"a run died while it put {self.url} in place", advice="`vecferry resume` finishes it")
        if self._has_data():
            return True
        if mark is not None and mark.published:
            raise NotFound(f"{self.url} is gone; only its mark {mark_path(self.final).name} is still there")
        return mark is not None

    def _mark(self) -> FileMark | None:
        path = mark_path(self.final)
        try:
            return plain.from_json(FileMark, path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise BadOption(f"{path} is damaged: {error}", advice="restore it, or move it away") from error

    # Writing

    def mark(self) -> JsonObject | None:
        mark = self._mark()
        return None if mark is None else mark.mark

    def exists(self) -> bool:
        return mark_path(self.final).exists() or self._is_occupied() or self._staging.is_half_published()

    def create(self, schema: CollectionSchema, mark: JsonObject) -> None:
        refuse_vectors(schema, self._claimed, self.url)
        if self.exists():
            raise TargetNotEmpty(f"{self.url} exists", advice="choose another name, or discard what is there")
        with writing(self.url):
            self._staging.discard()
            self.final.parent.mkdir(parents=True, exist_ok=True)
            self._write_mark(self.final.parent, FileMark(1, dict(mark), schema.vectors, False, self.notation()))

    def write(self, batch: pa.RecordBatch) -> None:
        mark = self._own_mark()
        rows = conform(batch, batches.arrow_schema(mark.vectors), self.url)
        refuse_unheld(rows, self._claimed, self.url)
        self._refuse(rows)
        if rows.num_rows:
            self._stage(rows, deletes=False)

    def delete(self, ids: pa.RecordBatch) -> None:
        self._own_mark()
        if ids.num_rows:
            self._stage(ids, deletes=True)

    def _stage(self, rows: pa.RecordBatch, *, deletes: bool) -> None:
        loading = self._staging.is_open()
        if not loading:
            self.begin_load()
        with writing(self.url):
            (self._staging.add_deleted if deletes else self._staging.add)(rows)
        if not loading:
            self.finish_load()

    def drop(self) -> None:
        with writing(self.url):
            if mark_path(self.final).exists():
                self._staging.roll_forward()
                self._remove()
                mark_path(self.final).unlink()
                sync_folder(self.final.parent)
            elif self._has_data():
                raise StoreRefused(f"{self.url} was not made by vecferry and is never removed")
            self._staging.discard()

    def changing(self) -> AbstractContextManager[Target]:
        return self.bulk_load()

    def begin_load(self) -> None:
        self._own_mark()
        with writing(self.url):
            self._staging.open()

    def finish_load(self) -> None:
        with self._lock, writing(self.url):
            self._staging.roll_forward()
            mark = self._own_mark()
            if self._staging.is_open():
                self._staging.publish(self._published, partial(self._build_all, mark))

    def _build_all(self, mark: FileMark, folder: Path, rows: int, found: Iterator[pa.RecordBatch]) -> None:
        self._build(folder, rows, found, mark)
        self._write_mark(folder, replace(mark, published=True))

    def _published(self, ids_only: bool) -> Iterator[pa.RecordBatch]:
        if not self._has_data():
            return
        view = self._view()
        for start in range(0, view.rows, _COPY_ROWS):
            yield view.read(start, min(start + _COPY_ROWS, view.rows), IDS_ONLY if ids_only else ALL_PARTS)

    def _write_mark(self, folder: Path, mark: FileMark) -> None:
        write_whole(folder / mark_path(self.final).name, plain.to_json(mark).encode() + b"\n")

    def _own_mark(self) -> FileMark:
        """The mark, without which nothing is written: files of others are never edited in place."""
        mark = self._mark()
        if mark is not None:
            return mark
        if self._has_data():
            raise StoreRefused(f"{self.url} was not made by vecferry and is never edited in place")
        raise NotFound(f"{self.url} does not exist", advice="create it first")
