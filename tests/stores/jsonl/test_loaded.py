"""Files of the forms of others, given to the programs that they are for, and what those programs give, read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import chromadb
import httpx
import numpy as np
from chromadb.config import Settings
from qdrant_client import QdrantClient, models

from tests.stores.jsonl.forms import Record, written
from tests.support.qdrant_server import QdrantServer
from vecferry.address import parse
from vecferry.model import IdKind, RecordId
from vecferry.stores import registry
from vecferry.testing.rows import read_all, rows_of


def chroma() -> Any:
    """An empty collection of Chroma, in memory."""
    client = chromadb.EphemeralClient(Settings(anonymized_telemetry=False))
    return client.get_or_create_collection("forms", embedding_function=None)


def test_chroma_takes_the_columns_and_its_answer_is_read(tmp_path: Path) -> None:
    """The document is given to `add` as it stands, and what `get` gives back is the same collection."""
    rows = [
        Record("a", [0.1, -2.5], {}, None),
        Record("b", [1 / 3, 1e-7], {"k": [1, 2], "n": 2**53 + 1, "t": "ü", "b": True, "f": 0.5}, ""),
        Record("c", [3.0, 4.0], {"words": ["a", ""]}, 'quo"te\n'),
    ]
    batch, path = written("chroma", rows, tmp_path / "columns.json")
    collection = chroma()
    collection.add(**json.loads(path.read_text()))
    found = collection.get(include=["embeddings", "documents", "metadatas"])
    answer = {**found, "embeddings": np.asarray(found["embeddings"]).tolist()}
    (tmp_path / "answer.json").write_text(json.dumps({key: answer[key] for key in answer if key != "included"}))
    with registry.open_source(parse(f"jsonl://{tmp_path}/answer.json")) as source:
        assert source.describe().dialect == "Chroma columns"
        assert read_all(source) == rows_of([batch])


def test_qdrant_takes_the_points_and_its_answer_is_read(tmp_path: Path) -> None:
    """The points of a dump are given to Qdrant's REST API as they stand, and its scroll is read as the same dump."""
    uuid = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
    rows = [Record(7, [0.1, -2.5], {}), Record(uuid, [1 / 3, 1e-7], {"n": [1, None], "o": {"f": 0.5}})]
    batch, path = written("qdrant", rows, tmp_path / "dump.json")
    points = json.loads(path.read_text())["result"]["points"]
    with QdrantServer(tmp_path / "server") as server:
        client = QdrantClient(url=server.url, check_compatibility=False)
        client.create_collection("forms", models.VectorParams(size=2, distance=models.Distance.DOT))
        client.close()
        place = f"{server.url}/collections/forms/points"
        httpx.put(place, params={"wait": "true"}, json={"points": points}).raise_for_status()
        answer = httpx.post(f"{place}/scroll", json={"with_vector": True, "with_payload": True, "limit": 10})
    (tmp_path / "answer.json").write_bytes(answer.content)
    with registry.open_source(parse(f"jsonl://{tmp_path}/answer.json")) as source:
        assert source.describe().dialect == "Qdrant scroll dump"
        assert set(read_all(source)) == {RecordId(IdKind.UINT64, "7"), RecordId(IdKind.UUID, uuid)}
        assert read_all(source) == rows_of([batch])
