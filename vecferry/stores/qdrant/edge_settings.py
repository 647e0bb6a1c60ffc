"""Settings of a collection in the embedded engine's own classes, and what its files say about them.

The engine has no shards, no replicas, no strict mode, no metadata and no aliases; the capabilities say so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import qdrant_edge as engine

from vecferry.model import Feature
from vecferry.stores.qdrant.settings import Settings, index_features, section_features, vector_features

__all__ = [
    "Unknown",
    "collection_arguments",
    "features",
    "index_params",
    "obstacle",
    "sparse_arguments",
    "vector_arguments",
]

_HNSW_DEFAULTS = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000}
_QUANTIZATIONS = {
    "scalar": engine.ScalarQuantizationConfig,
    "product": engine.ProductQuantizationConfig,
    "binary": engine.BinaryQuantizationConfig,
    "turbo": engine.TurboQuantQuantizationConfig,
}
_INDEXES = {
    "keyword": engine.KeywordIndexParams,
    "integer": engine.IntegerIndexParams,
    "float": engine.FloatIndexParams,
    "geo": engine.GeoIndexParams,
    "text": engine.TextIndexParams,
    "bool": engine.BoolIndexParams,
    "datetime": engine.DatetimeIndexParams,
    "uuid": engine.UuidIndexParams,
}
_WORDS = {
    "memory": engine.Memory,
    "type": engine.ScalarType,
    "compression": engine.CompressionRatio,
    "encoding": engine.BinaryQuantizationEncoding,
    "query_encoding": engine.BinaryQuantizationQueryEncoding,
    "bits": engine.TurboQuantBitSize,
    "modifier": engine.Modifier,
    "tokenizer": engine.TokenizerType,
}
# The engine's files keep apart what Qdrant's REST API has in one section.
_SECTIONS = {
    "hnsw_config": "hnsw_config",
    "optimizers": "optimizer_config",
    "quantization_config": "quantization_config",
}
_PARAMS = {"payload_memory": "payload", "id_tracker_memory": "id_tracker"}


class Unknown(ValueError):
    """A setting that the engine does not have."""


# To the engine


def collection_arguments(settings: Settings) -> dict[str, Any]:
    """What `EdgeConfig` takes beside vectors. Raises Unknown."""
    sections, params = settings.sections, settings.sections.get("params", {})
    found: dict[str, Any] = {
        "on_disk_payload": params.get("on_disk_payload"),
        "payload_memory": _memory(params.get("payload")),
        "id_tracker_memory": _memory(params.get("id_tracker")),
        "hnsw_config": _hnsw(sections.get("hnsw_config")),
        "quantization_config": _quantization(sections.get("quantization_config")),
    }
    optimizers = sections.get("optimizer_config")
    if optimizers:
        found["optimizers"] = _made(engine.EdgeOptimizersConfig, optimizers)
    return {name: value for name, value in found.items() if value is not None}


def vector_arguments(settings: Mapping[str, Any], collection: Mapping[str, Any]) -> dict[str, Any]:
    """What `EdgeVectorParams` takes beside the schema. Raises Unknown.

    A vector's HNSW settings change some of the collection's own; the engine wants them whole.
    """
    known = {
        "hnsw_config": lambda values: _hnsw({**collection, **values}),
        "quantization_config": _quantization,
    }
    return {name: known[name](value) if name in known else _valued(name, value) for name, value in settings.items()}


def sparse_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `EdgeSparseVectorParams` takes beside the schema. Raises Unknown."""
    flat = {**settings.get("index", {}), **{name: value for name, value in settings.items() if name != "index"}}
    return {name: _valued(name, value) for name, value in flat.items()}


def index_params(schema: Any) -> Any:
    """A payload index: a type alone, or parameters. Raises Unknown."""
    if isinstance(schema, str):
        return _word(engine.PayloadSchemaType, schema)
    kind = _INDEXES.get(schema["type"])
    if kind is None:
        raise Unknown(f"the embedded engine has no index of type {schema['type']}")
    return _made(kind, {name: value for name, value in schema.items() if name != "type"})


def obstacle(feature: Feature) -> str:
    """Why the engine cannot take a setting, or nothing."""
    settings = Settings.of([feature])
    try:
        collection_arguments(settings)
        for given in settings.vectors.values():
            if given.keys() & {"index", "modifier"}:
                engine.EdgeSparseVectorParams(**sparse_arguments(given))
            else:
                engine.EdgeVectorParams(size=1, distance=engine.Distance.Dot, **vector_arguments(given, {}))
        for schema in settings.indexes.values():
            index_params(schema)
    except (Unknown, TypeError) as error:
        return str(error) if isinstance(error, Unknown) else "the embedded engine does not have it"
    return ""


def _hnsw(values: Mapping[str, Any] | None) -> Any:
    return _made(engine.HnswIndexConfig, {**_HNSW_DEFAULTS, **values}) if values else None


def _quantization(values: Mapping[str, Any] | None) -> Any:
    if not values:
        return None
    ((name, settings),) = values.items()
    if name not in _QUANTIZATIONS:
        raise Unknown(f"the embedded engine has no {name} quantization")
    return _made(_QUANTIZATIONS[name], settings)


def _memory(values: Mapping[str, Any] | None) -> Any:
    return _word(engine.Memory, values["memory"]) if values else None


def _made(kind: Any, settings: Mapping[str, Any]) -> Any:
    try:
        return kind(**{name: _valued(name, value) for name, value in settings.items()})
    except TypeError as error:
        raise Unknown("the embedded engine does not have it") from error


def _valued(name: str, value: Any) -> Any:
    return _word(_WORDS[name], value) if name in _WORDS and isinstance(value, str) else value


def _word(choices: Any, text: str) -> Any:
    """The member of an enumeration that a word of the REST API means: `two_bits` is `TwoBits`."""
    members = {_plain(name): name for name in dir(choices) if not name.startswith("_")}
    if _plain(text) not in members:
        raise Unknown(f"the embedded engine does not know {text!r}")
    return getattr(choices, members[_plain(text)])


def _plain(text: str) -> str:
    return text.replace("_", "").lower()


# From the engine


def features(config: Mapping[str, Any], indexes: Mapping[str, engine.PayloadIndexInfo]) -> Iterator[Feature]:
    """What the engine's configuration file and its payload indexes say beside the schema."""
    sparse = {name: _sparse(settings) for name, settings in (config.get("sparse_vectors") or {}).items()}
    yield from vector_features(config.get("vectors") or {}, sparse)
    for name, value in sorted(config.items()):
        if name in _SECTIONS:
            yield from section_features(_SECTIONS[name], value or {})
        elif name in _PARAMS and value is not None:
            yield from section_features("params", {_PARAMS[name]: {"memory": value}})
        elif name == "on_disk_payload":
            yield from section_features("params", {name: value})
        elif name not in ("vectors", "sparse_vectors") and value is not None:
            yield Feature(name, str(value))
    yield from index_features({key: _index_schema(index) for key, index in indexes.items()})


def _sparse(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a sparse vector as the REST API groups them."""
    index = {name: value for name, value in settings.items() if name != "modifier" and value is not None}
    return {"index": index, "modifier": settings.get("modifier")}


def _index_schema(index: engine.PayloadIndexInfo) -> Any:
    kind = str(index.data_type).rpartition(".")[2].lower()
    if index.params is None:
        return kind
    shown = {name: getattr(index.params, name) for name in dir(index.params) if not name.startswith("_")}
    simple = {name: _told(value) for name, value in shown.items() if value is not None}
    return {"type": kind, **simple}


def _told(value: Any) -> Any:
    """A number or a truth as it is, a member of an enumeration in the words of the REST API."""
    return value if isinstance(value, bool | int | float | str) else str(value).rpartition(".")[2].lower()
