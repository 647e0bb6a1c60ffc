"""One look through a JSON file: what its records hold and where each stands. Rows are read from there."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as batches
from vecferry import hashing
from vecferry.errors import BadOption, BadRecord
from vecferry.model import CollectionSchema, DType, IdKind, Part, VectorField
from vecferry.stores.file_store import FileMark, FileView, IdIndex
from vecferry.stores.json_splitter import Malformed
from vecferry.stores.jsonl import vectors
from vecferry.stores.jsonl.detecting import Ambiguous, detect
from vecferry.stores.jsonl.dialects import Dialect, Texts, records, spans_of, words
from vecferry.stores.jsonl.points import Point, Rules, read_record

__all__ = ["JsonView"]

_BLOCK_ROWS = 10_000
_ABSENT = (0, b"")


class _Scan:
    """What one pass over a file gathers; ids are hashed in blocks."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.shapes = vectors.Shapes()
        self.kinds: set[str] = set()
        self.has_document = False
        self.hashes: list[npt.NDArray[np.uint8]] = []
        self._blocks: list[npt.NDArray[np.int64]] = []
        self._columns = tuple(columns)
        self._places: list[list[int]] = []
        self._ids: list[tuple[bytes, str]] = []

    def see(self, texts: Texts, point: Point) -> None:
        """Take one record in."""
        self.shapes.see(point.vector)
        self.has_document = self.has_document or point.document is not None
        self._ids.append((point.text.encode(), point.kind.value))
        found = (texts.get(name, _ABSENT) for name in self._columns)
        self._places.append([number for start, text in found for number in (start, start + len(text))])
        if len(self._ids) == _BLOCK_ROWS:
            self._flush()

    def places(self) -> npt.NDArray[np.int64]:
        """`(n, 2 * columns)`: start and end of each text of each record, in bytes."""
        self._flush()
        width = 2 * len(self._columns)
        return np.concatenate(self._blocks) if self._blocks else np.zeros((0, width), dtype=np.int64)

    def _flush(self) -> None:
        if not self._ids:
            return
        texts, kinds = zip(*self._ids, strict=True)
        self.kinds.update(kinds)
        self.hashes.append(hashing.hash_ids(texts, kinds))
        self._blocks.append(np.array(self._places, dtype=np.int64))
        self._ids, self._places = [], []


class JsonView(FileView):
    """A JSON file as it was when this was made. Making it reads the file once; memory is some 50 bytes a record."""

    def __init__(
        self,
        url: str,
        path: Path,
        mark: FileMark | None,
        dtype: DType,
        ignored: frozenset[str],
        dialect: Dialect | None,
    ) -> None:
        """`dialect` is None where the content tells it. Raises BadRecord, and BadOption where it does not tell."""
        self._url, self._path = url, path
        dialect = self._detect(ignored) if dialect is None else dialect
        tagged = mark is not None and mark.notation.get("payload") == "canonical"
        self._rules = Rules(dialect, tagged, ignored)
        self._columns = spans_of(dialect)
        notes: list[str] = []
        scan = self._scan(notes)
        self._places = scan.places()
        self._index = IdIndex(scan.hashes)
        self.rows = len(self._places)
        fields = mark.vectors if mark is not None else self._fields(scan, dtype)
        self._known = frozenset(field.name for field in fields)
        self._size = path.stat().st_size
        self.schema = self._schema(scan, fields, mark, notes)

    def _detect(self, ignored: frozenset[str]) -> Dialect:
        try:
            return detect(self._path, ignored)
        except Malformed as error:
            self._refuse(str(error), error.offset)
        except Ambiguous as error:
            choices = " or ".join(f"?dialect={dialect}" for dialect in error.dialects)
            raise BadOption(f"{self._url}: {error}", advice=f"say which with {choices}") from error

    def _scan(self, notes: list[str]) -> _Scan:
        scan = _Scan(self._columns)
        try:
            for texts in records(self._path, self._rules.dialect, self._rules.ignored, notes):
                point = self._read_one(texts)
                try:
                    scan.see(texts, point)
                except ValueError as error:
                    self._refuse(str(error), _offset(texts))
        except Malformed as error:
            self._refuse(str(error), error.offset)
        return scan

    def _fields(self, scan: _Scan, dtype: DType) -> tuple[VectorField, ...]:
        try:
            return scan.shapes.fields(dtype)
        except ValueError as error:
            raise BadRecord(f"{self._url}: {error}") from error

    def _schema(
        self, scan: _Scan, fields: tuple[VectorField, ...], mark: FileMark | None, notes: list[str]
    ) -> CollectionSchema:
        missing = max((scan.shapes.rows - scan.shapes.present.get(field.name, 0) for field in fields), default=0)
        if mark is None and fields:
            notes.append(f"numbers in JSON are decimal text: each is read as the nearest {fields[0].dtype}")
        return CollectionSchema(
            self._path.name,
            fields,
            frozenset(IdKind(kind) for kind in scan.kinds),
            scan.has_document,
            missing_vectors=missing,
            dialect=words(self._rules.dialect),
            notes=tuple(notes),
        )

    # Reading

    def read(self, start: int, stop: int, parts: frozenset[Part]) -> pa.RecordBatch:
        with self._path.open("rb") as stream:
            found = [self._block(stream, at, start, stop) for at in range(len(self._columns))]
        return self._batch([dict(zip(self._columns, row, strict=True)) for row in zip(*found, strict=True)], parts)

    def _block(self, stream: BinaryIO, at: int, start: int, stop: int) -> list[tuple[int, bytes]]:
        """One column's texts of some rows, from one read."""
        starts, ends = self._places[start:stop, 2 * at].tolist(), self._places[start:stop, 2 * at + 1].tolist()
        first = min(starts)
        stream.seek(first)
        block = stream.read(max(ends) - first)
        return [(place, block[place - first : end - first]) for place, end in zip(starts, ends, strict=True)]

    def take(self, rows: npt.NDArray[np.int64], parts: frozenset[Part]) -> pa.RecordBatch:
        found: list[Texts] = []
        with self._path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for places in self._places[rows].tolist():
                spans = zip(places[::2], places[1::2], strict=True)
                found.append({name: (s, content[s:e]) for name, (s, e) in zip(self._columns, spans, strict=True)})
        return self._batch(found, parts)

    def index(self) -> IdIndex:
        return self._index

    def fingerprint(self, start: int, stop: int) -> str:
        found = self._path.stat()
        return f"{self._path.name}:{found.st_size}:{found.st_mtime_ns}"

    def borders(self, start: int, stop: int) -> dict[str, int]:
        return {"first_byte": int(self._places[start, 0]), "end_byte": int(self._places[stop - 1, 1])}

    def _batch(self, rows: list[Texts], parts: frozenset[Part]) -> pa.RecordBatch:
        points = [self._read_one(texts) for texts in rows]
        columns = self._vectors(rows, points) if Part.VECTORS in parts else None
        return batches.make(
            [point.text for point in points],
            [point.kind for point in points],
            vectors=columns,
            documents=[point.document for point in points] if Part.DOCUMENT in parts else None,
            payloads=[point.payload for point in points] if Part.PAYLOAD in parts else None,
        )

    def _vectors(self, rows: list[Texts], points: list[Point]) -> dict[str, pa.Array]:
        try:
            found = [vectors.named(point.vector, self._known) for point in points]
            return {
                field.name: vectors.column(field, [row.get(field.name) for row in found])
                for field in self.schema.vectors
            }
        except vectors.BadRow as error:
            self._refuse(str(error), _offset(rows[error.row]))

    def _read_one(self, texts: Texts) -> Point:
        try:
            return read_record(self._given(texts), self._rules)
        except ValueError as error:
            self._refuse(str(error), _offset(texts))

    def _given(self, texts: Texts) -> Texts:
        return {name: found for name, found in texts.items() if found[1]}

    def _refuse(self, problem: str, offset: int) -> NoReturn:
        """Raise BadRecord with the number of the line on which the record starts."""
        raise BadRecord(
            f"{self._url}, line {_line(self._path, offset)}: {problem}",
            advice="repair or remove the record; the source itself is never written",
        )


def _offset(texts: Texts) -> int:
    """Where a record stands: its first text."""
    return next(iter(texts.values()))[0]


def _line(path: Path, offset: int) -> int:
    """The number of the line in which a byte is; counted only when an error needs it."""
    line = 1
    with path.open("rb") as stream:
        while offset > 0:
            block = stream.read(min(offset, 1 << 20))
            if not block:
                break
            line += block.count(b"\n")
            offset -= len(block)
    return line
