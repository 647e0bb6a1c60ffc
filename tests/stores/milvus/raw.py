"""What Milvus's own client sees of a collection, and collections that it makes, without the code under test."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from milvus_lite.server_manager import server_manager_instance
from pymilvus import MilvusClient

from vecferry.testing.conformance import RawRow

__all__ = ["folder_client", "raw_rows"]


@contextlib.contextmanager
def folder_client(folder: Path) -> Iterator[MilvusClient]:
    """Milvus's own client of a folder; the engine is stopped at the end, so that the folder is idle again."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    uri = server_manager_instance.start_and_get_uri(str(folder))
    client = MilvusClient(uri=uri, dedicated=True)
    try:
        yield client
    finally:
        client.close()
        server_manager_instance.release_server(str(folder))


def raw_rows(client: MilvusClient, name: str) -> dict[str, RawRow]:
    """Every record, by its id."""
    client.load_collection(name)
    found = client.query(name, filter="", output_fields=["*"], limit=16_384, consistency_level="Strong")
    return {str(row["id"]): _row(row) for row in found}


def _row(row: dict[str, Any]) -> RawRow:
    payload = {key: value for key, value in row.items() if key not in ("id", "vector")}
    return RawRow(np.asarray(row["vector"], dtype=np.float32), payload)
