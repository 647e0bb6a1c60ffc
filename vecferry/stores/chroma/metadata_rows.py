"""Metadata of records from the tables that hold one row a key (`embedding_metadata` and its `_array`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from vecferry.stores.chroma.folder_access import Database

__all__ = ["DOCUMENT_KEY", "RESERVED", "URI_KEY", "Metadata", "keys_with", "read_metadata", "reserved_keys", "typed"]

Metadata = dict[str, Any]
RESERVED = "chroma:"
DOCUMENT_KEY, URI_KEY = "chroma:document", "chroma:uri"

# The column that is filled is the value's type; COALESCE keeps the type that the value is stored with.
# A list of keys travels as JSON, so that the text of the query does not change with its length.
_SCALARS = """
SELECT m.id, m.key, COALESCE(m.string_value, m.int_value, m.float_value), m.bool_value
FROM json_each(?) AS wanted CROSS JOIN embedding_metadata AS m ON m.id = wanted.value
"""
_ELEMENTS = """
SELECT m.id, m.key, COALESCE(m.string_value, m.int_value, m.float_value), m.bool_value
FROM json_each(?) AS wanted CROSS JOIN embedding_metadata_array AS m ON m.id = wanted.value
ORDER BY m.id, m.key, m.rowid
"""
_WITH_VALUE = "SELECT id FROM embedding_metadata WHERE key = ? AND {column} = ?"
_RESERVED_KEYS = """
SELECT DISTINCT m.key FROM embeddings AS e CROSS JOIN {table} AS m ON m.id = e.id
WHERE e.segment_id = ? AND m.key >= 'chroma:' AND m.key < 'chroma;'
"""


def reserved_keys(database: Database, segment: str) -> set[str]:
    """All keys beginning with `chroma:` that records have: two look-ups a record, in indexes that hold the keys."""
    tables = ("embedding_metadata", "embedding_metadata_array")
    return {key for table in tables for (key,) in database.rows(_RESERVED_KEYS.format(table=table), (segment,))}


def keys_with(database: Database, name: str, value: str | int | bool) -> list[int]:
    """The primary keys of the records, of every collection, with this value under a key of their metadata."""
    column = "bool_value" if isinstance(value, bool) else "int_value" if isinstance(value, int) else "string_value"
    return [key for (key,) in database.rows(_WITH_VALUE.format(column=column), (name, value))]


def read_metadata(database: Database, keys: Sequence[int]) -> list[Metadata]:
    """One dict per primary key, in the order of `keys`, document and uri among the others under their reserved keys."""
    wanted = orjson.dumps(keys)
    found: dict[int, Metadata] = {key: {} for key in keys}
    for key, name, value, flag in database.rows(_SCALARS, (wanted,)):
        if value is not None:
            found[key][name] = value
        elif flag is not None:
            found[key][name] = bool(flag)
        # else all four are NULL: a NaN of old, which Chroma does not show either
    _add_lists(found, database.rows(_ELEMENTS, (wanted,)))
    return list(found.values())


def _add_lists(found: dict[int, Metadata], rows: Iterable[tuple[int, str, Any, int | None]]) -> None:
    lists: dict[tuple[int, str], list[Any]] = {}
    for key, name, value, flag in rows:
        lists.setdefault((key, name), []).append(typed(value, flag))
    for (key, name), values in lists.items():
        found[key][name] = values


def typed(value: Any, flag: int | None) -> Any:
    """A value from its COALESCEd column and its bool column."""
    return bool(flag) if value is None and flag is not None else value
