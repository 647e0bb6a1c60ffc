"""How much memory and disk a collection needs, engine by engine: estimates with their formulas.

`docs/inventory.md` has the source of each formula, and what was measured on the engines themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from vecferry.model import DType, VectorKind
from vecferry.survey.load import Load, VectorLoad

__all__ = ["ENGINES", "Estimate", "SizePart", "estimate", "guide_bytes"]

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class SizePart:
    """One part of an estimate. `formula`: n rows of d numbers of b bytes, m links, r records."""

    name: str
    ram_bytes: int
    disk_bytes: int
    formula: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one engine needs for a collection when its index is built and loaded. `measured`: held against the engine.

    Not in it: the engine's own process, and room to work (segments that are merged need up to as much again).
    """

    engine: str
    index: str
    ram_bytes: int
    disk_bytes: int
    parts: tuple[SizePart, ...]
    measured: bool


def guide_bytes(load: Load) -> int:
    """Qdrant's rule of thumb for RAM: vectors * dimension * 4 bytes * 1.5."""
    return round(sum(one.rows * one.dimension for one in load.vectors) * 4 * 1.5)


def estimate(engine: str, load: Load, options: Mapping[str, str] | None = None) -> Estimate | None:
    """What `load` needs in an engine of `ENGINES`; None for others. `options` are those of a target's URL."""
    make = ENGINES.get(engine)
    return None if make is None else make(load, options or {})


def _total(engine: str, index: str, parts: Iterable[SizePart], *, measured: bool) -> Estimate:
    kept = tuple(part for part in parts if part.ram_bytes or part.disk_bytes)
    ram, disk = (sum(getattr(part, name) for part in kept) for name in ("ram_bytes", "disk_bytes"))
    return Estimate(engine, index, ram, disk, kept, measured)


def _part(name: str, ram: float, disk: float, formula: str) -> SizePart:
    return SizePart(name, round(ram), round(disk), formula)


def _upper_lists(m: int) -> float:
    """Lists of links above the lowest level, per row: a row reaches level k with the probability m^-k."""
    return 1 / (max(m, 2) - 1)


def _rows(load: Load, kinds: Iterable[VectorKind]) -> int:
    return sum(one.rows for one in load.vectors if one.kind in kinds)


def _vector_bytes(vectors: Iterable[VectorLoad], native: frozenset[DType]) -> int:
    """Numbers in the stored type where the engine has it, else in float32."""
    return sum(one.numbers * _SIZE[one.dtype if one.dtype in native else DType.FLOAT32] for one in vectors)


def _dense(load: Load) -> tuple[VectorLoad, ...]:
    return tuple(one for one in load.vectors if one.kind is VectorKind.DENSE)


_SIZE = {DType.FLOAT16: 2, DType.FLOAT32: 4, DType.FLOAT64: 8, DType.UINT8: 1, DType.INT8: 1}
_FLOAT32 = frozenset({DType.FLOAT32})
_GRAPHED = (VectorKind.DENSE, VectorKind.MULTI)


# Qdrant


def _qdrant(load: Load, options: Mapping[str, str]) -> Estimate:
    """Vectors, graph and ids in RAM; payloads on disk, as a server's default has it (`on_disk_payload`)."""
    m = 16
    graphed = [one for one in load.vectors if one.kind in _GRAPHED]
    vectors = _vector_bytes(graphed, frozenset({DType.FLOAT16, DType.FLOAT32, DType.UINT8}))
    links = sum(map(_qdrant_links, (_points(one, load) for one in graphed)))
    sparse = sum(one.numbers for one in load.vectors if one.kind is VectorKind.SPARSE)
    id_bytes = 13 if load.number_ids else 21
    blocks = math.ceil(load.text_bytes / load.records / 128) if load.records else 0
    parts = (
        _part("vectors", vectors, vectors, "n * d * b"),
        _part("HNSW links", links, links, "n * ((2 * m + m / (m - 1)) * bits(n) / 8 + 6)"),
        _part("sparse vectors", 8 * sparse, 16 * sparse, "8 bytes a number in the index, and as much stored"),
        _part("ids", 48 * load.records, (id_bytes + 8) * load.records, "48 * r in RAM"),
        _part("payload", 0, load.records * (128 * blocks + 16), "r * (128 * ceil(bytes / 128) + 16), on disk"),
        _part("log", 0, 64 * _MIB, "2 * 32 MiB"),
    )
    return _total("qdrant", f"HNSW, m = {m}", parts, measured=True)


def _points(one: VectorLoad, load: Load) -> int:
    """Nodes of the graph: a multi-vector is one, whatever it holds."""
    return one.rows if one.kind is VectorKind.DENSE else min(one.rows, load.records)


def _qdrant_links(rows: int, m: int = 16) -> float:
    """Links are packed into as many bits as the greatest row number needs; full lists, so an upper bound."""
    bits = max(7, math.ceil(math.log2(max(rows, 2))))
    return rows * ((2 * m + m * _upper_lists(m)) * bits / 8 + 6)


# Chroma


def _chroma(load: Load, options: Mapping[str, str]) -> Estimate:
    """An hnswlib index in RAM and in its folder; ids, metadata and documents in SQLite, documents searchable."""
    m = 16
    vectors, rows = _vector_bytes(_dense(load), _FLOAT32), _rows(load, [VectorKind.DENSE])
    links = rows * (4 + 8 * m + 8 + 4 + (4 + 4 * m) * _upper_lists(m))
    tables = 120 * load.records + 2 * load.id_bytes + 60 * load.payload_values + 2 * load.payload_bytes
    parts = (
        _part("vectors", vectors, vectors, "n * d * 4"),
        _part("HNSW links", links, links, "n * (16 + 8 * m + (4 + 4 * m) / (m - 1))"),
        _part("bookkeeping", 92 * rows, 4 * rows, "n * 92: a lock, a pointer, a level and a label each"),
        _part(
            "ids", 2 * load.id_bytes + 160 * rows, load.id_bytes + 27 * rows, "2 * bytes + 160 * n in RAM, both ways"
        ),
        _part("metadata", 0, tables, "r * 120 + values * 60 + 2 * bytes of ids and metadata, on disk"),
        _part("documents", 0, 5 * load.document_bytes, "5 * bytes: stored, indexed, and searchable by 3 characters"),
    )
    return _total("chroma", f"HNSW, m = {m}", parts, measured=True)


# Milvus


def _milvus(load: Load, options: Mapping[str, str]) -> Estimate:
    """Vectors, graph and all scalar fields in RAM, as `load` has it by default; on disk the raw data and the index."""
    kind = options.get("index", "AUTOINDEX").upper()
    m = 18 if kind == "AUTOINDEX" else int(options.get("m", 16))
    vectors = _vector_bytes(_dense(load), frozenset({DType.FLOAT16, DType.FLOAT32, DType.INT8}))
    links = 0.0 if kind == "FLAT" else _rows(load, [VectorKind.DENSE]) * (12 + 8 * m + 4 * m * _upper_lists(m))
    sparse = 8 * sum(one.numbers for one in load.vectors if one.kind is VectorKind.SPARSE)
    keys = 16 * load.records if load.number_ids else 24 * load.records + load.id_bytes
    index = {"FLAT": "flat", "AUTOINDEX": f"AUTOINDEX: HNSW, m = {m}"}.get(kind, f"HNSW, m = {m}")
    parts = (
        _part("vectors", vectors, (1 if kind == "FLAT" else 2) * vectors, "n * d * b; on disk raw and in the index"),
        _part("HNSW links", links, links, "n * (12 + 8 * m + 4 * m / (m - 1))"),
        _part("sparse vectors", sparse, 2 * sparse, "8 bytes a number"),
        _part("keys and timestamps", keys, keys, "r * 16, texts r * 24 + bytes"),
        _part("payload", load.text_bytes, load.text_bytes, "the dynamic field, as JSON"),
    )
    return _total("milvus", index, parts, measured=False)


# FAISS


def _faiss(load: Load, options: Mapping[str, str]) -> Estimate:
    """The index file, which is read into RAM as it is, and the metadata JSON beside it."""
    kind, m = options.get("index", "flat"), int(options.get("m", 32))
    vectors, rows = _vector_bytes(_dense(load), _FLOAT32), _rows(load, [VectorKind.DENSE])
    dimension = max((one.dimension for one in _dense(load)), default=0)
    nlist = max(1, min(int(options.get("nlist", round(4 * rows**0.5))), rows))
    lists = nlist * (4 * dimension + 9) + 8 * rows if kind == "ivf" else 0
    links = rows * (12 + 8 * m + 4 * m * _upper_lists(m)) if kind == "hnsw" else 0.0
    mapped = rows if load.number_ids and kind != "ivf" else 0
    parts = (
        _part("vectors", vectors, vectors, "n * d * 4"),
        _part("HNSW links", links, links, "n * (12 + 8 * m + 4 * m / (m - 1))"),
        _part("lists", lists, lists, "nlist * (4 * d + 9) + 8 * n"),
        _part("ids", 48 * mapped, 8 * mapped, "n * 8 on disk, and a map of 40 in RAM (IDMap2)"),
        _part("metadata", 0, load.payload_bytes + load.id_bytes + 14 * load.records, "the JSON, on disk"),
    )
    index = {"hnsw": f"HNSW, m = {m}", "ivf": f"IVF, {nlist:,} lists"}.get(kind, kind)
    return _total("faiss", index, parts, measured=True)


ENGINES: dict[str, Callable[[Load, Mapping[str, str]], Estimate]] = {
    "qdrant": _qdrant,
    "chroma": _chroma,
    "milvus": _milvus,
    "faiss": _faiss,
}
"""By the kind of store (`StoreEntry.kind`, else the scheme)."""
