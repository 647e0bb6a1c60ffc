"""What `chroma.sqlite3` says about its collections: identity, settings, segments and the true metric."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vecferry.errors import NotFound, StoreRefused
from vecferry.stores.chroma.folder_access import Database
from vecferry.stores.chroma.layout import Replay
from vecferry.stores.chroma.metadata_rows import Metadata, typed

__all__ = ["CollectionInfo", "collection_names", "read_collection"]

_SPACES = ("l2", "ip", "cosine")
_HNSW_DEFAULTS = {
    "ef_construction": 100,
    "ef_search": 100,
    "max_neighbors": 16,
    "sync_threshold": 1000,
    "batch_size": 100,
    "resize_factor": 1.2,
}
_BUFFER_ROWS = 100  # unless the collection's `hnsw:batch_size` says otherwise
_NAMES = """
SELECT d.tenant_id, d.name, c.name FROM collections AS c JOIN databases AS d ON d.id = c.database_id ORDER BY 1, 2, 3
"""
_COLLECTION = """
SELECT c.id, c.name, d.tenant_id, d.name, c.dimension, c.config_json_str, c.schema_str
FROM collections AS c JOIN databases AS d ON d.id = c.database_id
WHERE d.tenant_id = ? AND d.name = ? AND c.name = ?
"""
_VALUES = "SELECT key, COALESCE(str_value, int_value, float_value), bool_value FROM {table} WHERE {owner} = ?"


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """One collection. `space` is the metric that its index was built with: `l2` (squared), `ip` or `cosine`.

    `dimension` is None until the first record. `configuration` is the vector index's settings as stored, with that
    metric. `buffer_rows` is how many changes Chroma before 1.0 keeps beside its index.
    """

    uuid: str
    name: str
    tenant: str
    database: str
    dimension: int | None
    space: str
    metadata: Metadata | None
    configuration: Mapping[str, Any]
    metadata_segment: str
    vector_segment: str
    replay: Replay
    buffer_rows: int


def collection_names(database: Database) -> list[tuple[str, str, str]]:
    """Tenant, database and name of every collection in the folder, sorted."""
    return [(tenant, name, collection) for tenant, name, collection in database.rows(_NAMES)]


def read_collection(database: Database, name: str, tenant: str, database_name: str, replay: Replay) -> CollectionInfo:
    """One collection. Raises NotFound naming those that are there, StoreRefused for settings that are not known."""
    rows = database.rows(_COLLECTION, (tenant, database_name, name))
    if not rows:
        known = ", ".join(f"{found} ({where}/{inside})" for where, inside, found in collection_names(database))
        raise NotFound(
            f"there is no collection {name!r} in {tenant}/{database_name}", advice=f"Found here: {known or 'none'}."
        )
    return _from_row(database, rows[0], replay)


def _from_row(database: Database, row: tuple[Any, ...], replay: Replay) -> CollectionInfo:
    uuid, name, tenant, database_name, dimension, config_text, schema_text = row
    segments = dict(database.rows("SELECT scope, id FROM segments WHERE collection = ?", (uuid,)))
    if not {"METADATA", "VECTOR"} <= segments.keys():
        raise StoreRefused(f"collection {name!r} lacks a segment", advice="Restore the folder from a backup.")
    index = _index_settings(schema_text, config_text)
    legacy = _values(database, "segment_metadata", "segment_id", segments["VECTOR"])
    metadata = _values(database, "collection_metadata", "collection_id", uuid)
    space = _true_space(index, legacy, name)
    return CollectionInfo(
        uuid=uuid,
        name=name,
        tenant=tenant,
        database=database_name,
        dimension=dimension,
        space=space,
        metadata=metadata or None,
        configuration={key: value for key, value in {**index, "space": space}.items() if value},
        metadata_segment=segments["METADATA"],
        vector_segment=segments["VECTOR"],
        replay=replay,
        buffer_rows=int(legacy.get("hnsw:batch_size", _BUFFER_ROWS)),
    )


def _values(database: Database, table: str, owner: str, identifier: str) -> Metadata:
    rows = database.rows(_VALUES.format(table=table, owner=owner), (identifier,))
    return {key: typed(value, flag) for key, value, flag in rows}


def _index_settings(schema_text: str | None, config_text: str | None) -> dict[str, Any]:
    """`{"space": ..., "hnsw": {...}}`, from the schema (Chroma 1.3 and later) or the configuration before it."""
    schema = json.loads(schema_text or "null")
    if schema:
        for types in (schema["keys"].get("#embedding", {}), schema["defaults"]):
            index = (types.get("float_list") or {}).get("vector_index")
            if index:
                return dict(index["config"])
    config = json.loads(config_text or "null") or {}
    hnsw = dict(config.get("vector_index", {}).get("hnsw", {}))
    return {"space": hnsw.pop("space", "l2"), "hnsw": hnsw}


def _true_space(index: Mapping[str, Any], legacy: Metadata, name: str) -> str:
    """Collections made by Chroma 0.4-0.6 say l2 in their settings, if they have any; the segment's metadata has what
    was built.
    """
    space = index.get("space") or "l2"
    hnsw = index.get("hnsw") or {}
    untouched = all(hnsw.get(key) in (None, default) for key, default in _HNSW_DEFAULTS.items())
    if space == "l2" and untouched:
        space = legacy.get("hnsw:space", space)
    if space not in _SPACES:
        raise StoreRefused(f"collection {name!r} has the metric {space!r}, which is not known")
    return str(space)
