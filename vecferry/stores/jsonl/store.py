"""`jsonl://`: points in a file of JSON, read and written in several forms."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import Address
from vecferry.contract import SourceFile
from vecferry.errors import BadOption, BadRecord
from vecferry.model import DType, JsonObject
from vecferry.stores.file_store import FileMark, FileStore, mark_path
from vecferry.stores.jsonl.capabilities import CAPABILITIES
from vecferry.stores.jsonl.dialects import Dialect
from vecferry.stores.jsonl.view import JsonView
from vecferry.stores.jsonl.writer import write

__all__ = ["JsonStore"]

_DTYPES = (DType.FLOAT32, DType.FLOAT64)
_KEPT_VIEWS = 4
_views: OrderedDict[str, tuple[str, JsonView]] = OrderedDict()
_views_lock = threading.Lock()


class JsonStore(FileStore):
    """One file of JSON. What a look through it found is kept in this process for as long as the file stays the same."""

    def __init__(self, address: Address) -> None:
        address.only_options("dialect", "dtype", "ignore")
        super().__init__(str(address), address.file.absolute(), CAPABILITIES[Dialect.LINES])
        self._dtype = _dtype(address.options.get("dtype", DType.FLOAT32.value))
        self._ignored = frozenset(filter(None, address.options.get("ignore", "").split(",")))
        self._dialect = self._agreed(address.options.get("dialect"))
        self._claimed = CAPABILITIES[self._dialect or Dialect.LINES]

    def _agreed(self, asked: str | None) -> Dialect | None:
        """The form: as the URL says, which must be what the mark says; None where neither does."""
        mark = self._mark()
        written = None if mark is None else _dialect(mark.notation.get("dialect", Dialect.LINES.value))
        wanted = None if asked is None else _dialect(asked)
        if None not in (written, wanted) and written is not wanted:
            raise BadOption(f"{self.url} was written as ?dialect={written}", advice="leave the option away")
        return wanted or written

    def files(self) -> Sequence[SourceFile]:
        paths = [path for path in (self.final, mark_path(self.final)) if path.exists()]
        return [SourceFile(path, path.name) for path in paths]

    def notation(self) -> JsonObject:
        """Files of other forms are for other programs, which do not know vecferry's tags."""
        if self._dialect in (None, Dialect.LINES):
            return {"payload": "canonical"}
        return {"payload": "plain", "dialect": str(self._dialect)}

    def _view(self) -> JsonView:
        found = self.final.stat()
        stamp = f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"
        with _views_lock:
            kept = _views.get(self.url)
            if kept is None or kept[0] != stamp:
                view = JsonView(self.url, self.final, self._mark(), self._dtype, self._ignored, self._dialect)
                kept = _views[self.url] = (stamp, view)
            _views.move_to_end(self.url)
            while len(_views) > _KEPT_VIEWS:
                _views.popitem(last=False)
        return kept[1]

    def _has_data(self) -> bool:
        if self.final.is_dir():
            raise BadOption(f"{self.url} is a folder, not a file of JSON")
        return self.final.exists()

    def _refuse(self, batch: pa.RecordBatch) -> None:
        if self._dialect in (None, Dialect.LINES):
            return
        tagged = pc.match_substring(batch.column(batches.PAYLOAD), f'"{canonical.TAG}"').to_numpy(zero_copy_only=False)
        if tagged.any():
            record_id = batches.record_ids(batch.slice(int(np.argmax(tagged)), 1))[0]
            raise BadRecord(f"the payload of record {record_id} holds what {self._claimed.engine} cannot say")
        if not self._claimed.empty_id and batch.num_rows and pc.any(pc.equal(batch.column(batches.ID), "")).as_py():
            raise BadRecord(f"{self.url} cannot hold an id that is the empty text")

    def _build(self, folder: Path, rows: int, found: Iterator[pa.RecordBatch], mark: FileMark) -> None:
        write(folder / self.final.name, self._dialect or Dialect.LINES, found)

    def _remove(self) -> None:
        self.final.unlink(missing_ok=True)


def _dialect(text: str) -> Dialect:
    if text not in tuple(Dialect):
        raise BadOption(f"?dialect={text} is not known here", advice=f"it may be {', '.join(Dialect)}")
    return Dialect(text)


def _dtype(text: str) -> DType:
    if text not in _DTYPES:
        raise BadOption(f"?dtype={text} is not known here", advice=f"it may be {' or '.join(_DTYPES)}")
    return DType(text)
