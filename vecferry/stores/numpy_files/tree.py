"""A folder tree with one vector a file: `NAME.npy` is the vector, `NAME.json` beside it the payload."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from vecferry import batch as batches
from vecferry.address import Address
from vecferry.capabilities import Capabilities, VectorSupport
from vecferry.contract import SourceFile
from vecferry.errors import BadOption, StoreRefused
from vecferry.model import DType, IdKind, JsonObject, Metric, VectorKind
from vecferry.stores.file_store import FileMark, FileStore, mark_path
from vecferry.stores.numpy_files.arrays import header_bytes
from vecferry.stores.numpy_files.listing import Listing
from vecferry.stores.numpy_files.names import MAX_ID_BYTES, path_of
from vecferry.stores.numpy_files.tree_view import TreeView

__all__ = ["TREE", "TreeStore"]

TREE = Capabilities(
    store="numpy",
    engine="a tree of .npy files",
    id_kinds=frozenset({IdKind.STRING}),
    vectors=VectorSupport(
        kinds=frozenset({VectorKind.DENSE}),
        dtypes=frozenset(DType),
        metrics=frozenset(Metric),
        nonfinite=True,
    ),
    stores_metric=False,
    max_id_bytes=MAX_ID_BYTES,
    parallel_reads=2,
    parallel_writes=2,
    max_batch_rows=10_000,
    max_batch_bytes=64 << 20,
    cheap_vectors=True,
)


class TreeStore(FileStore):
    """A folder of vectors. The listing is made once a handle; slices notice when a file of theirs changed."""

    def __init__(self, address: Address) -> None:
        address.only_options("id")
        super().__init__(str(address).rstrip("/"), address.file.absolute(), TREE)
        if address.options.get("id", "stem") not in ("stem", "path"):
            raise BadOption(f"?id={address.options['id']} is not known here", advice="it may be stem or path")
        self._by_path = address.options.get("id") == "path"
        self._kept: TreeView | None = None
        self._views = threading.Lock()

    def files(self) -> Sequence[SourceFile]:
        if not self._has_data():
            return ()
        listed = [SourceFile(path, f"{self.final.name}/{path.relative_to(self.final)}") for path in self._paths()]
        mark = mark_path(self.final)
        return [*listed, SourceFile(mark, mark.name)] if mark.exists() else listed

    def _paths(self) -> Iterator[Path]:
        listing = Listing(self.final)
        for name in listing.names(0, listing.rows):
            for suffix in (".npy", ".json"):
                path = self.final / (name + suffix)
                if path.exists():
                    yield path

    def notation(self) -> JsonObject:
        return {"payload": "canonical", "names": "percent"}

    def fingerprint(self) -> str:
        """Over names, sizes and times of all files that are there now."""
        self.require()
        if not self._has_data():
            return ""
        view = self._new_view()
        return view.fingerprint(0, view.rows)

    def close(self) -> None:
        self._forget()

    def finish_load(self) -> None:
        super().finish_load()
        self._forget()

    def _forget(self) -> None:
        with self._views:
            self._kept = None

    def _view(self) -> TreeView:
        with self._views:
            if self._kept is None:
                self._kept = self._new_view()
            return self._kept

    def _new_view(self) -> TreeView:
        return TreeView(self.url, self.final, self._mark(), self._by_path)

    def _has_data(self) -> bool:
        if self.final.is_file():
            raise BadOption(f"{self.url} is a file", advice="a folder of .npy files, or one .npy or .npz file, is read")
        if not self.final.is_dir():
            return False
        return mark_path(self.final).exists() or Listing.any_vector(self.final)

    def _is_occupied(self) -> bool:
        return self.final.exists() and not (self.final.is_dir() and not any(self.final.iterdir()))

    def _build(self, folder: Path, rows: int, found: Iterator[pa.RecordBatch], mark: FileMark) -> None:
        if self.final.is_dir():
            self._refuse_foreign()
        root = folder / self.final.name
        root.mkdir()
        field = mark.vectors[0]
        header = header_bytes(field.dtype, (field.dimension or 0,))
        for batch in found:
            _write_files(root, header, batch)

    def _remove(self) -> None:
        if self.final.is_dir():
            self._refuse_foreign()
            shutil.rmtree(self.final)

    def _refuse_foreign(self) -> None:
        """Raise StoreRefused where the folder holds files that are no records: replacing it would lose them."""
        foreign = Listing(self.final).others
        if foreign:
            raise StoreRefused(
                f"{self.url} holds files that are no records, {foreign[0]} for one",
                advice="move them away: the folder is replaced whole",
            )


def _write_files(root: Path, header: bytes, batch: pa.RecordBatch) -> None:
    values = np.ascontiguousarray(batches.dense_column(batch).values)
    texts = batches.id_texts(batch).to_pylist()
    for row, text, payload in zip(values, texts, batches.payloads(batch), strict=True):
        path = f"{root}/{path_of(text)}"
        if "/" in path[len(str(root)) + 1 :]:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        _put(path + ".npy", header + row.tobytes())
        if payload != b"{}":
            _put(path + ".json", payload + b"\n")


def _put(path: str, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(handle, "wb", buffering=0) as stream:
        stream.write(content)
