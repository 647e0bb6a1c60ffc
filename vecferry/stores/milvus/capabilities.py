"""What a Milvus collection can hold: in a folder of milvus-lite, and on a server."""

from __future__ import annotations

from dataclasses import replace

from vecferry.capabilities import Capabilities, PayloadSupport, PayloadType, VectorSupport
from vecferry.model import DType, IdKind, VectorKind
from vecferry.stores.milvus.connection import Connection
from vecferry.stores.milvus.layout import METRICS, UNNAMED, Layout
from vecferry.stores.milvus.payloads import INTERNAL_KEYS, MAX_DEPTH

__all__ = ["MAX_BATCH_BYTES", "MAX_BATCH_ROWS", "MAX_ID_BYTES", "folder", "server"]

MAX_BATCH_ROWS = 5000
MAX_BATCH_BYTES = 16 << 20  # a server takes messages of 64 MB; 8 to 32 MB are fastest
MAX_ID_BYTES = 65_535  # Milvus's longest VARCHAR
_MAX_DIMENSION = 32_768
_SPARSE_SINCE = (2, 4)
_VECTORS = VectorSupport(
    kinds=frozenset({VectorKind.DENSE, VectorKind.SPARSE}),
    dtypes=frozenset({DType.FLOAT32}),
    metrics=frozenset(METRICS),
    max_dimension=_MAX_DIMENSION,
    named=True,
    share_keys=True,
)


def _payload(names: frozenset[str]) -> PayloadSupport:
    return PayloadSupport(
        types=frozenset(PayloadType) - {PayloadType.SPECIAL},
        integer_min=-(2**63),
        integer_max=2**63 - 1,
        max_depth=MAX_DEPTH,
        reserved_keys=INTERNAL_KEYS | names,
    )


def _capabilities(store: str, engine: str, key: IdKind, layout: Layout | None) -> Capabilities:
    """A collection has one kind of ids: that of the stored one, else `key`."""
    return Capabilities(
        store=store,
        engine=engine,
        id_kinds=frozenset({layout.key.kind if layout else key}),
        vectors=_VECTORS,
        payload=_payload(layout.names if layout else frozenset({"id", UNNAMED})),
        max_id_bytes=MAX_ID_BYTES,
        max_batch_rows=MAX_BATCH_ROWS,
        max_batch_bytes=MAX_BATCH_BYTES,
    )


def folder(key: IdKind, layout: Layout | None) -> Capabilities:
    """A folder, which one process opens; one call at a time."""
    found = _capabilities("milvus+path", "milvus-lite in this process", key, layout)
    return replace(
        found,
        one_process=True,
        cheap_vectors=False,
        touched_on_open=(
            "the lock file, and on closing the write-ahead log, which becomes Parquet files; a missing index is built; "
            "records and schema stay as they are"
        ),
    )


def server(connection: Connection, key: IdKind, layout: Layout | None) -> Capabilities:
    """A server. Two writers bring 1.2 to 1.4 times the rate of one, four readers 1.9; milvus-lite takes one of each.

    Milvus before 2.4 has no sparse vectors, and one vector field a collection (a second one it refuses itself).
    """
    if connection.is_lite:
        return _capabilities("milvus", "milvus-lite as a server", key, layout)
    found = _capabilities("milvus", "a Milvus server", key, layout)
    kinds = _VECTORS.kinds if (connection.version or _SPARSE_SINCE) >= _SPARSE_SINCE else frozenset({VectorKind.DENSE})
    return replace(found, vectors=replace(_VECTORS, kinds=kinds), parallel_reads=4, parallel_writes=2)
