"""What a migration leaves in a collection's metadata."""

from __future__ import annotations

import json

import pytest

from vecferry.model import Feature, VectorField
from vecferry.stores.chroma.schema import collection_schema, metadata_for

MARKS = [{}, {"a": "x" * 5000}, {"ü": "名前🚢" * 300, "list": [1, None, 2.5]}]


@pytest.mark.parametrize("mark", MARKS, ids=["empty", "long", "not ASCII"])
def test_no_piece_of_the_mark_is_longer_than_chroma_cloud_takes(mark: dict[str, object]) -> None:
    """256 bytes in a value and 36 in a key; together they are the mark again, and nothing else of the collection."""
    metadata = metadata_for(mark, 8)
    assert all(len(key.encode()) <= 36 for key in metadata)
    assert all(len(value.encode()) <= 256 for value in metadata.values() if isinstance(value, str))
    found = collection_schema("docs", VectorField(), metadata | {"team": "search"}, {})
    assert found.mark == mark
    assert found.features == (Feature("collection metadata 'team'", "search"),)


def test_a_mark_in_one_piece_is_read() -> None:
    """Collections that were made before marks were cut have it whole."""
    assert collection_schema("docs", VectorField(), {"vecferry": json.dumps(MARKS[1])}, {}).mark == MARKS[1]
