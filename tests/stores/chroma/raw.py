"""What Chroma's own client sees of a collection, without the code under test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from vecferry.testing.conformance import RawRow

__all__ = ["raw_rows"]

_PAGE_ROWS = 500


def raw_rows(client: Any, name: str) -> dict[str, RawRow]:
    """Every record, by its id."""
    collection = client.get_collection(name, embedding_function=None)
    return {text: row for start in range(0, collection.count(), _PAGE_ROWS) for text, row in _page(collection, start)}


def _page(collection: Any, start: int) -> Iterator[tuple[str, RawRow]]:
    answer = collection.get(limit=_PAGE_ROWS, offset=start, include=["embeddings", "metadatas", "documents"])
    columns = (answer["ids"], answer["embeddings"], answer["metadatas"], answer["documents"])
    for text, vector, metadata, document in zip(*columns, strict=True):
        yield text, RawRow(np.asarray(vector, dtype=np.float32), metadata or {}, document)
