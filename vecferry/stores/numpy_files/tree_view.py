"""Reading a tree of vectors by the place of each in the sorted listing."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from vecferry import batch as batches
from vecferry import hashing
from vecferry.errors import BadOption, BadRecord, DataDiffer
from vecferry.model import CollectionSchema, DType, IdKind, Part, VectorField, VectorKind
from vecferry.stores.file_store import FileMark, FileView, IdIndex
from vecferry.stores.json_text import object_text
from vecferry.stores.numpy_files.arrays import Header, Numbers, check_size, parse_header
from vecferry.stores.numpy_files.listing import Listing
from vecferry.stores.numpy_files.names import id_of

__all__ = ["TreeView"]


class TreeView(FileView):
    """The files below a folder as they were listed when this was made."""

    def __init__(self, url: str, root: Path, mark: FileMark | None, by_path: bool) -> None:
        self._url, self._root, self._by_path = url, str(root), by_path
        self._listing = Listing(root)
        self.rows = self._listing.rows
        notation = {} if mark is None else mark.notation
        self._encoded = notation.get("names") == "percent"
        self._tagged = notation.get("payload") == "canonical"
        self._headers: dict[bytes, Header] = {}
        vectors = self._seen_fields() if mark is None else mark.vectors
        self.schema = CollectionSchema(
            root.name,
            vectors,
            frozenset({IdKind.STRING}),
            dialect=f"one .npy file a vector, id = {'file name, decoded' if self._encoded else self._id_words()}",
            notes=tuple(self._notes()),
        )

    def _id_words(self) -> str:
        return "relative path" if self._by_path else "file stem"

    def _seen_fields(self) -> tuple[VectorField, ...]:
        """The vector as the first file has it; each other file must agree when it is read."""
        if not self.rows:
            return ()
        values, dtype = self._load(self._listing.name(0))
        return (VectorField("", VectorKind.DENSE, dtype, len(values)),)

    def _notes(self) -> list[str]:
        notes = []
        if self._listing.payloads_alone:
            notes.append(f"{self._listing.payloads_alone} .json files have no .npy beside them and are no records")
        if self._listing.links:
            notes.append(f"{self._listing.links} folders behind links were not followed")
        if self._collision:
            notes.append(f"{self._collision}; reading needs ?id=path, which takes the relative path as the id")
        return notes

    # Ids

    def _ids(self, names: Sequence[str]) -> list[str]:
        if self._encoded:
            return [self._decoded(name) for name in names]
        return list(names) if self._by_path else [name.rpartition("/")[2] for name in names]

    def _decoded(self, name: str) -> str:
        try:
            return id_of(name)
        except ValueError:
            raise BadRecord(
                f"{self._root}/{name}.npy is not a file name that vecferry writes", advice="move it out of the folder"
            ) from None

    @cached_property
    def _hashes(self) -> list[npt.NDArray[np.uint8]]:
        found = []
        for names in self._listing.blocks():
            ids = [text.encode() for text in self._ids(names)]
            found.append(hashing.hash_ids(ids, [IdKind.STRING.value] * len(ids)))
        return found

    @cached_property
    def _collision(self) -> str:
        """Two files of one stem, in words; "" where there are none."""
        if self._encoded or self._by_path:
            return ""
        pair = IdIndex(self._hashes).twins()
        if pair is None:
            return ""
        first, second = (f"{self._listing.name(row)}.npy" for row in pair)
        return f"{first} and {second} have the same stem"

    def index(self) -> IdIndex:
        return self._index

    @cached_property
    def _index(self) -> IdIndex:
        return IdIndex(self._hashes)

    # Reading

    def read(self, start: int, stop: int, parts: frozenset[Part]) -> pa.RecordBatch:
        return self._batch(self._listing.names(start, stop), parts)

    def take(self, rows: npt.NDArray[np.int64], parts: frozenset[Part]) -> pa.RecordBatch:
        return self._batch([self._listing.name(row) for row in rows.tolist()], parts)

    def _batch(self, names: list[str], parts: frozenset[Part]) -> pa.RecordBatch:
        if self._collision:
            raise BadOption(f"{self._url}: {self._collision}", advice=f"{self._url}?id=path takes the path as the id")
        return batches.make(
            self._ids(names),
            IdKind.STRING,
            vectors={"": batches.dense_array(self._matrix(names))} if Part.VECTORS in parts else None,
            documents=[None] * len(names) if Part.DOCUMENT in parts else None,
            payloads=[self._payload(name) for name in names] if Part.PAYLOAD in parts else None,
        )

    def _matrix(self, names: list[str]) -> Numbers:
        field = self.schema.vectors[0]
        dimension = field.dimension or 0
        out = np.empty((len(names), dimension), dtype=field.dtype.value)
        for row, name in enumerate(names):
            values, dtype = self._load(name)
            if dtype is not field.dtype or len(values) != dimension:
                raise BadRecord(
                    f"{self._root}/{name}.npy holds {len(values)} numbers of {dtype}, "
                    f"the collection has {dimension} of {field.dtype}"
                )
            out[row] = values
        return out

    def _load(self, name: str) -> tuple[Numbers, DType]:
        """The numbers of one file, and their type."""
        path = f"{self._root}/{name}.npy"
        content = self._content(path)
        header = self._header(content, path)
        check_size(header, len(content), path)
        if len(header.shape) != 1 and (len(header.shape) != 2 or header.shape[0] != 1):
            raise BadRecord(
                f"{path} has the shape {header.shape}; in a tree each file holds one vector",
                advice="a 2-D array is a collection of its own: numpy:///DIR/FILE.npy",
            )
        return np.frombuffer(content, header.stored, offset=header.offset), header.dtype

    def _header(self, content: bytes, path: str) -> Header:
        """The header, parsed once for all files that begin alike."""
        length = 10 + int.from_bytes(content[8:10], "little")
        start = content[:length]
        found = self._headers.get(start)
        if found is None:
            found = self._headers[start] = parse_header(content, path)
        return found

    def _content(self, path: str) -> bytes:
        try:
            with open(path, "rb", buffering=0) as stream:  # noqa: PTH123  # a Path for each of a million files is slow
                return stream.read()
        except FileNotFoundError as error:
            raise DataDiffer(f"{path} went away while it was read") from error

    def _payload(self, name: str) -> bytes:
        path = f"{self._root}/{name}.json"
        try:
            with open(path, "rb", buffering=0) as stream:  # noqa: PTH123  # as above
                text = stream.read()
        except FileNotFoundError:
            return b"{}"
        try:
            return object_text(text.strip().removeprefix(b"\xef\xbb\xbf"), tagged=self._tagged)
        except ValueError as error:
            raise BadRecord(f"{path}: {error}", advice="a sidecar must be one JSON object") from error

    def fingerprint(self, start: int, stop: int) -> str:
        found = xxhash.xxh3_128()
        for at in range(start, stop, 10_000):
            for name in self._listing.names(at, min(at + 10_000, stop)):
                found.update("\0".join((name, *self._stamps(name))).encode())
        return f"{stop - start}:{found.hexdigest()}"

    def _stamps(self, name: str) -> list[str]:
        stamps = []
        for suffix in (".npy", ".json"):
            with contextlib.suppress(FileNotFoundError):
                stat = os.stat(f"{self._root}/{name}{suffix}")  # noqa: PTH116  # as above
                stamps.append(f"{suffix}:{stat.st_size}:{stat.st_mtime_ns}")
        return stamps
