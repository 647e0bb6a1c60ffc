"""What a Milvus collection can hold: in a folder of milvus-lite, and on a server."""

from __future__ import annotations

from dataclasses import replace

from vecferry.capabilities import Capabilities, NameRule, PayloadSupport, PayloadType, VectorSupport
from vecferry.model import DType, IdKind, VectorKind
from vecferry.stores.milvus.connection import Connection
from vecferry.stores.milvus.layout import METRICS, UNNAMED, Layout
from vecferry.stores.milvus.payloads import INTERNAL_KEYS, MAX_DEPTH

__all__ = [
    "FIELD_NAMES",
    "MAX_BATCH_BYTES",
    "MAX_BATCH_ROWS",
    "MAX_ID_BYTES",
    "MAX_PAYLOAD_BYTES",
    "MAX_VECTORS",
    "NAMES",
    "folder",
    "server",
]

MAX_BATCH_ROWS = 5000
MAX_BATCH_BYTES = 16 << 20  # a server takes messages of 64 MB; 8 to 32 MB are fastest
MAX_ID_BYTES = 65_535  # Milvus's longest VARCHAR
MAX_PAYLOAD_BYTES = 65_536
"""Milvus's limit of the dynamic field: "the length of dynamic field exceeds max length(65536)", seen on 2.3.5."""

NAMES = NameRule(r"[A-Za-z_][A-Za-z0-9_]{0,254}", "a letter or _ first, then letters, digits and _, 255 at most")
"""Milvus's own rule for collections and fields (`validateCollectionName`)."""

# Words of milvus-lite's filters, and the field that we name ourselves.
FIELD_NAMES = replace(NAMES, reserved=INTERNAL_KEYS | {"id", "iso", "interval"})
_MAX_DIMENSION = 32_768  # common.MaxDimension of Milvus
_MAX_NUMBER = 2**63 - 1
_SPARSE_SINCE = _SEVERAL_VECTORS_SINCE = (2, 4)
MAX_VECTORS = 4
"""`proxy.maxVectorFieldNum` as a server comes, and Zilliz Cloud; a server may be set to up to 10."""
_VECTORS = VectorSupport(
    kinds=frozenset({VectorKind.DENSE, VectorKind.SPARSE}),
    dtypes=frozenset({DType.FLOAT32}),
    metrics=frozenset(METRICS),
    max_dimension=_MAX_DIMENSION,
    named=True,
    share_keys=True,
    names=FIELD_NAMES,
    unnamed_field=UNNAMED,
)


def _payload(names: frozenset[str]) -> PayloadSupport:
    return PayloadSupport(
        types=frozenset(PayloadType) - {PayloadType.SPECIAL},
        integer_min=-(2**63),
        integer_max=2**63 - 1,
        max_depth=MAX_DEPTH,
        reserved_keys=INTERNAL_KEYS | names,
    )


def _capabilities(store: str, engine: str, key: IdKind | None, layout: Layout | None) -> Capabilities:
    """A collection has one kind of ids: that of the stored one, else `key`, else the one that suits the ids."""
    kind = layout.key.kind if layout else key
    return Capabilities(
        store=store,
        engine=engine,
        id_kinds=frozenset({kind} if kind else {IdKind.INT64, IdKind.STRING}),
        vectors=_VECTORS,
        payload=_payload(layout.names if layout else frozenset({"id", UNNAMED})),
        one_id_kind=True,
        max_number_id=_MAX_NUMBER,
        max_id_bytes=MAX_ID_BYTES,
        collection_names=NAMES,
        max_batch_rows=MAX_BATCH_ROWS,
        max_batch_bytes=MAX_BATCH_BYTES,
    )


def folder(key: IdKind | None, layout: Layout | None) -> Capabilities:
    """A folder, which one process opens; one call at a time. It takes payloads and vector fields without a limit."""
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


def server(
    connection: Connection, key: IdKind | None, layout: Layout | None, max_vectors: int = MAX_VECTORS
) -> Capabilities:
    """A server. Two writers bring 1.2 to 1.4 times the rate of one, four readers 1.9; milvus-lite takes one of each.

    Milvus before 2.4 has no sparse vectors, and one vector field a collection. `max_vectors`: what the server was set
    to. It counts the id 2^63-1 and never gives it.
    """
    if connection.is_lite:
        return _capabilities("milvus", "milvus-lite as a server", key, layout)
    found = _capabilities("milvus", "a Milvus server", key, layout)
    version = connection.version or _SPARSE_SINCE
    kinds = _VECTORS.kinds if version >= _SPARSE_SINCE else frozenset({VectorKind.DENSE})
    most = 1 if version < _SEVERAL_VECTORS_SINCE else max_vectors
    return replace(
        found,
        vectors=replace(_VECTORS, kinds=kinds, max_fields=most),
        payload=replace(found.payload, max_bytes=MAX_PAYLOAD_BYTES),
        max_number_id=_MAX_NUMBER - 1,
        parallel_reads=4,
        parallel_writes=2,
    )
