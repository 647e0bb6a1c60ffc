"""Settings of a collection beside its records, in one vocabulary for the server, the embedded engine and local mode.

A feature's settings are `{"kind", "key", "value"}` with the words of Qdrant's REST API, and `"vector"` where they are
one vector's. Kinds: `vector`; the sections of a collection's configuration (`hnsw_config`, `optimizer_config`,
`wal_config`, `quantization_config`, `strict_mode_config`, `params`, `metadata`); `index` (of a payload key); `alias`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vecferry.model import Feature

__all__ = [
    "EDGE_OPTIMIZERS",
    "ENGINE",
    "Settings",
    "alias_features",
    "index_features",
    "section_features",
    "vector_features",
]

ENGINE = "qdrant"
EDGE_OPTIMIZERS = (
    "deleted_threshold",
    "vacuum_min_vector_number",
    "default_segment_number",
    "max_segment_size",
    "indexing_threshold",
    "prevent_unoptimized",
)
"""Settings of the optimizers that the embedded engine has as well."""

VECTOR, INDEX, ALIAS = "vector", "index", "alias"
# Which settings of a vector are the schema itself; the others are listed as features.
_SCHEMA_KEYS = {"size", "distance", "datatype", "multivector_config"}
_FLOAT32 = {"quantile", "search_max_oversampling"}

Json = Mapping[str, Any]


def vector_features(dense: Json, sparse: Json) -> Iterator[Feature]:
    """Settings of single vectors that do not travel with records, such as an own HNSW index or quantization."""
    for name, settings in sorted({**dense, **sparse}.items()):
        for key, value in sorted(settings.items()):
            kept = _without_datatype(value) if key == "index" else value
            if key not in _SCHEMA_KEYS and kept is not None and kept != {}:
                yield _feature(f"{key} of vector {name!r}", VECTOR, key, kept, vector=name)


def section_features(section: str, values: Json) -> Iterator[Feature]:
    """One feature for each key of a section that says something."""
    for key, value in sorted(values.items()):
        if value is not None:
            yield _feature(f"{section}: {key}", section, key, value)


def index_features(indexes: Json) -> Iterator[Feature]:
    """Payload indexes: by key the type alone, or the parameters with their `type`."""
    for key, schema in sorted(indexes.items()):
        settings = {"kind": INDEX, "key": key, "value": schema}
        yield Feature(f"payload index of {key!r}", _index_text(schema), ENGINE, settings)


def alias_features(aliases: Iterable[str]) -> Iterator[Feature]:
    """Other names of the collection."""
    for alias in sorted(aliases):
        yield Feature(f"alias {alias!r}", "leads to it", ENGINE, {"kind": ALIAS, "key": alias, "value": True})


def _feature(name: str, kind: str, key: str, value: Any, **more: str) -> Feature:
    value = _as_written({key: value})[key]
    return Feature(name, str(value), ENGINE, {"kind": kind, "key": key, "value": value, **more})


def _without_datatype(index: Any) -> dict[str, Any]:
    """A sparse index without the number type, which is the schema's."""
    return {name: item for name, item in (index or {}).items() if name != "datatype" and item is not None}


def _as_written(value: Any) -> Any:
    """gRPC shows some numbers as widened float32 (0.9900000095367432); both wires mean the number that was written."""
    if not isinstance(value, Mapping):
        return value
    return {
        name: float(str(np.float32(item))) if name in _FLOAT32 and item is not None else _as_written(item)
        for name, item in value.items()
    }


def _index_text(schema: Any) -> str:
    if isinstance(schema, str):
        return schema
    extra = ", ".join(f"{name}={value}" for name, value in sorted(schema.items()) if name != "type")
    return str(schema["type"]) + (f" ({extra})" if extra else "")


@dataclass(slots=True)
class Settings:
    """Features gathered for a new collection.

    `vectors`: by vector and key. `sections`: by section and key. `indexes`: by payload key. `aliases`: names.
    """

    vectors: dict[str, dict[str, Any]] = field(default_factory=dict)
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    indexes: dict[str, Any] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, features: Iterable[Feature]) -> Settings:
        """Gather what is Qdrant's own; features of others say nothing here."""
        found = cls()
        for feature in features:
            if feature.engine == ENGINE and feature.settings is not None:
                found._add(feature.settings)
        return found

    def _add(self, settings: Json) -> None:
        kind, key, value = settings["kind"], settings["key"], settings["value"]
        if kind == VECTOR:
            self.vectors.setdefault(settings["vector"], {})[key] = value
        elif kind == INDEX:
            self.indexes[key] = value
        elif kind == ALIAS:
            self.aliases.append(key)
        else:
            self.sections.setdefault(kind, {})[key] = value
