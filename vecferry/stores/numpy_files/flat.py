"""One 2-D array with a JSONL file beside it: row i and line i are one record."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import Address
from vecferry.capabilities import Capabilities, PayloadSupport, VectorSupport
from vecferry.contract import SourceFile
from vecferry.errors import BadOption, BadRecord, StoreRefused
from vecferry.model import CollectionSchema, DType, IdKind, JsonObject, Metric, Part, VectorField, VectorKind
from vecferry.stores.file_store import FileMark, FileStore, FileView, IdIndex, RowNumbers, mark_path
from vecferry.stores.numpy_files.arrays import Numbers, header_bytes, open_matrix
from vecferry.stores.numpy_files.lines import Lines

__all__ = ["FLAT", "FlatStore"]

FLAT = Capabilities(
    store="numpy",
    engine="a .npy file and a JSONL file",
    id_kinds=frozenset({IdKind.UINT64, IdKind.STRING}),
    vectors=VectorSupport(
        kinds=frozenset({VectorKind.DENSE}),
        dtypes=frozenset(DType),
        metrics=frozenset(Metric),
        nonfinite=True,
    ),
    payload=PayloadSupport(reserved_keys=frozenset({"id"})),
    stores_metric=False,
    parallel_reads=2,
    parallel_writes=2,
    max_batch_rows=10_000,
    max_batch_bytes=64 << 20,
    cheap_vectors=True,
)


class FlatView(FileView):
    """An array and its lines as they were when this was made."""

    def __init__(self, url: str, path: Path, array: str | None, mark: FileMark | None) -> None:
        self._path = path
        self._matrix = open_matrix(path, array)
        beside = path.with_suffix(".jsonl")
        tagged = mark is not None and mark.notation.get("payload") == "canonical"
        self._lines = Lines(beside, tagged) if beside.exists() else None
        self.rows = self._matrix.rows
        if self._lines is not None and self._lines.rows != self.rows:
            raise BadRecord(
                f"{url}: {beside.name} has {self._lines.rows} lines, {path.name} has {self.rows} rows",
                advice="line i must describe row i",
            )
        field = VectorField("", VectorKind.DENSE, self._matrix.dtype, self._matrix.dimension)
        self.schema = self._schema((field,) if mark is None else mark.vectors)

    def _schema(self, vectors: tuple[VectorField, ...]) -> CollectionSchema:
        kinds = self._lines.kinds if self._lines else frozenset({IdKind.UINT64})
        words = f"2-D array with {'a line' if self._lines else 'nothing but a row number'} for each row"
        notes = self._lines.notes if self._lines else ("there is no JSONL beside it: ids are row numbers",)
        return CollectionSchema(self._path.name, vectors, kinds, dialect=words, notes=notes)

    def read(self, start: int, stop: int, parts: frozenset[Part]) -> pa.RecordBatch:
        return self._batch(range(start, stop), parts, lambda: self._matrix.read(start, stop))

    def take(self, rows: npt.NDArray[np.int64], parts: frozenset[Part]) -> pa.RecordBatch:
        listed = rows.tolist()
        return self._batch(listed, parts, lambda: self._matrix.take(listed))

    def _batch(self, rows: Sequence[int], parts: frozenset[Part], vectors: Callable[[], Numbers]) -> pa.RecordBatch:
        if self._lines is not None:
            ids, kinds, payloads = self._lines.take(rows)
        else:
            ids, kinds, payloads = [str(row) for row in rows], [IdKind.UINT64] * len(rows), [b"{}"] * len(rows)
        return batches.make(
            ids,
            kinds,
            vectors={"": batches.dense_array(vectors())} if Part.VECTORS in parts else None,
            documents=[None] * len(rows) if Part.DOCUMENT in parts else None,
            payloads=payloads if Part.PAYLOAD in parts else None,
        )

    def index(self) -> IdIndex:
        return self._lines.index() if self._lines is not None else RowNumbers(self.rows)

    def fingerprint(self, start: int, stop: int) -> str:
        return fingerprint(data_files(self._path))

    def close(self) -> None:
        self._matrix.close()


def data_files(path: Path) -> list[Path]:
    """The array and, where there is one, the JSONL beside it."""
    beside = path.with_suffix(".jsonl")
    return [path, beside] if beside.exists() else [path]


def fingerprint(paths: Sequence[Path]) -> str:
    """Names, sizes and times of change."""
    found = [(path.name, path.stat()) for path in paths]
    return ";".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in found)


class FlatStore(FileStore):
    """A 2-D `.npy` or `.npz` file. Only `.npy` is written."""

    def __init__(self, address: Address) -> None:
        address.only_options("array")
        super().__init__(str(address), address.file.absolute(), FLAT)
        self._array = address.options.get("array")
        self._kept: tuple[str, FlatView] | None = None
        self._views = threading.Lock()

    def files(self) -> Sequence[SourceFile]:
        paths = [path for path in (*data_files(self.final), mark_path(self.final)) if path.exists()]
        return [SourceFile(path, path.name) for path in paths]

    def notation(self) -> JsonObject:
        return {"payload": "canonical"}

    def create(self, schema: CollectionSchema, mark: JsonObject) -> None:
        if self.final.suffix != ".npy":
            raise StoreRefused(f"{self.url} can be read, not written", advice="write to a .npy file, or to a folder")
        super().create(schema, mark)

    def close(self) -> None:
        with self._views:
            if self._kept is not None:
                self._kept[1].close()
                self._kept = None

    def _view(self) -> FlatView:
        inode = self.final.stat().st_ino
        stamp = f"{inode}:{fingerprint(data_files(self.final))}"
        with self._views:
            if self._kept is None or self._kept[0] != stamp:
                self._kept = (stamp, FlatView(self.url, self.final, self._array, self._mark()))
            return self._kept[1]

    def _has_data(self) -> bool:
        if self.final.is_dir():
            raise BadOption(f"{self.url} is a folder, not a file")
        return self.final.exists()

    def _is_occupied(self) -> bool:
        return self._has_data() or self.final.with_suffix(".jsonl").exists()

    def _refuse(self, batch: pa.RecordBatch) -> None:
        for at, text in enumerate(batches.payloads(batch)):
            if b'"id":' in text and "id" in canonical.to_json(text):
                self._refuse_id_key(batch, at)

    def _refuse_id_key(self, batch: pa.RecordBatch, at: int) -> NoReturn:
        record = batches.record_ids(batch.slice(at, 1))[0]
        raise BadRecord(f"the payload of record {record} has a key id, which in {self.url} is the record's own id")

    def _build(self, folder: Path, rows: int, found: Iterator[pa.RecordBatch], mark: FileMark) -> None:
        field = mark.vectors[0]
        array = folder / self.final.name
        with array.open("wb") as numbers, array.with_suffix(".jsonl").open("wb", buffering=1 << 20) as texts:
            numbers.write(header_bytes(field.dtype, (rows, field.dimension or 0)))
            for batch in found:
                numbers.write(np.ascontiguousarray(batches.dense_column(batch).values).data)
                texts.writelines(_lines(batch))

    def _remove(self) -> None:
        for path in data_files(self.final):
            path.unlink(missing_ok=True)


def _lines(batch: pa.RecordBatch) -> Iterator[bytes]:
    """The payload of each record as a flat object with the id as its first key."""
    kinds, texts = batches.id_kinds(batch), batches.id_texts(batch).to_pylist()
    for kind, text, payload in zip(kinds, texts, batches.payloads(batch), strict=True):
        id_text = text.encode() if kind == IdKind.UINT64 else orjson.dumps(text)
        rest = b"}" if payload == b"{}" else b"," + payload[1:]
        yield b'{"id":' + id_text + rest + b"\n"
