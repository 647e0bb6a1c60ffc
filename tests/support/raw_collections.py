"""Collections of each kind, written by their engine's own client: nothing of vecferry has touched them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chromadb
import faiss
import numpy as np
import numpy.typing as npt
from chromadb.config import Settings
from milvus_lite.server_manager import server_manager_instance
from pymilvus import DataType, MilvusClient
from qdrant_client import QdrantClient
from qdrant_client import models as qdrant
from qdrant_edge import Distance, EdgeConfig, EdgeShard, EdgeVectorParams, Point, UpdateOperation

__all__ = ["KINDS", "ONLY_READ", "Place", "RawData", "generate", "make_source", "target_url"]

KINDS = ("numpy", "numpy-tree", "jsonl", "faiss", "qdrant+edge", "qdrant", "chroma+path", "chroma", "milvus+path")

ONLY_READ = ("qdrant+path",)
"""Kinds that are sources and never targets."""


@dataclass(frozen=True)
class RawData:
    """`n` records as a user has them: `vectors` `(n, dim) float32`, flat payloads, and texts (some absent)."""

    vectors: npt.NDArray[np.float32]
    payloads: list[dict[str, Any]]
    texts: list[str | None]

    def __len__(self) -> int:
        return len(self.payloads)

    def with_text(self, number: int) -> dict[str, Any]:
        """The payload with the text in it, for stores that have no documents."""
        text = self.texts[number]
        return self.payloads[number] | ({} if text is None else {"text": text})


@dataclass(frozen=True)
class Place:
    """Where collections can be made: a folder, and the ports of running servers."""

    folder: Path
    qdrant_port: int = 0
    qdrant_rest_port: int = 0
    chroma_port: int = 0


def generate(rows: int, dimension: int, seed: int = 0) -> RawData:
    """Mixed payloads: text, integers near 2^53, prices that engines round, booleans, lists, accents."""
    numbers = np.random.default_rng(seed)
    vectors = numbers.normal(size=(rows, dimension)).astype(np.float32)
    prices = (numbers.random(rows) * 1000).tolist()
    payloads = [
        {
            "title": f"Zürich № {number}",
            "year": 1990 + number % 35,
            "views": 2**53 + number,
            "price": prices[number],
            "public": number % 3 == 0,
            "tags": [f"t{number % 7}", "all"],
        }
        for number in range(rows)
    ]
    texts = [None if number % 11 == 0 else f"Paragraph {number}: çà et là, 日本" for number in range(rows)]
    return RawData(vectors, payloads, texts)


def make_source(kind: str, place: Place, name: str, data: RawData) -> str:
    """Write a collection with the engine's own client; its URL for vecferry."""
    return _MAKERS[kind](place, name, data)


def target_url(kind: str, place: Place, name: str) -> str:
    """The URL of a collection that does not exist yet."""
    return {
        "numpy": f"numpy://{place.folder}/{name}/vectors.npy",
        "numpy-tree": f"numpy://{place.folder}/{name}",
        "jsonl": f"jsonl://{place.folder}/{name}.jsonl",
        "faiss": f"faiss://{place.folder}/{name}.index",
        "qdrant+edge": f"qdrant+edge://{place.folder}/edge/{name}",
        "qdrant": f"qdrant://127.0.0.1:{place.qdrant_port}/{name}?rest_port={place.qdrant_rest_port}",
        "chroma+path": f"chroma+path://{place.folder}/chroma-{name}/{name}",
        "chroma": f"chroma://127.0.0.1:{place.chroma_port}/{name}",
        "milvus+path": f"milvus+path://{place.folder}/milvus-{name}/{name.replace('-', '_')}",
    }[kind]


def _numpy(place: Place, name: str, data: RawData) -> str:
    folder = place.folder / name
    folder.mkdir(parents=True)
    np.save(folder / "vectors.npy", data.vectors)
    lines = (json.dumps({"id": f"doc-{number}", **data.with_text(number)}) for number in range(len(data)))
    (folder / "vectors.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return f"numpy://{folder}/vectors.npy"


def _numpy_tree(place: Place, name: str, data: RawData) -> str:
    folder = place.folder / name
    folder.mkdir(parents=True)
    for number in range(len(data)):
        np.save(folder / f"doc-{number}.npy", data.vectors[number])
        (folder / f"doc-{number}.json").write_text(json.dumps(data.with_text(number)))
    return f"numpy://{folder}"


def _jsonl(place: Place, name: str, data: RawData) -> str:
    path = place.folder / f"{name}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lines:
        for number in range(len(data)):
            vector = data.vectors[number].tolist()
            record = {"id": f"doc-{number}", "vector": vector, "payload": data.with_text(number)}
            lines.write(json.dumps(record) + "\n")
    return f"jsonl://{path}"


def _faiss(place: Place, name: str, data: RawData) -> str:
    path = place.folder / f"{name}.index"
    path.parent.mkdir(parents=True, exist_ok=True)
    index = faiss.IndexFlatL2(data.vectors.shape[1])
    index.add(data.vectors)
    faiss.write_index(index, str(path))
    metadata = {str(number): data.with_text(number) for number in range(len(data))}
    path.with_suffix(".json").write_text(json.dumps(metadata))
    return f"faiss://{path}"


def _id_of(number: int) -> int | str:
    """Half integers, half UUIDs, as Qdrant collections mix them."""
    return number if number % 2 else str(uuid.UUID(int=number, version=4))


def _edge(place: Place, name: str, data: RawData) -> str:
    folder = place.folder / "edge" / name
    folder.mkdir(parents=True)
    size = data.vectors.shape[1]
    params = EdgeVectorParams(size=size, distance=Distance.Cosine)
    shard = EdgeShard.create(str(folder), EdgeConfig(vectors=params))
    points = [
        Point(_id_of(number), data.vectors[number].tolist(), data.with_text(number)) for number in range(len(data))
    ]
    shard.update(UpdateOperation.upsert_points(points))
    shard.close()
    return f"qdrant+edge://{folder}"


def _qdrant(place: Place, name: str, data: RawData) -> str:
    client = QdrantClient(
        port=place.qdrant_rest_port, grpc_port=place.qdrant_port, prefer_grpc=True, check_compatibility=False
    )
    size = data.vectors.shape[1]
    client.create_collection(name, vectors_config=qdrant.VectorParams(size=size, distance=qdrant.Distance.COSINE))
    for start in range(0, len(data), 500):
        numbers = range(start, min(start + 500, len(data)))
        points = [
            qdrant.PointStruct(id=_id_of(number), vector=data.vectors[number].tolist(), payload=data.with_text(number))
            for number in numbers
        ]
        client.upsert(name, points, wait=True)
    client.close()
    return f"qdrant://127.0.0.1:{place.qdrant_port}/{name}?rest_port={place.qdrant_rest_port}"


def _qdrant_local(place: Place, name: str, data: RawData) -> str:
    folder = place.folder / f"local-{name}"
    client: Any = QdrantClient(path=str(folder))
    size = data.vectors.shape[1]
    client.create_collection(name, vectors_config=qdrant.VectorParams(size=size, distance=qdrant.Distance.COSINE))
    # It commits point by point; a power cut need not be survived here.
    client._client.collections[name].storage.storage.execute("PRAGMA synchronous=OFF")
    points = [
        qdrant.PointStruct(id=_id_of(number), vector=data.vectors[number].tolist(), payload=data.with_text(number))
        for number in range(len(data))
    ]
    client.upsert(name, points)
    client.close()
    return f"qdrant+path://{folder}/{name}"


def _fill_chroma(client: Any, name: str, data: RawData) -> None:
    collection = client.create_collection(name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
    for start in range(0, len(data), 1000):
        numbers = range(start, min(start + 1000, len(data)))
        with_text = [number for number in numbers if data.texts[number] is not None]
        without = [number for number in numbers if data.texts[number] is None]
        for chosen in filter(None, (with_text, without)):
            collection.add(
                ids=[f"doc-{number}" for number in chosen],
                embeddings=data.vectors[chosen],
                metadatas=[data.payloads[number] for number in chosen],
                documents=[data.texts[number] for number in chosen] if chosen is with_text else None,
            )


def _chroma_folder(place: Place, name: str, data: RawData) -> str:
    folder = place.folder / f"chroma-{name}"
    client = chromadb.PersistentClient(str(folder), settings=Settings(anonymized_telemetry=False))
    _fill_chroma(client, name, data)
    client.close()
    return f"chroma+path://{folder}/{name}"


def _chroma_server(place: Place, name: str, data: RawData) -> str:
    settings = Settings(anonymized_telemetry=False)
    client = chromadb.HttpClient(host="127.0.0.1", port=place.chroma_port, settings=settings)
    _fill_chroma(client, name, data)
    return f"chroma://127.0.0.1:{place.chroma_port}/{name}"


def _milvus_folder(place: Place, name: str, data: RawData) -> str:
    """Numbers as keys, one typed field, the rest of the payload in the dynamic field."""
    folder, collection = place.folder / f"milvus-{name}", name.replace("-", "_")
    client = MilvusClient(uri=server_manager_instance.start_and_get_uri(str(folder)), dedicated=True)
    fields = client.create_schema(auto_id=False, enable_dynamic_field=True)
    fields.add_field("id", DataType.INT64, is_primary=True)
    fields.add_field("vector", DataType.FLOAT_VECTOR, dim=data.vectors.shape[1])
    fields.add_field("year", DataType.INT64)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="COSINE")
    client.create_collection(collection, schema=fields, index_params=index)
    for start in range(0, len(data), 500):
        numbers = range(start, min(start + 500, len(data)))
        rows = [{"id": at, "vector": data.vectors[at].tolist(), **data.with_text(at)} for at in numbers]
        client.insert(collection, rows)
    client.close()
    server_manager_instance.release_server(str(folder))
    return f"milvus+path://{folder}/{collection}"


_MAKERS: dict[str, Callable[[Place, str, RawData], str]] = {
    "numpy": _numpy,
    "numpy-tree": _numpy_tree,
    "jsonl": _jsonl,
    "faiss": _faiss,
    "qdrant+edge": _edge,
    "qdrant": _qdrant,
    "qdrant+path": _qdrant_local,
    "chroma+path": _chroma_folder,
    "chroma": _chroma_server,
    "milvus+path": _milvus_folder,
}
