"""Writing an index and its metadata. A flat index goes to the disk as it comes; FAISS builds any other from that.

FAISS holds integers as ids, nothing else. Where every id is one of 0 to 2^63 - 1 it is FAISS's id too (through an
IDMap2 unless the ids are the row numbers; inverted lists keep ids themselves). Otherwise FAISS's ids are row numbers,
and each metadata entry has the record's id under the key `id`.
"""

from __future__ import annotations

import io
import itertools
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from vecferry import batch as batches
from vecferry.model import IdKind, Metric, VectorField
from vecferry.stores.faiss_index.builder import build
from vecferry.stores.faiss_index.capabilities import METRIC_CODES
from vecferry.stores.faiss_index.layout import FLAT_CLASSES, header
from vecferry.stores.faiss_index.options import Kind, Options
from vecferry.stores.faiss_index.vectors import Ids

__all__ = ["write_index"]

_COPY_BYTES = 16 << 20
_MAP = b"IxM2"


def write_index(path: Path, rows: int, found: Iterator[pa.RecordBatch], field: VectorField, options: Options) -> None:
    """Write `rows` records: the index at `path`, and the metadata beside it under the name that `options` gives."""
    first = next(found, None)
    batches_ = found if first is None else itertools.chain([first], found)
    flat = _FlatFile(path, field, rows, mapped=options.kind is Kind.FLAT and first is not None and _own_ids(first))
    payloads = path.with_name(f".{path.name}.payloads")
    ids = _spread(batches_, flat, payloads)
    flat.close(ids if options.kind is Kind.FLAT else None)
    if options.kind is not Kind.FLAT:
        build(path, flat.floats(), np.arange(rows) if ids is None else ids, flat.metric, options)
    if options.metadata is not None:
        _write_metadata(path.with_name(options.metadata.name), payloads, ids)
    payloads.unlink()


def _spread(found: Iterator[pa.RecordBatch], flat: _FlatFile, payloads: Path) -> Ids | None:
    """Vectors to the index, ids and payloads aside: what the keys are is known when all have come.

    Gives the ids as FAISS holds them, 8 bytes a row, or None where one does not fit.
    """
    blocks: list[Ids | None] = [np.zeros(0, np.int64)]
    with pa.OSFile(str(payloads), "wb") as sink:
        writer: pa.RecordBatchStreamWriter | None = None
        for batch in found:
            texts = batch.select([batches.ID, batches.ID_KIND, batches.PAYLOAD])
            writer = writer or pa.ipc.new_stream(sink, texts.schema)
            writer.write_batch(texts)
            blocks.append(_integers(batch))
            flat.add(batches.dense_column(batch).values)
        if writer is not None:
            writer.close()
    whole = [block for block in blocks if block is not None]
    return np.concatenate(whole) if len(whole) == len(blocks) else None


def _integers(batch: pa.RecordBatch) -> Ids | None:
    if batches.single_kind(batch) is not IdKind.UINT64:
        return None
    found = batches.id_texts(batch).cast(pa.uint64())
    if pc.max(found).as_py() >= 2**63:
        return None
    numbers: Ids = found.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _natural(ids: Ids) -> bool:
    return bool(np.array_equal(ids, np.arange(len(ids))))


def _own_ids(first: pa.RecordBatch) -> bool:
    """Whether the first records look as if FAISS will need an IDMap2."""
    ids = _integers(first)
    return ids is not None and not _natural(ids)


class _FlatFile:
    """A flat index that grows by rows, with room for an IDMap2 before it where it is `mapped`."""

    def __init__(self, path: Path, field: VectorField, rows: int, *, mapped: bool) -> None:
        self.metric = METRIC_CODES[field.metric or Metric.SQUARED_EUCLID]
        self._path, self._mapped, self._shape = path, mapped, (rows, field.dimension or 0)
        head = self._header(FLAT_CLASSES.get(self.metric, b"IxFl")) + struct.pack("<Q", rows * self._shape[1])
        self._begin = len(head)
        self._stream = path.open("wb", buffering=0)
        self._stream.write((self._header(_MAP) if mapped else b"") + head)

    def _header(self, letters: bytes) -> bytes:
        return header(letters, self._shape[1], self._shape[0], self.metric)

    def add(self, values: npt.NDArray[np.generic]) -> None:
        self._write(self._stream, np.ascontiguousarray(values, dtype="<f4"))

    def _write(self, stream: io.FileIO, values: npt.NDArray[np.generic]) -> None:
        rest = values.reshape(-1).data.cast("B")
        while len(rest):
            rest = rest[stream.write(rest) :]

    def close(self, ids: Ids | None) -> None:
        """End the file; `ids` are FAISS's, None for row numbers."""
        if self._mapped:
            self._write_map(self._stream, np.arange(self._shape[0]) if ids is None else ids)
        self._stream.close()
        if not self._mapped and ids is not None and not _natural(ids):
            self._wrap(ids)

    def _write_map(self, stream: io.FileIO, ids: Ids) -> None:
        stream.write(struct.pack("<Q", len(ids)))
        self._write(stream, ids.astype("<i8"))

    def _wrap(self, ids: Ids) -> None:
        """Put an IDMap2 around an index that was written without: the first ids had looked like row numbers."""
        bare = self._path.rename(self._path.with_name(f".{self._path.name}.bare"))
        with bare.open("rb") as source, self._path.open("wb", buffering=0) as stream:
            stream.write(self._header(_MAP))
            shutil.copyfileobj(source, stream, _COPY_BYTES)
            self._write_map(stream, ids)
        bare.unlink()

    def floats(self) -> npt.NDArray[np.float32]:
        """The vectors, `(n, dim)`, mapped from the file."""
        if not self._shape[0]:
            return np.zeros(self._shape, dtype=np.float32)
        mapped: npt.NDArray[np.float32] = np.memmap(self._path, "<f4", "r", self._begin, self._shape)
        return mapped


def _write_metadata(path: Path, payloads: Path, ids: Ids | None) -> None:
    """One entry a row, keyed by FAISS's id."""
    with path.open("wb", buffering=1 << 20) as stream:
        stream.write(b"{")
        row = 0
        for batch in _laid_aside(payloads):
            keys = range(row, row + batch.num_rows) if ids is None else ids[row : row + batch.num_rows].tolist()
            entries = _entries(batch) if ids is None else batches.payloads(batch)
            lines = (b'"%d": %s' % (key, entry) for key, entry in zip(keys, entries, strict=True))
            stream.write((b",\n" if row else b"\n") + b",\n".join(lines))
            row += batch.num_rows
        stream.write(b"\n}\n")


def _laid_aside(payloads: Path) -> Iterator[pa.RecordBatch]:
    if payloads.stat().st_size:
        with pa.memory_map(str(payloads)) as source:
            yield from pa.ipc.open_stream(source)


def _entries(batch: pa.RecordBatch) -> Iterator[bytes]:
    """The payload of each record with the id as its first key."""
    kinds, texts = batches.id_kinds(batch), batches.id_texts(batch).to_pylist()
    for kind, text, payload in zip(kinds, texts, batches.payloads(batch), strict=True):
        id_text = text.encode() if kind == IdKind.UINT64 else orjson.dumps(text)
        yield b'{"id":' + id_text + (b"}" if payload == b"{}" else b"," + payload[1:])
