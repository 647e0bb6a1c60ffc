"""What a Qdrant collection can hold: in the embedded engine, and on a server by the wire that is used."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from vecferry.capabilities import Capabilities, FloatText, PayloadSupport, PayloadType, VectorSupport
from vecferry.model import DType, IdKind, Metric, VectorKind
from vecferry.stores.qdrant.payloads import MAX_DEPTH
from vecferry.stores.qdrant.schema import DISTANCES, ID_KINDS
from vecferry.stores.qdrant.settings import EDGE_OPTIMIZERS, ENGINE

__all__ = ["edge", "local", "server"]

_LARGEST_DIMENSION = 65_536
_VECTORS = VectorSupport(
    kinds=frozenset(VectorKind),
    dtypes=frozenset({DType.FLOAT32, DType.FLOAT16, DType.UINT8}),
    metrics=frozenset(DISTANCES),
    max_dimension=_LARGEST_DIMENSION,
    named=True,
    missing=True,
    # The engine and gRPC store NaN, which then ranks first and breaks REST reads of that page.
    nonfinite=False,
    normalises=frozenset({Metric.COSINE}),
)
_CARRIED = (
    "vector",
    "index",
    "alias",
    "hnsw_config",
    "optimizer_config",
    "wal_config",
    "quantization_config",
    "strict_mode_config",
    "params",
    "metadata",
)
_CARRIED_BY_EDGE = (
    "vector",
    "index",
    "hnsw_config",
    "quantization_config",
    "params.on_disk_payload",
    "params.payload",
    "params.id_tracker",
    *(f"optimizer_config.{key}" for key in EDGE_OPTIMIZERS),
)
_JSON = frozenset(PayloadType) - {PayloadType.SPECIAL}


def _payload(integer_max: int, float_text: FloatText) -> PayloadSupport:
    return PayloadSupport(
        types=_JSON,
        integer_min=-(2**63),
        integer_max=integer_max,
        float_text=float_text,
        max_depth=MAX_DEPTH,
    )


def _carries(kinds: Iterable[str]) -> frozenset[str]:
    return frozenset(f"{ENGINE}:{kind}" for kind in kinds)


def edge() -> Capabilities:
    """The embedded engine. One inexact pass: measured on 20,000 random bit patterns, before and after reopening."""
    return Capabilities(
        store="qdrant+edge",
        engine="qdrant-edge",
        id_kinds=ID_KINDS,
        vectors=_VECTORS,
        payload=_payload(2**64 - 1, FloatText.ONE_PASS),
        one_process=True,
        cheap_vectors=True,
        touched_on_open=(
            "edge_config.json is written again and files of the log and the segments are touched; "
            "records and schema stay as they are"
        ),
        carries=_carries(_CARRIED_BY_EDGE),
    )


def local() -> Capabilities:
    """A folder of qdrant-client's local mode, which checks little: any integer and text may be an id. Only read."""
    return Capabilities(
        store="qdrant+path",
        engine="the local mode of qdrant-client",
        id_kinds=frozenset(IdKind),
        vectors=replace(
            _VECTORS, dtypes=frozenset({DType.FLOAT32, DType.FLOAT64}), nonfinite=True, normalises=frozenset()
        ),
        payload=PayloadSupport(),
        parallel_reads=2,
        cheap_vectors=True,
        takes_writes=False,
    )


def server(*, rest: bool) -> Capabilities:
    """A server, by its wire. gRPC has no integer beyond int64; REST text is parsed and stored as text: two passes."""
    return Capabilities(
        store="qdrant",
        engine="a Qdrant server over REST" if rest else "a Qdrant server over gRPC",
        id_kinds=ID_KINDS,
        vectors=_VECTORS,
        payload=_payload(2**64 - 1, FloatText.TWO_PASSES) if rest else _payload(2**63 - 1, FloatText.ONE_PASS),
        parallel_reads=2,
        parallel_writes=2,
        max_batch_bytes=16 << 20,
        aliases=True,
        carries=_carries(_CARRIED),
    )
