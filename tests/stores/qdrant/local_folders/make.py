"""Makes a folder of local mode with the qdrant-client that is installed, and what that client shows of it.

    pip install --target CLIENT qdrant-client==1.3.2 && PYTHONPATH=CLIENT python make.py FOLDER

The folders beside this file were made so with 1.3.2, 1.12.1 and 1.20.0, on CPython 3.11.
"""

import datetime
import json
import sys
import uuid
from pathlib import Path

from qdrant_client import QdrantClient, models


def payloads():
    """What applications store, dates and UUIDs as objects among it: clients before 1.20 pickle them as they are."""
    when = datetime.datetime(2020, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    return {
        1: {"title": "first", "list": [1, 2.5, None, True, "x"], "nested": {"a": {"b": []}}},
        2: {"when": when, "day": datetime.date(2020, 1, 2), "who": uuid.UUID(int=7), "pair": (1, 2)},
        3: {},
    }


def fill(client):
    """One collection with an unnamed vector."""
    client.recreate_collection("docs", models.VectorParams(size=3, distance=models.Distance.COSINE))
    vectors = {1: [1.0, 2.0, 3.0], 2: [0.5, -0.25, 8.0], 3: [0.0, 0.0, 1.0]}
    points = [models.PointStruct(id=key, vector=vectors[key], payload=found) for key, found in payloads().items()]
    client.upsert("docs", points)
    client.upsert("docs", [models.PointStruct(id=str(uuid.UUID(int=5)), vector=[3.0, 1.0, 2.0], payload={"n": 2**63})])
    client.set_payload("docs", {"added": "later"}, points=[3])


def shown(folder):
    """What the same client shows after it was closed and opened again."""
    client = QdrantClient(path=str(folder))
    records, _ = client.scroll("docs", limit=100, with_payload=True, with_vectors=True)
    return {str(record.id): {"vector": record.vector, "payload": record.payload} for record in records}


def as_text(value):
    """Clients before 1.7 show the objects themselves; later ones the text of them that pydantic gives."""
    return str(value) if isinstance(value, uuid.UUID) else value.isoformat().replace("+00:00", "Z")


def main():
    folder = Path(sys.argv[1])
    client = QdrantClient(path=str(folder))
    fill(client)
    del client
    found = shown(folder)
    (folder / "expected.json").write_text(json.dumps(found, sort_keys=True, default=as_text) + "\n")
    (folder / ".lock").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
