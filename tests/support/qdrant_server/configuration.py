"""A collection's settings: the defaults of a 1.19 server, and changes to them. Pure."""

from typing import Any

from pydantic import BaseModel
from qdrant_client.http import models as m

from .errors import ApiError, Failure, invalid, unknown_vector

MAX_VECTOR_SIZE = 65536
NAME_LIMIT = 255
FORBIDDEN_IN_NAMES = '<>:"/\\|?*\0\x1f'


def set_fields(diff: BaseModel | None) -> dict[str, Any]:
    """The fields of a partial setting that say something."""
    return {} if diff is None else {name: value for name, value in diff if value is not None}


def merged(base: Any, diff: BaseModel | None) -> Any:
    return base.model_copy(update=set_fields(diff))


def optimizer_fields(diff: m.OptimizersConfigDiff | None) -> dict[str, Any]:
    """`auto` threads are shown as none at all."""
    fields = set_fields(diff)
    if not isinstance(fields.get("max_optimization_threads", 0), int):
        fields["max_optimization_threads"] = None
    return fields


def new_config(create: m.CreateCollection) -> m.CollectionConfig:
    """What a server makes of a request that leaves most things out."""
    hnsw = m.HnswConfig(m=16, ef_construct=100, full_scan_threshold=10000, max_indexing_threads=0, on_disk=False)
    optimizers = m.OptimizersConfig(
        deleted_threshold=0.2,
        vacuum_min_vector_number=1000,
        default_segment_number=0,
        indexing_threshold=10000,
        flush_interval_sec=5,
    )
    strict = set_fields(create.strict_mode_config)
    return m.CollectionConfig(
        params=new_params(create),
        hnsw_config=merged(hnsw, create.hnsw_config),
        optimizer_config=optimizers.model_copy(update=optimizer_fields(create.optimizers_config)),
        wal_config=merged(
            m.WalConfig(wal_capacity_mb=32, wal_segments_ahead=0, wal_retain_closed=1), create.wal_config
        ),
        quantization_config=create.quantization_config,
        strict_mode_config=m.StrictModeConfigOutput.model_construct(**strict) if strict else None,
        metadata=create.metadata or None,
    )


def new_params(create: m.CreateCollection) -> m.CollectionParams:
    return m.CollectionParams(
        vectors=create.vectors if create.vectors is not None else {},
        shard_number=create.shard_number or 1,
        sharding_method=create.sharding_method,
        replication_factor=create.replication_factor or 1,
        write_consistency_factor=create.write_consistency_factor or 1,
        on_disk_payload=True if create.on_disk_payload is None else create.on_disk_payload,
        payload=create.payload,
        sparse_vectors=create.sparse_vectors or None,
    )


def updated_config(config: m.CollectionConfig, update: m.UpdateCollection) -> m.CollectionConfig:
    """The settings after an update; what it leaves out stays."""
    strict = set_fields(config.strict_mode_config) | set_fields(update.strict_mode_config)
    return config.model_copy(
        update={
            "params": updated_params(config.params, update),
            "hnsw_config": merged(config.hnsw_config, update.hnsw_config),
            "optimizer_config": config.optimizer_config.model_copy(update=optimizer_fields(update.optimizers_config)),
            "quantization_config": changed_quantization(config.quantization_config, update.quantization_config),
            "strict_mode_config": m.StrictModeConfigOutput.model_construct(**strict) if strict else None,
            "metadata": merged_metadata(config.metadata, update.metadata),
        }
    )


def updated_params(params: m.CollectionParams, update: m.UpdateCollection) -> m.CollectionParams:
    fields = {name: value for name, value in set_fields(update.params).items() if name != "id_tracker"}
    if update.vectors:
        fields["vectors"] = updated_vectors(params.vectors, update.vectors)
    if update.sparse_vectors:
        if unknown := set(update.sparse_vectors) - set(params.sparse_vectors or {}):
            raise unknown_vector(min(unknown))
        old = params.sparse_vectors or {}
        fields["sparse_vectors"] = old | {name: merged(old[name], new) for name, new in update.sparse_vectors.items()}
    return params.model_copy(update=fields)


def updated_vectors(vectors: Any, changes: dict[str, m.VectorParamsDiff]) -> Any:
    named = dense_vectors(vectors)
    for name, change in changes.items():
        if name not in named:
            raise unknown_vector(name)
        fields = set_fields(change)
        if change.hnsw_config is not None:
            fields["hnsw_config"] = merged(named[name].hnsw_config or m.HnswConfigDiff(), change.hnsw_config)
        if change.quantization_config is not None:
            fields["quantization_config"] = changed_quantization(None, change.quantization_config)
        named[name] = named[name].model_copy(update=fields)
    return named[""] if isinstance(vectors, m.VectorParams) else named


def changed_quantization(old: Any, change: Any) -> Any:
    if change is None:
        return old
    return None if change == m.Disabled.DISABLED else change


def merged_metadata(old: dict[str, Any] | None, change: dict[str, Any] | None) -> dict[str, Any] | None:
    """Top-level keys are merged; a null removes its key."""
    if change is None:
        return old
    return {key: value for key, value in ((old or {}) | change).items() if value is not None} or None


def dense_vectors(vectors: Any) -> dict[str, m.VectorParams]:
    """The dense vectors by name; a single unnamed one has the empty name."""
    return {"": vectors} if isinstance(vectors, m.VectorParams) else dict(vectors or {})


def check_new_collection(name: str, create: m.CreateCollection) -> None:
    """The schema's rules for a new collection's name and vector sizes."""
    if not 1 <= len(name) <= NAME_LIMIT:
        raise bad_name(f'value "{name}" invalid, must be from 1 to {NAME_LIMIT} characters')
    if bad := next((char for char in FORBIDDEN_IN_NAMES if char in name), None):
        raise bad_name(f'collection name cannot contain "{bad}" char')
    for vector, params in dense_vectors(create.vectors).items():
        if not 1 <= params.size <= MAX_VECTOR_SIZE:
            text = f"value {params.size} invalid, must be from 1 to {MAX_VECTOR_SIZE}"
            inner = f"[{vector}]." if vector else ""
            raise invalid(f"vectors_config.config.{inner}size", f"vectors.{inner}size", text)


def bad_name(text: str) -> ApiError:
    return ApiError(
        Failure.VALIDATION,
        f"Validation error in body: [collection_name: {text}]",
        rest_message=f"Validation error in path parameters: [collection_name: {text}]",
    )
