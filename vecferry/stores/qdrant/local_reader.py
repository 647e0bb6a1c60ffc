"""Runs in a process of its own: reads the points of a local-mode database, which are pickles, and gives plain columns.

The request is JSON on stdin; the answer an Arrow stream of ids, float64 vectors and canonical payload texts on stdout,
and a last line of JSON on stderr: `{"outdated": n}`, or `{"error": ...}`. Before the first pickle is opened the process
gives up opening files and sockets, writing files, and its network; and unpickling makes nothing but data: the few
classes that local mode stores are replaced by inert ones of this module, any other is an error.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import importlib.abc
import io
import json
import os
import pickle
import re
import resource
import sqlite3
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pydantic_core

from vecferry import batch, canonical
from vecferry.batch import Dense, Multi, Sparse
from vecferry.model import DType, IdKind, VectorField, VectorKind

__all__ = ["MEMORY_BYTES", "Point", "Reading", "Unreadable", "main", "unpickled"]

MEMORY_BYTES = 4 << 30
_CPU_S = 3600
_BATCH_ROWS = 500
_PAYLOAD_BYTES, _VALUE_BYTES = 64 << 20, 16  # twice what a server takes in one request
_NEW_USER, _NEW_NET, _NO_NEW_PRIVILEGES = 0x10000000, 0x40000000, 38
_UUID = re.compile(
    r"(?:urn:uuid:)?\{?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\}?|[0-9a-f]{32}", re.IGNORECASE
)


class Unreadable(ValueError):
    """A stored point that is not what local mode writes."""


# Unpickling


class _Inert:
    """Stands for a model of the client: keeps what was stored, runs nothing."""

    def __setstate__(self, state: Any) -> None:
        found = state.get("__dict__", state) if isinstance(state, dict) else None
        if not isinstance(found, dict):
            raise Unreadable("a stored model has no fields")
        self.__dict__["fields"] = found

    @property
    def known(self) -> dict[str, Any]:
        """The stored fields; none where the pickle gave no state."""
        found: dict[str, Any] = self.__dict__.get("fields", {})
        return found


class Point(_Inert):
    """A stored `PointStruct`."""


class _Sparse(_Inert):
    """A stored `SparseVector`."""


class _Uuid(_Inert):
    """A stored `uuid.UUID`, whose state is its number."""

    def __str__(self) -> str:
        number = self.known.get("int")
        if type(number) is not int or not 0 <= number < 1 << 128:
            raise Unreadable("a stored UUID is none")
        return str(uuid.UUID(int=number))


_MODELS = "qdrant_client.http.models.models"
_ALLOWED: dict[tuple[str, str], Any] = {
    (_MODELS, "PointStruct"): Point,
    (_MODELS, "SparseVector"): _Sparse,
    ("uuid", "UUID"): _Uuid,
    ("datetime", "datetime"): datetime.datetime,
    ("datetime", "date"): datetime.date,
    ("datetime", "time"): datetime.time,
    ("datetime", "timedelta"): datetime.timedelta,
    ("datetime", "timezone"): datetime.timezone,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = _ALLOWED.get((module, name))
        if found is None:
            raise Unreadable(f"it asks for {module}.{name}, which local mode does not store")
        return found


def unpickled(raw: bytes) -> Point:
    """The point in a pickle. Raises Unreadable for anything but data of the kinds that local mode stores."""
    try:
        found = _Unpickler(io.BytesIO(raw)).load()
    except Unreadable:
        raise
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        OverflowError,
    ) as error:
        raise Unreadable(f"it is damaged: {error}") from error
    except (ImportError, RecursionError) as error:
        raise Unreadable(f"it is no plain data: {type(error).__name__}") from error
    if not isinstance(found, Point):
        raise Unreadable("it is no point")
    return found


# One point


def typed_id(value: Any) -> tuple[IdKind, str]:
    """The kind and canonical text of a stored id. Local mode checks none: -6, 2^64 and any text may be there."""
    if isinstance(value, _Uuid):
        return IdKind.UUID, str(value)
    if type(value) is int:
        if 0 <= value < 1 << 64:
            return IdKind.UINT64, str(value)
        if -(1 << 63) <= value < 0:
            return IdKind.INT64, str(value)
        raise Unreadable(f"its id {value} fits no integer of 64 bits")
    if isinstance(value, str):
        if _UUID.fullmatch(value):
            return IdKind.UUID, str(uuid.UUID(value))
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Unreadable("its id holds a lone surrogate") from error
        return IdKind.STRING, value
    raise Unreadable(f"its id is of type {type(value).__name__}")


def plain_payload(value: Any) -> Any:
    """A payload as the client shows it after opening: JSON types, with dates and UUIDs as text."""
    return _Plain().of(value)


class _Plain:
    """Turns a payload into plain JSON types, and stops where it swells: a pickle may name one list a million times."""

    def __init__(self) -> None:
        self._left_bytes = _PAYLOAD_BYTES

    def of(self, value: Any) -> Any:
        self._left_bytes -= _VALUE_BYTES + (len(value) if isinstance(value, str) else 0)
        if self._left_bytes < 0:
            raise Unreadable(f"its payload is larger than {_PAYLOAD_BYTES >> 20} MiB")
        if value is None or isinstance(value, str | bool | int | float):
            return value
        if isinstance(value, list | tuple):
            return [self.of(item) for item in value]
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, _Uuid):
            return str(value)
        if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
            return pydantic_core.to_jsonable_python(value)
        raise Unreadable(f"its payload holds a value of type {type(value).__name__}")

    def _object(self, value: dict[Any, Any]) -> dict[str, Any]:
        found = {_key(key): self.of(item) for key, item in value.items()}
        if len(found) < len(value):
            raise Unreadable("its payload has two keys that are one in JSON")
        return found


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if key is None or isinstance(key, bool | int | float):
        return str(next(iter(json.loads(json.dumps({key: None})))))
    raise Unreadable(f"its payload has a key of type {type(key).__name__}")


def named_vectors(value: Any) -> dict[str, Any]:
    """A point's vectors by name, without those that are None."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        return {"": value}
    return {name: item for name, item in value.items() if item is not None}


# Many points as columns


@dataclass(slots=True)
class _Columns:
    """Rows under way, by what becomes a column."""

    fields: Sequence[VectorField]
    kinds: list[IdKind] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    vectors: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, kind: IdKind, text: str, point: Point) -> None:
        """One row. Raises Unreadable."""
        given = named_vectors(point.known.get("vector"))
        self.payloads.append(canonical.encode(plain_payload(point.known.get("payload") or {})))
        self.kinds.append(kind)
        self.texts.append(text)
        for one in self.fields:
            self.vectors.setdefault(one.name, []).append(_PARTS[one.kind](given.pop(one.name, None), one))
        if given:
            raise Unreadable(f"it has the vector {next(iter(given))!r}, which the collection has not")

    def batch(self) -> pa.RecordBatch:
        """The rows as one batch."""
        arrays = {one.name: _ARRAYS[one.kind](self.vectors[one.name], one) for one in self.fields}
        made = batch.make(
            self.texts,
            self.kinds,
            vectors=arrays,
            documents=pa.nulls(len(self.texts), pa.string()),
            payloads=self.payloads,
        )
        return made.cast(batch.arrow_schema(self.fields))


def _dense(value: Any, one: VectorField) -> Any:
    if value is None:
        return None
    found = _numbers(value, one)
    if found.shape != (one.dimension,):
        raise Unreadable(f"vector {one.name!r} has the shape {found.shape}, not {one.dimension} numbers")
    return found


def _multi(value: Any, one: VectorField) -> Any:
    if value is None:
        return None
    found = _numbers(value, one)
    if found.ndim != 2 or found.shape[1] != one.dimension:
        raise Unreadable(f"multi-vector {one.name!r} has the shape {found.shape}, not rows of {one.dimension} numbers")
    return found


def _sparse(value: Any, one: VectorField) -> Any:
    if value is None:
        return None
    if not isinstance(value, _Sparse):
        raise Unreadable(f"vector {one.name!r} is not sparse")
    values = _numbers(value.known.get("values"), one)
    indices = value.known.get("indices")
    if not isinstance(indices, list) or values.shape != (len(indices),):
        raise Unreadable(f"sparse vector {one.name!r} has not as many indices as values")
    if not all(type(index) is int and 0 <= index < 1 << 32 for index in indices):
        raise Unreadable(f"sparse vector {one.name!r} has an index that is none")
    return np.array(indices, dtype=np.uint32), values


def _numbers(value: Any, one: VectorField) -> Any:
    try:
        found = np.array(value)
    except ValueError as error:
        raise Unreadable(f"vector {one.name!r} is no list of numbers") from error
    if found.dtype.kind not in "fiu" or not isinstance(value, list | tuple):
        raise Unreadable(f"vector {one.name!r} is no list of numbers")
    return found.astype(np.float64)


def _present(rows: list[Any]) -> Any:
    return np.array([row is not None for row in rows], dtype=np.bool_)


def _offsets(lengths: list[int]) -> Any:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def _dense_array(rows: list[Any], one: VectorField) -> pa.Array:
    given = [row for row in rows if row is not None]
    values = np.array(given, dtype=np.float64).reshape(len(given), one.dimension or 0)
    present = _present(rows)
    return batch.dense_array(Dense(values, present).full(), present)


def _multi_array(rows: list[Any], one: VectorField) -> pa.Array:
    given = [row for row in rows if row is not None]
    values = np.concatenate(given) if given else np.zeros((0, one.dimension or 0))
    return batch.multi_array(Multi(values, _offsets([0 if row is None else len(row) for row in rows]), _present(rows)))


def _sparse_array(rows: list[Any], one: VectorField) -> pa.Array:
    given = [row for row in rows if row is not None]
    indices = np.concatenate([row[0] for row in given]) if given else np.zeros(0, np.uint32)
    values = np.concatenate([row[1] for row in given]) if given else np.zeros(0)
    offsets = _offsets([0 if row is None else len(row[0]) for row in rows])
    return batch.sparse_array(Sparse(indices, values, offsets, _present(rows)))


_PARTS: dict[VectorKind, Callable[[Any, VectorField], Any]] = {
    VectorKind.DENSE: _dense,
    VectorKind.MULTI: _multi,
    VectorKind.SPARSE: _sparse,
}
_ARRAYS: dict[VectorKind, Callable[[list[Any], VectorField], pa.Array]] = {
    VectorKind.DENSE: _dense_array,
    VectorKind.MULTI: _multi_array,
    VectorKind.SPARSE: _sparse_array,
}


# The process


class Reading:
    """The points of one database, newest first; of several rows with one id the newest counts, as in the client."""

    def __init__(self, database: str, fields: Sequence[VectorField]) -> None:
        self._open = sqlite3.connect(f"file:{quote(database)}?mode=ro&immutable=1", uri=True)
        self._open.execute("SELECT count(*) FROM sqlite_master").fetchone()
        self._fields = fields
        self._seen: set[tuple[IdKind, str]] = set()
        self.outdated = 0

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Columns of at most `_BATCH_ROWS` rows. Raises Unreadable, naming the row or the id."""
        under_way = _Columns(self._fields)
        for rowid, raw in self._open.execute("SELECT rowid, point FROM points ORDER BY rowid DESC"):
            self._add(under_way, rowid, raw)
            if len(under_way.texts) == _BATCH_ROWS:
                yield under_way.batch()
                under_way = _Columns(self._fields)
        if under_way.texts:
            yield under_way.batch()

    def _add(self, under_way: _Columns, rowid: int, raw: Any) -> None:
        name = f"row {rowid}"
        try:
            if not isinstance(raw, bytes):
                raise Unreadable("it is no pickle")
            point = unpickled(raw)
            identity = typed_id(point.known.get("id"))
            name = f"record {identity[1]}"
            if identity in self._seen:
                self.outdated += 1
                return
            self._seen.add(identity)
            under_way.add(*identity, point)
        except Unreadable as error:
            raise Unreadable(f"{name}: {error}") from error
        except RecursionError as error:
            raise Unreadable(f"{name}: it is nested too deep") from error


def _give_up_rights() -> None:
    """From here on: no new file or socket, no written file, no child, no network, bounded memory and time."""
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: _CPU_S,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,
    }
    for name, largest in limits.items():
        with contextlib.suppress(ValueError, OSError):  # a container may allow even less
            resource.setrlimit(name, (largest, largest))


def _leave_network() -> None:
    """A network of its own, without any interface, where the system allows it: beyond the limits, a second wall."""
    system = ctypes.CDLL(None, use_errno=True)
    system.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if system.unshare(_NEW_USER | _NEW_NET):
        system.unshare(_NEW_NET)


class _NoPandas(importlib.abc.MetaPathFinder):
    """pyarrow imports pandas where it is installed, for nothing that is done here."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is not used here", name=fullname)


def _warm_up(fields: Sequence[VectorField]) -> None:
    """Make columns once, so that what is imported on first use is there before files can no longer be opened."""
    sys.meta_path.insert(0, _NoPandas())
    rows = _Columns(fields)
    rows.add(IdKind.UINT64, "0", Point())
    with pa.ipc.new_stream(io.BytesIO(), batch.arrow_schema(fields)) as nowhere:
        nowhere.write_batch(rows.batch())


def _fields(request: Any) -> list[VectorField]:
    return [VectorField(name, VectorKind(kind), DType.FLOAT64, size) for name, kind, size in request["vectors"]]


def main() -> None:
    """Answer the request on stdin, then end: 0, or 3 with a line that says why."""
    request = json.load(sys.stdin)
    fields = _fields(request)
    try:
        reading = Reading(request["database"], fields)
        _warm_up(fields)
        _leave_network()
        _give_up_rights()
        with pa.ipc.new_stream(sys.stdout.buffer, batch.arrow_schema(fields)) as answer:
            for found in reading.batches():
                answer.write_batch(found)
        sys.stdout.buffer.flush()
    except (Unreadable, sqlite3.Error) as error:
        _say({"error": str(error)}, 3)
    except MemoryError:
        _say({"error": f"reading it takes more than {MEMORY_BYTES >> 30} GiB of memory"}, 3)
    _say({"outdated": reading.outdated}, 0)


def _say(last: dict[str, Any], status: int) -> None:
    os.write(2, json.dumps(last).encode() + b"\n")
    os._exit(status)
