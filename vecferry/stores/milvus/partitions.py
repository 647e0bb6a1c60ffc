"""Partitions of a collection: which there are, how many records each holds, and in which one a record is."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
from pymilvus.grpc_gen import milvus_pb2

from vecferry import batch as batches
from vecferry import canonical
from vecferry.conditions import Condition, Equals
from vecferry.errors import BadRecord
from vecferry.stores.milvus.connection import Connection
from vecferry.stores.milvus.failures import NoSuchCall
from vecferry.stores.milvus.payloads import Unfit, typed_texts

__all__ = ["labelled", "named", "names_of", "stored_rows"]


def named(conditions: Sequence[Condition], key: str) -> str:
    """The one partition that holds all records of these conditions, where the partitions tell the payload key `key`."""
    keys = {found.key if isinstance(found, Equals) and found.field == key else "null" for found in conditions}
    value = canonical.decode(keys.pop()) if key and len(keys) == 1 else None
    return value if isinstance(value, str) else ""


def names_of(connection: Connection, name: str) -> list[str]:
    """The partitions of a collection now; every one has at least one. None where there is no such thing (lite 2)."""
    request = milvus_pb2.ShowPartitionsRequest(collection_name=name)
    try:
        return list(connection.call("ShowPartitions", request).partition_names)
    except NoSuchCall:
        return []


def stored_rows(connection: Connection, name: str, partition: str) -> int:
    """The records of a partition of milvus-lite. A server's answer leaves deletions out: count there."""
    request = milvus_pb2.GetPartitionStatisticsRequest(collection_name=name, partition_name=partition)
    stats = connection.call("GetPartitionStatistics", request).stats
    return int(next(pair.value for pair in stats if pair.key == "row_count"))


def labelled(page: pa.RecordBatch, key: str, partition: str, url: str) -> pa.RecordBatch:
    """A page with its partition's name as a key of each payload. Raises BadRecord where the key is taken."""
    if not page.num_rows:
        return page
    try:
        texts = typed_texts({key: [partition] * page.num_rows}, batches.payloads(page))
    except Unfit as error:
        text = batches.id_texts(page)[error.row].as_py()
        raise BadRecord(
            f"{url}: the payload of record {text!r} has a key {key!r}", advice="another name as ?partition_field="
        ) from error
    at = page.schema.get_field_index(batches.PAYLOAD)
    return page.set_column(at, page.schema.field(at), pa.array(texts, pa.binary()).cast(pa.string()))
