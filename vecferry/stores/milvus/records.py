"""What is asked of Milvus for some parts of records, and its answers as record batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pymilvus.grpc_gen import common_pb2, milvus_pb2

from vecferry import batch as batches
from vecferry.errors import BadRecord
from vecferry.model import Part, VectorKind
from vecferry.stores.milvus import columns
from vecferry.stores.milvus.columns import read_key, read_scalar, read_vector
from vecferry.stores.milvus.connection import Connection
from vecferry.stores.milvus.layout import DYNAMIC, Layout
from vecferry.stores.milvus.payloads import Unfit, dynamic_texts, typed_texts
from vecferry.stores.milvus.schema import pairs

__all__ = ["ORDERED", "WireRows", "counted", "make_batch", "wanted_fields"]

ORDERED = {"iterator": "True", "reduce_stop_for_best": "True"}
"""Without these, an answer with a limit holds any records: on milvus-lite they come unordered."""

_STRONG = common_pb2.ConsistencyLevel.Value("Strong")
_COUNT = "count(*)"


def wanted_fields(layout: Layout, parts: frozenset[Part]) -> list[str]:
    """The fields that tell these parts."""
    names = [layout.key.name]
    if Part.VECTORS in parts:
        names += [place.field for place in layout.vectors]
    if Part.PAYLOAD in parts:
        names += [scalar.field for scalar in layout.scalars] + [DYNAMIC] * layout.dynamic
    return names


def make_batch(
    layout: Layout,
    parts: frozenset[Part],
    ids: pa.StringArray,
    vectors: Mapping[str, pa.Array],
    payloads: pa.Array | list[bytes] | None,
) -> pa.RecordBatch:
    """Columns as a batch in the schema of these parts. `vectors` by name."""
    return batches.make(
        ids,
        layout.key.kind,
        vectors=vectors if Part.VECTORS in parts else None,
        documents=pa.nulls(len(ids), pa.string()) if Part.DOCUMENT in parts else None,
        payloads=payloads,
    )


def _query(name: str, expression: str, fields: list[str], settings: Mapping[str, str], partition: str = "") -> Any:
    return milvus_pb2.QueryRequest(
        collection_name=name,
        partition_names=[partition] if partition else [],
        expr=expression,
        output_fields=fields,
        query_params=pairs(settings),
        consistency_level=_STRONG,
        use_default_consistency=False,
    )


def counted(connection: Connection, name: str, expression: str = "", partition: str = "") -> int:
    """The number of records, deletions and all writes before this call seen (`row_count` knows no deletions)."""
    answer = connection.call("Query", _query(name, expression, [_COUNT], {}, partition))
    return int(answer.fields_data[0].scalars.long_data.data[0])


class WireRows:
    """Records by the generated stub: vectors come as buffers."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name

    def ask(
        self, expression: str, layout: Layout, parts: frozenset[Part], limit: int | None = None, partition: str = ""
    ) -> pa.RecordBatch:
        """The records of a filter, of one partition or all; with a limit the first ones in the order of their keys."""
        settings = {"limit": str(limit), **ORDERED} if limit is not None else {}
        request = _query(self._name, expression, wanted_fields(layout, parts), settings, partition)
        answer = self._connection.call("Query", request)
        fields = {DYNAMIC if field.is_dynamic else field.field_name: field for field in answer.fields_data}
        if layout.key.name not in fields:
            return batches.empty(layout.fields, parts)
        return _batch(fields, layout, parts, self._connection.endpoint.url)

    def put(self, batch: pa.RecordBatch, layout: Layout) -> None:
        """Replace records whole: on a server by an upsert.

        On milvus-lite an upsert keeps old keys of the payload, and an insert replaces.
        """
        lite = self._connection.is_lite
        kind = milvus_pb2.InsertRequest if lite else milvus_pb2.UpsertRequest
        request = kind(collection_name=self._name, num_rows=batch.num_rows)
        columns.add_key(request, layout.key, batches.id_texts(batch))
        for place in layout.vectors:
            if place.vector.kind is VectorKind.SPARSE:
                columns.add_sparse(request, place, batches.sparse_column(batch, place.vector.name))
            else:
                columns.add_dense(request, place, batches.dense_column(batch, place.vector.name))
        columns.add_dynamic(request, batches.payloads(batch))
        self._connection.call("Insert" if lite else "Upsert", request)


def _batch(fields: Mapping[str, Any], layout: Layout, parts: frozenset[Part], url: str) -> pa.RecordBatch:
    ids = read_key(fields[layout.key.name])
    if not len(ids):
        return batches.empty(layout.fields, parts)
    vectors = {}
    if Part.VECTORS in parts:
        vectors = {
            place.vector.name: read_vector(fields[place.field], place, len(ids), url) for place in layout.vectors
        }
    payloads = _payloads(fields, layout, ids, url) if Part.PAYLOAD in parts else None
    return make_batch(layout, parts, ids, vectors, payloads)


def _payloads(fields: Mapping[str, Any], layout: Layout, ids: pa.StringArray, url: str) -> list[bytes]:
    raws = list(fields[DYNAMIC].scalars.json_data.data) if layout.dynamic and DYNAMIC in fields else []
    try:
        texts = dynamic_texts(raws) if raws else [b"{}"] * len(ids)
        if not layout.scalars:
            return texts
        typed = {scalar.field: read_scalar(fields[scalar.field], scalar) for scalar in layout.scalars}
        return typed_texts(typed, texts)
    except Unfit as error:
        raise BadRecord(f"{url}: record {ids[error.row].as_py()!r} cannot be read: {error.reason}") from error
