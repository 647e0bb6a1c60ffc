"""Chroma folders for tests: written by Chroma's own client, and what that client reads back from a copy."""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import numpy.typing as npt
from chromadb.config import Settings

from vecferry import canonical
from vecferry.stores.chroma.folder import ChromaFolder, FolderCollection, Rows

Floats = npt.NDArray[np.float32]
EVERYTHING = ["embeddings", "documents", "metadatas", "uris"]
PAGE_ROWS = 500


@dataclass(frozen=True)
class Content:
    """A collection as plain columns, in the order in which it was read."""

    ids: list[str]
    vectors: Floats
    documents: list[str | None]
    metadata: list[bytes]
    uris: list[str | None]


@contextlib.contextmanager
def client(path: Path, **where: str) -> Iterator[Any]:
    """Chroma's own client, closed at the end so that the folder is idle again."""
    opened = chromadb.PersistentClient(str(path), settings=Settings(anonymized_telemetry=False), **where)
    try:
        yield opened
    finally:
        opened.close()


def create(opened: Any, name: str, **hnsw: Any) -> Any:
    """A new collection with these index settings."""
    configuration = {"hnsw": hnsw} if hnsw else None
    return opened.create_collection(name, embedding_function=None, configuration=configuration)


def opened_collection(opened: Any, name: str) -> Any:
    """A collection that exists."""
    return opened.get_collection(name, embedding_function=None)


@contextlib.contextmanager
def copied(path: Path, scratch: Path) -> Iterator[Any]:
    """Chroma's client on a copy: it may write to what it opens."""
    copy = scratch / f"copy-{len(list(scratch.iterdir()))}"
    shutil.copytree(path, copy)
    with client(copy) as opened:
        yield opened


def by_chroma(path: Path, name: str, scratch: Path) -> Content:
    """What Chroma's client says is in a collection."""
    with copied(path, scratch) as opened:
        collection = opened_collection(opened, name)
        starts = range(0, max(collection.count(), 1), PAGE_ROWS)
        return content_of([collection.get(limit=PAGE_ROWS, offset=start, include=EVERYTHING) for start in starts])


def content_of(answers: Sequence[Any]) -> Content:
    """Answers of the client's `get` as columns."""
    return Content(
        ids=[text for answer in answers for text in answer["ids"]],
        vectors=_stack([np.asarray(answer["embeddings"], dtype=np.float32) for answer in answers]),
        documents=[text for answer in answers for text in answer["documents"]],
        metadata=[canonical.encode(value or {}) for answer in answers for value in answer["metadatas"]],
        uris=[text for answer in answers for text in answer["uris"]],
    )


def by_us(path: Path, name: str, *, slices: int = 1, batch_rows: int = 1000) -> Content:
    """What the folder reader says is in a collection."""
    with open_collection(path, name) as collection:
        ranges = collection.ranges(slices)
        return columns_of([rows for part in ranges for rows in collection.read(part, batch_rows=batch_rows)])


def columns_of(batches: Sequence[Rows]) -> Content:
    """Batches of the reader as columns."""
    return Content(
        ids=[text for rows in batches for text in rows.ids.to_pylist()],
        vectors=_stack([rows.vectors for rows in batches if rows.vectors is not None]),
        documents=[text for rows in batches for text in rows.documents.to_pylist()],
        metadata=[text.encode() for rows in batches for text in rows.metadata.to_pylist()],
        uris=[text for rows in batches for text in rows.uris.to_pylist()],
    )


def _stack(blocks: Sequence[Floats]) -> Floats:
    filled = [block for block in blocks if len(block)]
    return np.concatenate(filled) if filled else np.empty((0, 0), dtype=np.float32)


@contextlib.contextmanager
def open_collection(path: Path, name: str) -> Iterator[FolderCollection]:
    """One collection through the folder reader."""
    with ChromaFolder(path) as folder, contextlib.closing(folder.collection(name)) as collection:
        yield collection


def assert_same(ours: Content, theirs: Content) -> None:
    """The same records in the same order, vectors bit for bit."""
    assert ours.ids == theirs.ids
    assert ours.documents == theirs.documents
    assert ours.uris == theirs.uris
    assert ours.metadata == theirs.metadata
    assert ours.vectors.shape == theirs.vectors.shape
    assert np.array_equal(ours.vectors.view(np.uint32), theirs.vectors.view(np.uint32))


def file_hashes(path: Path) -> dict[str, str]:
    """Every file below a folder with the hash of its bytes."""
    files = (file for file in sorted(path.rglob("*")) if file.is_file())
    return {str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def change_database(path: Path, sql: str, *arguments: Any) -> None:
    """Change the sqlite file as no Chroma would."""
    with contextlib.closing(sqlite3.connect(path / "chroma.sqlite3")) as connection, connection:
        connection.execute(sql, arguments)


def metadata_for(chooser: random.Random, number: int) -> dict[str, Any] | None:
    """Metadata of every type that Chroma takes, with gaps, or none."""
    values: dict[str, Any] = {
        "number": number,
        "large": chooser.choice([2**63 - 1, -(2**63), 2**53 + 1, 0]),
        "score": chooser.choice([number / 7, 3.0, -0.0, 1e300, 4.95e-7, chooser.random()]),
        "flag": bool(number % 2),
        "text": chooser.choice(["", "plain", 'quo"te\\ \n\t\x01 \u2028', "ünïcödé 🦜", "null", "1"]),
        "tags": ["b", "a", f"t{number}"],
        "counts": [3, 1, number],
        "weights": [0.1, 2.0, number / 3],
        "switches": [True, False],
        "ключ.with[odd] chars": 1,
    }
    kept = {key: value for key, value in values.items() if chooser.random() < 0.6}
    return kept or None


def churn(collection: Any, chooser: random.Random, rows: int, dimension: int) -> None:
    """Change a collection of `record-0 ... record-(rows-1)` in every way that Chroma has."""
    numbers = np.random.default_rng(chooser.randrange(2**32))
    names = [f"record-{number}" for number in range(rows)]

    def vectors(count: int) -> Floats:
        return numbers.standard_normal((count, dimension)).astype(np.float32)

    gone = chooser.sample(names, rows // 10)
    collection.delete(ids=gone)
    back = gone[: len(gone) // 2]
    collection.add(ids=back, embeddings=vectors(len(back)), documents=[f"back {text}" for text in back])
    moved = chooser.sample(names, rows // 10)
    collection.update(ids=moved, embeddings=vectors(len(moved)))
    merged = chooser.sample(names, rows // 10)
    collection.upsert(
        ids=merged, embeddings=vectors(len(merged)), metadatas=[{"merged": 1, "number": 2.5}] * len(merged)
    )
    kept = [text for text in names if text not in gone]
    retyped = chooser.sample(kept, rows // 10)
    collection.update(
        ids=retyped, metadatas=[{"tags": "now text", "text": ["now", "a list"], "flag": None}] * len(retyped)
    )
    collection.update(ids=retyped[:5], embeddings=vectors(5), documents=["changed document"] * 5)
    collection.add(ids=kept[:5], embeddings=vectors(5), documents=["ignored"] * 5)
    collection.update(ids=["never there"], embeddings=vectors(1))
