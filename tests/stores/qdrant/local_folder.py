"""Folders of local mode for tests: made by the client, or written into as another program would."""

from __future__ import annotations

import hashlib
import pickle
import sqlite3
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from qdrant_client import QdrantClient, models

from vecferry.address import Address, parse
from vecferry.model import CollectionSchema, DType, Metric, VectorField, VectorKind
from vecferry.stores import registry
from vecferry.stores.qdrant.local_reader import Reading

__all__ = ["at", "client_of", "described", "digests", "make", "pickle_of", "read_here", "write_rows"]


def at(folder: Path, collection: str = "docs", *, trusted: bool = True) -> Address:
    """A collection of a folder."""
    return replace(parse(f"qdrant+path://{folder}/{quote(collection, safe='')}"), trusted=trusted)


def client_of(folder: Path) -> QdrantClient:
    """The client, whose database need not survive a power cut in a test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return QdrantClient(path=str(folder))


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder, and when it was changed."""
    return {
        str(path.relative_to(folder)): f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.stat().st_mtime_ns}"
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def described(folder: Path, collection: str = "docs") -> CollectionSchema:
    """The schema of a collection."""
    with registry.open_source(at(folder, collection)) as source:
        return source.describe()


def make(folder: Path, points: list[Any], **config: Any) -> None:
    """A collection of two dimensions with these points."""
    client = client_of(folder)
    wanted = {"vectors_config": models.VectorParams(size=2, distance=models.Distance.COSINE), **config}
    client.create_collection("docs", **wanted)
    if points:
        client.upsert("docs", points)
    client.close()


def write_rows(folder: Path, rows: list[tuple[str, bytes]], collection: str = "docs") -> None:
    """Rows as another program, or another version of the client, would leave them."""
    with sqlite3.connect(folder / "collection" / collection / "storage.sqlite") as database:
        database.executemany("INSERT INTO points VALUES (?, ?)", rows)
    database.close()


def pickle_of(key: Any, vector: Any = (1.0, 2.0), payload: Any = None) -> bytes:
    """A point as clients pickle it."""
    vector = list(vector) if isinstance(vector, tuple) else vector
    return pickle.dumps(models.PointStruct.model_construct(id=key, vector=vector, payload=payload))


def read_here(folder: Path) -> list[pa.RecordBatch]:
    """Every point of `docs` by the reader's own code, in this process: quicker, where that is not the question."""
    field = VectorField("", VectorKind.DENSE, DType.FLOAT64, 2, Metric.COSINE)
    return list(Reading(str(folder / "collection" / "docs" / "storage.sqlite"), [field]).batches())
