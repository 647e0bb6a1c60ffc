"""Records as plain Python values, drawn within what a form can say, and files of each form read without the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import parse
from vecferry.model import CollectionSchema, DType, IdKind, VectorField, VectorKind
from vecferry.stores import registry

__all__ = ["CONTENT", "FORMS", "Record", "records", "written"]

FORMS = ("points", "qdrant", "list", "chroma", "cdp")
DIMENSION = 2


@dataclass
class Record:
    """One record; `vector` is float32 numbers as Python's floats."""

    id: Any
    vector: list[float] | None
    payload: dict[str, Any] = field(default_factory=dict)
    document: str | None = None

    def bits(self) -> tuple[object, ...]:
        """All of it, so that 1, 1.0 and True, 0.0 and -0.0 are told apart."""
        vector = None if self.vector is None else np.array(self.vector, dtype=np.float32).tobytes()
        return type(self.id), self.id, vector, canonical.encode(self.payload), self.document


def _points(points: list[dict[str, Any]]) -> Iterator[Record]:
    for point in points:
        yield Record(point["id"], point.get("vector") or None, point.get("payload") or {}, point.get("document"))


def _columns(content: str) -> Iterator[Record]:
    found = json.loads(content)
    rows = zip(found["ids"], found["embeddings"], found["metadatas"], found["documents"], strict=True)
    for record_id, vector, metadata, document in rows:
        yield Record(record_id, vector, metadata or {}, document)


def _cdp(content: str) -> Iterator[Record]:
    for line in content.split("\n")[:-1]:
        found = json.loads(line)
        yield Record(found["id"], found["embedding"], found["metadata"] or {}, found["text_chunk"])


CONTENT: dict[str, Callable[[str], Iterator[Record]]] = {
    "points": lambda content: _points([json.loads(line) for line in content.split("\n")[:-1]]),
    "qdrant": lambda content: _points(json.loads(content)["result"]["points"]),
    "list": lambda content: _points(json.loads(content)),
    "chroma": _columns,
    "cdp": _cdp,
}
"""How a program in Python reads each form."""

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ["b'", '"', "\\", "\\'", "{'a': 1}", "\n", "\x00", "\u2028", "ids", "embedding", ":", "true"]
)
_KEYS = _TEXT.filter(lambda key: key and not key.startswith(("#", "$", "chroma:")))
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_INT64 = st.integers(-(2**63), 2**63 - 1)
_SCALARS = st.booleans() | _INT64 | _FLOATS | _TEXT
_LISTS = st.one_of(*(st.lists(kind, min_size=1, max_size=3) for kind in (st.booleans(), _INT64, _FLOATS, _TEXT)))
_ANY = st.recursive(
    st.none() | _SCALARS | st.integers(2**63, 2**64 - 1),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=6,
)
_VALUES = {"points": _ANY, "qdrant": _ANY, "list": _ANY, "chroma": _SCALARS | _LISTS, "cdp": _SCALARS}
_TEXT_IDS = _TEXT.filter(bool)
_IDS = {
    "points": st.integers(-(2**63), 2**64 - 1) | _TEXT,
    "qdrant": st.integers(0, 2**64 - 1) | st.uuids().map(str),
    "list": st.integers(0, 2**64 - 1) | st.uuids().map(str),
    "chroma": _TEXT_IDS,
    "cdp": _TEXT_IDS,
}
_VECTORS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=DIMENSION, max_size=DIMENSION)


@st.composite
def records(draw: st.DrawFn, dialect: str) -> list[Record]:
    """Up to five records within what a form can say."""
    ids = draw(st.lists(_IDS[dialect], max_size=5, unique_by=lambda found: (type(found), found)))
    text_only = dialect in ("chroma", "cdp")
    vectors = _VECTORS if text_only else st.none() | _VECTORS
    documents = st.none() if dialect in ("qdrant", "list") else st.none() | _TEXT
    payloads = st.dictionaries(_KEYS, _VALUES[dialect], max_size=3)
    return [Record(found, draw(vectors), draw(payloads), draw(documents)) for found in ids]


def written(dialect: str, rows: list[Record], path: Path) -> tuple[pa.RecordBatch, Path]:
    """Write the records as a target of a form: their batch, and the file."""
    present = np.array([row.vector is not None for row in rows], dtype=np.bool_)
    values = np.array([row.vector or [0.0] * DIMENSION for row in rows], dtype=np.float32).reshape(-1, DIMENSION)
    batch = batches.make(
        [str(row.id) for row in rows],
        [_kind(row.id, uuids=dialect in ("qdrant", "list")) for row in rows],
        vectors={"": batches.dense_array(values, present)},
        documents=[row.document for row in rows],
        payloads=[canonical.encode(row.payload) for row in rows],
    )
    with registry.open_target(parse(f"jsonl://{path}?dialect={dialect}")) as target:
        field_ = VectorField("", VectorKind.DENSE, DType.FLOAT32, DIMENSION)
        target.create(CollectionSchema("f", (field_,), target.capabilities().id_kinds), {"made": "by a test"})
        with target.bulk_load():
            target.write(batch)
    return batch, path


def _kind(value: Any, *, uuids: bool) -> IdKind:
    if isinstance(value, int):
        return IdKind.UINT64 if value >= 0 else IdKind.INT64
    return IdKind.UUID if uuids and str(UUID(value)) == value else IdKind.STRING
