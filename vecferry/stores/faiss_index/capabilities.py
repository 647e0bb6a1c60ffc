"""What an index file and its metadata JSON hold, by the kind of index that is built."""

from __future__ import annotations

from vecferry.capabilities import Capabilities, PayloadSupport, VectorSupport
from vecferry.model import DType, IdKind, Metric, VectorKind
from vecferry.stores.faiss_index.options import Kind

__all__ = ["METRICS", "METRIC_CODES", "capabilities"]

METRICS = {0: Metric.DOT, 1: Metric.SQUARED_EUCLID, 2: Metric.MANHATTAN}
"""FAISS's numbers of the metrics that have a name here."""

METRIC_CODES = {metric: code for code, metric in METRICS.items()}

_MAX_DIMENSION = 1 << 20
"""FAISS refuses to read an index of more dimensions (`read_index_header`)."""


def capabilities(kind: Kind) -> Capabilities:
    """FAISS drops a vector with NaN from inverted lists and cannot link it in a graph: only `flat` takes such."""
    return Capabilities(
        store="faiss",
        engine="a FAISS index",
        id_kinds=frozenset({IdKind.UINT64, IdKind.STRING}),
        vectors=VectorSupport(
            kinds=frozenset({VectorKind.DENSE}),
            dtypes=frozenset({DType.FLOAT32}),
            metrics=frozenset(METRIC_CODES),
            max_dimension=_MAX_DIMENSION,
            nonfinite=kind is Kind.FLAT,
        ),
        payload=PayloadSupport(reserved_keys=frozenset({"id"})),
        parallel_reads=2,
        parallel_writes=2,
        max_batch_rows=10_000,
        max_batch_bytes=64 << 20,
        cheap_vectors=True,
    )
