"""A server's collection made with settings of another one: most at its creation, some only after the load.

What must wait (strict mode limits a load, `prevent_unoptimized` hides what was loaded, aliases would show a collection
that is not whole) stands in the new collection's metadata, so that a killed run's successor finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from qdrant_client import models
from qdrant_client.qdrant_remote import QdrantRemote

from vecferry import canonical
from vecferry.errors import StoreRefused
from vecferry.model import CollectionSchema, Feature, JsonObject
from vecferry.stores.qdrant import server_schema
from vecferry.stores.qdrant.settings import Settings

__all__ = ["alias_target", "complete", "create", "obstacles", "pending", "settle"]

_QUANTIZATION: TypeAdapter[Any] = TypeAdapter(models.QuantizationConfig)
_INDEX: TypeAdapter[Any] = TypeAdapter(models.PayloadFieldSchema)
_MADE_WITH: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "hnsw_config": ("hnsw_config", models.HnswConfigDiff.model_validate),
    "optimizer_config": ("optimizers_config", models.OptimizersConfigDiff.model_validate),
    "wal_config": ("wal_config", models.WalConfigDiff.model_validate),
    "quantization_config": ("quantization_config", _QUANTIZATION.validate_python),
}
_PARAMS: dict[str, Callable[[Any], Any]] = {
    "shard_number": int,
    "sharding_method": models.ShardingMethod,
    "replication_factor": int,
    "write_consistency_factor": int,
    "on_disk_payload": bool,
    "payload": models.PayloadStorageParams.model_validate,
    "id_tracker": models.IdTrackerParams.model_validate,
}
_LATER_PARAMS = frozenset({"read_fan_out_factor", "read_fan_out_delay_ms"})
_SHOWS_UNOPTIMIZED = "prevent_unoptimized"
_CUSTOM = "shard keys are not carried: records go to shards by their ids"


def create(client: QdrantRemote, collection: str, schema: CollectionSchema, mark: JsonObject) -> None:
    """Make the collection and its indexes. Raises ValidationError for settings that the client does not know."""
    settings = Settings.of(schema.features)
    client.create_collection(
        collection,
        vectors_config=server_schema.dense_models(schema.vectors, settings.vectors),
        sparse_vectors_config=server_schema.sparse_models(schema.vectors, settings.vectors),
        metadata=_metadata(settings, mark),
        **_arguments(settings.sections),
    )
    complete(client, collection)


def _arguments(sections: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What `create_collection` takes of the sections."""
    found = {key: _PARAMS[key](value) for key, value in sections.get("params", {}).items() if key in _PARAMS}
    for section, (name, model) in _MADE_WITH.items():
        values = {key: value for key, value in sections.get(section, {}).items() if key != _SHOWS_UNOPTIMIZED}
        if values:
            found[name] = model(values)
    return found


def _metadata(settings: Settings, mark: JsonObject) -> dict[str, Any]:
    """The source's own metadata, the mark, and what is applied later."""
    sections = settings.sections
    optimizers = sections.get("optimizer_config", {})
    waiting = {
        "params": {key: value for key, value in sections.get("params", {}).items() if key in _LATER_PARAMS},
        "indexes": settings.indexes,
        "aliases": settings.aliases,
        "strict_mode_config": sections.get("strict_mode_config"),
        _SHOWS_UNOPTIMIZED: optimizers.get(_SHOWS_UNOPTIMIZED),
    }
    own = {server_schema.MARK: canonical.encode(dict(mark)).decode()}
    if any(waiting.values()):
        own[server_schema.PENDING] = canonical.encode(waiting).decode()
    if "indexing_threshold" in optimizers:
        own[server_schema.THRESHOLD] = optimizers["indexing_threshold"]
    return {**sections.get("metadata", {}), **own}


def pending(info: models.CollectionInfo) -> dict[str, Any]:
    """What waits for the end of a load."""
    text = (info.config.metadata or {}).get(server_schema.PENDING)
    found = canonical.decode(text) if isinstance(text, str) else {}
    return found if isinstance(found, dict) else {}


def complete(client: QdrantRemote, collection: str) -> None:
    """What a creation cannot say, and payload indexes that are still to be made: cheapest before records come."""
    info = client.get_collection(collection)
    waiting = pending(info)
    if waiting.get("params"):
        client.update_collection(collection, collection_params=models.CollectionParamsDiff(**waiting["params"]))
    for key, schema in sorted(waiting.get("indexes", {}).items()):
        if key not in info.payload_schema:
            client.create_payload_index(collection, key, _INDEX.validate_python(schema), wait=True)


def settle(client: QdrantRemote, collection: str, url: str) -> None:
    """Apply what waited for the end of the load, and forget it. Raises StoreRefused for an alias taken meanwhile."""
    waiting = pending(client.get_collection(collection))
    if not waiting:
        return
    for alias in waiting.get("aliases", []):
        serves = alias_target(client, alias)
        if serves not in (None, collection):
            raise StoreRefused(
                f"{url}: the alias {alias!r}, which was free when the plan was made, serves {serves!r} now",
                advice="free it, or remove it from the source and plan anew",
            )
        creation = models.CreateAlias(collection_name=collection, alias_name=alias)
        client.update_collection_aliases([models.CreateAliasOperation(create_alias=creation)])
    strict = waiting.get("strict_mode_config")
    client.update_collection(
        collection,
        metadata={server_schema.PENDING: None},
        strict_mode_config=models.StrictModeConfig(**strict) if strict else None,
    )


def alias_target(client: QdrantRemote, alias: str) -> str | None:
    """The collection that an alias leads to, or None when there is no such alias."""
    found = client.get_aliases().aliases
    return next((item.collection_name for item in found if item.alias_name == alias), None)


def obstacles(client: QdrantRemote, collection: str, features: Sequence[Feature]) -> dict[str, str]:
    """Why this server cannot take some of these settings, by the feature's name."""
    aliases = [name for name, settings in _own(features) if settings["kind"] == "alias"]
    taken = {item.alias_name: item.collection_name for item in client.get_aliases().aliases} if aliases else {}
    names = {item.name for item in client.get_collections().collections} if aliases else set()
    custom = any(s["key"] == "sharding_method" and s["value"] == "custom" for _, s in _own(features))
    found = {}
    for name, settings in _own(features):
        reason = _alias_obstacle(settings["key"], collection, taken, names) if name in aliases else _unknown(settings)
        if custom and settings["kind"] == "params" and settings["key"] in ("sharding_method", "shard_number"):
            reason = _CUSTOM
        if reason:
            found[name] = reason
    return found


def _own(features: Sequence[Feature]) -> Iterator[tuple[str, JsonObject]]:
    yield from (
        (item.name, item.settings) for item in features if item.engine == "qdrant" and item.settings is not None
    )


def _alias_obstacle(alias: str, collection: str, taken: Mapping[str, str], names: set[str]) -> str:
    if alias in taken:
        return f"on this server it serves {taken[alias]!r} and stays there; the alias of the route follows the switch"
    if alias == collection or alias in names:
        return "on this server a collection has that name"
    return ""


def _unknown(settings: JsonObject) -> str:
    """Why the official client cannot say this setting, or nothing."""
    kind, key, value = settings["kind"], settings["key"], settings["value"]
    try:
        if kind == "vector":
            _check_vector_setting(key, value)
        elif kind == "index":
            _INDEX.validate_python(value)
        elif kind == "strict_mode_config":
            models.StrictModeConfig.model_validate({key: value})
        elif kind == "params" and key not in _PARAMS.keys() | _LATER_PARAMS:
            return "this version does not know the setting"
        else:
            _arguments({kind: {key: value}})
    except (ValidationError, ValueError):
        return "this version does not know the setting"
    return ""


def _check_vector_setting(key: str, value: Any) -> None:
    if key in models.SparseVectorParams.model_fields:
        models.SparseVectorParams.model_validate({key: value})
    else:
        models.VectorParamsDiff.model_validate({key: value})
