"""`jsonl://`: points in a file of JSON, read in several forms and written as one point a line."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from vecferry.address import Address
from vecferry.capabilities import Capabilities, VectorSupport
from vecferry.contract import SourceFile
from vecferry.errors import BadOption
from vecferry.model import DType, IdKind, JsonObject, Metric, VectorKind
from vecferry.stores.file_store import FileMark, FileStore, mark_path
from vecferry.stores.jsonl.view import JsonView
from vecferry.stores.jsonl.writer import lines

__all__ = ["CAPABILITIES", "JsonStore"]

CAPABILITIES = Capabilities(
    store="jsonl",
    engine="a file of JSON",
    id_kinds=frozenset(IdKind),
    vectors=VectorSupport(
        kinds=frozenset(VectorKind),
        dtypes=frozenset(DType),
        metrics=frozenset(Metric),
        named=True,
        missing=True,
    ),
    document=True,
    stores_metric=False,
    parallel_reads=2,
    parallel_writes=2,
    max_batch_rows=10_000,
    max_batch_bytes=64 << 20,
    cheap_vectors=True,
)

_DTYPES = (DType.FLOAT32, DType.FLOAT64)
_KEPT_VIEWS = 4
_views: OrderedDict[str, tuple[str, JsonView]] = OrderedDict()
_views_lock = threading.Lock()


class JsonStore(FileStore):
    """One file of JSON. What a look through it found is kept in this process for as long as the file stays the same."""

    def __init__(self, address: Address) -> None:
        address.only_options("dtype", "ignore")
        super().__init__(str(address), address.file.absolute(), CAPABILITIES)
        self._dtype = _dtype(address.options.get("dtype", DType.FLOAT32.value))
        self._ignored = frozenset(filter(None, address.options.get("ignore", "").split(",")))

    def files(self) -> Sequence[SourceFile]:
        paths = [path for path in (self.final, mark_path(self.final)) if path.exists()]
        return [SourceFile(path, path.name) for path in paths]

    def notation(self) -> JsonObject:
        return {"payload": "canonical"}

    def _view(self) -> JsonView:
        found = self.final.stat()
        stamp = f"{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"
        with _views_lock:
            kept = _views.get(self.url)
            if kept is None or kept[0] != stamp:
                view = JsonView(self.url, self.final, self._mark(), self._dtype, self._ignored)
                kept = _views[self.url] = (stamp, view)
            _views.move_to_end(self.url)
            while len(_views) > _KEPT_VIEWS:
                _views.popitem(last=False)
        return kept[1]

    def _has_data(self) -> bool:
        if self.final.is_dir():
            raise BadOption(f"{self.url} is a folder, not a file of JSON")
        return self.final.exists()

    def _build(self, folder: Path, rows: int, found: Iterator[pa.RecordBatch], mark: FileMark) -> None:
        with (folder / self.final.name).open("wb", buffering=1 << 20) as stream:
            for batch in found:
                stream.writelines(lines(batch))

    def _remove(self) -> None:
        self.final.unlink(missing_ok=True)


def _dtype(text: str) -> DType:
    if text not in _DTYPES:
        raise BadOption(f"?dtype={text} is not known here", advice=f"it may be {' or '.join(_DTYPES)}")
    return DType(text)
