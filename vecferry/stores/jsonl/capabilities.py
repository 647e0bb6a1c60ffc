"""What each form of JSON can say, so that a plan encodes, lists or refuses the rest.

A file of points holds whatever a record can be. The other forms hold what the programs take that read them.
"""

from __future__ import annotations

from dataclasses import replace

from vecferry.capabilities import Capabilities, PayloadSupport, PayloadType, VectorSupport
from vecferry.model import DType, IdKind, Metric, VectorKind
from vecferry.stores.jsonl.dialects import Dialect

__all__ = ["CAPABILITIES"]

_POINTS = Capabilities(
    store="jsonl",
    engine="a file of JSON",
    id_kinds=frozenset(IdKind),
    vectors=VectorSupport(
        kinds=frozenset(VectorKind),
        dtypes=frozenset(DType),
        metrics=frozenset(Metric),
        named=True,
        missing=True,
    ),
    document=True,
    stores_metric=False,
    parallel_reads=2,
    parallel_writes=2,
    max_batch_rows=10_000,
    max_batch_bytes=64 << 20,
    cheap_vectors=True,
)
_QDRANT = replace(
    _POINTS,
    engine="a Qdrant dump",
    id_kinds=frozenset({IdKind.UINT64, IdKind.UUID}),
    vectors=replace(_POINTS.vectors, dtypes=frozenset({DType.FLOAT32, DType.FLOAT16, DType.UINT8})),
    payload=PayloadSupport(
        types=frozenset(PayloadType) - {PayloadType.SPECIAL},
        integer_min=-(2**63),
        integer_max=2**64 - 1,
    ),
    document=False,
)
_SCALARS = frozenset({PayloadType.BOOL, PayloadType.INTEGER, PayloadType.FLOAT, PayloadType.STRING})
_LISTS = frozenset({PayloadType.BOOL_LIST, PayloadType.INTEGER_LIST, PayloadType.FLOAT_LIST, PayloadType.STRING_LIST})
_METADATA = PayloadSupport(
    types=_SCALARS | _LISTS,
    integer_min=-(2**63),
    integer_max=2**63 - 1,
    empty_key=False,
    reserved_prefixes=("#", "$", "chroma:"),
)
_CHROMA = replace(
    _POINTS,
    engine="Chroma columns",
    id_kinds=frozenset({IdKind.STRING}),
    vectors=VectorSupport(metrics=frozenset(Metric)),
    payload=_METADATA,
    empty_id=False,
)
_CDP = replace(_CHROMA, engine="chromadb-data-pipes", payload=replace(_METADATA, types=_SCALARS))

CAPABILITIES = {
    Dialect.LINES: _POINTS,
    Dialect.DUMP: _QDRANT,
    Dialect.LIST: _QDRANT,
    Dialect.COLUMNS: _CHROMA,
    Dialect.CDP: _CDP,
}
