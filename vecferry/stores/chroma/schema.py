"""A collection's schema as Chroma says it, in vecferry's words: metric, dimension, mark, and what is beside records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from vecferry.errors import StoreRefused
from vecferry.model import CollectionSchema, Feature, IdKind, JsonObject, Metric, VectorField

__all__ = [
    "ID_KINDS",
    "SPACES",
    "URI_NOTE",
    "Probe",
    "collection_schema",
    "metadata_for",
    "nearest_space",
    "settle_space",
    "vector_field",
]

ID_KINDS = frozenset({IdKind.STRING})
SPACES = {Metric.SQUARED_EUCLID: "l2", Metric.DOT: "ip", Metric.COSINE: "cosine"}
URI_NOTE = "a record's uri is in its payload, under chroma:uri"
_METRICS = {space: metric for metric, space in SPACES.items()}
_MARK, _DIMENSION, _LEGACY_SPACE = "vecferry", "vecferry:dimension", "hnsw:space"
_PIECE_CHARS = 64  # of up to 4 bytes each: Chroma Cloud takes 256 bytes in a value of a collection's metadata

Probe = Callable[[], tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float] | None]
"""Asks the collection once: the vector asked with, a stored vector, and the distance said; None: it is empty."""


def metadata_for(mark: JsonObject, dimension: int) -> dict[str, Any]:
    """The collection metadata that a new collection gets: the mark in pieces, `vecferry`, `vecferry:1` and so on.

    Chroma itself learns the dimension from the first record.
    """
    text = json.dumps(mark, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    step = 4 * _PIECE_CHARS if text.isascii() else _PIECE_CHARS
    pieces = [text[start : start + step] for start in range(0, len(text), step)]
    return {_piece(number): piece for number, piece in enumerate(pieces)} | {_DIMENSION: dimension}


def _piece(number: int) -> str:
    """The key of one piece of the mark."""
    return f"{_MARK}:{number}" if number else _MARK


def vector_field(space: str, dimension: int | None, metadata: Mapping[str, Any] | None) -> VectorField:
    """The one vector of a collection; before the first record, the dimension that its creation noted."""
    noted = (metadata or {}).get(_DIMENSION)
    known = dimension if dimension is not None else noted if isinstance(noted, int) else None
    return VectorField(dimension=known, metric=_METRICS[space])


def collection_schema(
    name: str, field: VectorField, metadata: Mapping[str, Any] | None, configuration: Mapping[str, Any]
) -> CollectionSchema:
    """The schema without what has to be counted: lost vectors, and whether there are documents."""
    return CollectionSchema(
        name=name,
        vectors=(field,),
        id_kinds=ID_KINDS,
        has_document=True,
        features=tuple(_features(metadata or {}, configuration)),
        mark=_mark(metadata or {}),
    )


def _mark(metadata: Mapping[str, Any]) -> JsonObject | None:
    """What vecferry wrote; a value of that name that is not ours counts as no mark."""
    pieces = [piece for piece in map(metadata.get, _pieces_of(metadata)) if isinstance(piece, str)]
    try:
        found = json.loads("".join(pieces)) if pieces else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _pieces_of(metadata: Mapping[str, Any]) -> list[str]:
    """The keys of the mark's pieces, in order; collections made before they were cut have one."""
    return [key for key in map(_piece, range(len(metadata))) if key in metadata]


def _features(metadata: Mapping[str, Any], configuration: Mapping[str, Any]) -> Iterator[Feature]:
    ours = {_DIMENSION, *_pieces_of(metadata)}
    for key, value in sorted(metadata.items()):
        if key not in ours:
            yield Feature(f"collection metadata {key!r}", _text(value))
    for key, value in sorted(configuration.items()):
        if value is not None:
            yield Feature(f"configuration {key!r}", _text(value))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


# The true metric


def settle_space(name: str, configuration: Mapping[str, Any], metadata: Mapping[str, Any] | None, probe: Probe) -> str:
    """The metric that the index was built with: `l2` (squared), `ip` or `cosine`.

    Collections made by Chroma 0.4-0.6 say l2 in their configuration and the truth in `hnsw:space`; since 1.0 the
    configuration is true. Where the two differ, one answer of the index decides; an empty collection was made with
    `hnsw:space` if its configuration says l2. Raises StoreRefused for a metric that is not known.
    """
    index = configuration.get("hnsw") or configuration.get("spann") or {}
    said = str(index.get("space") or "l2")
    legacy = (metadata or {}).get(_LEGACY_SPACE)
    if legacy in _METRICS and legacy != said:
        asked = probe()
        if asked is not None:
            return nearest_space(*asked)
        return str(legacy) if said == "l2" else said
    if said not in _METRICS:
        raise StoreRefused(f"collection {name!r} has the metric {said!r}, which is not known")
    return said


def nearest_space(query: npt.NDArray[np.float64], stored: npt.NDArray[np.float64], distance: float) -> str:
    """The metric under which `query` and `stored`, both `(dim,)`, have the distance that comes closest."""
    lengths = float(np.linalg.norm(query) * np.linalg.norm(stored))
    dot = float(query @ stored)
    expected = {"l2": float(np.sum((query - stored) ** 2)), "ip": 1.0 - dot, "cosine": 1.0 - dot / (lengths or 1.0)}
    return min(expected, key=lambda space: abs(expected[space] - distance))
