"""Qdrant's gRPC without the client's per-number and per-value work: answers to columns, columns to requests.

channel options   CHANNEL_OPTIONS
call              raw_method(channel, "Scroll")(request_bytes) -> answer_bytes
read              parse_scroll(answer, fields), parse_get(answer, fields)
write             encode_points(...).request(start, stop, collection_name=...)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import pyarrow as pa
from google.protobuf.message import DecodeError
from qdrant_client import grpc as official

from vecferry.batch import Dense, Multi, Sparse
from vecferry.errors import BadRecord
from vecferry.model import IdKind, RecordId, VectorField
from vecferry.stores.qdrant import messages
from vecferry.stores.qdrant.columns import LayoutDiffers, vector_columns
from vecferry.stores.qdrant.identifiers import parse_ids, record_id
from vecferry.stores.qdrant.points import EncodedPoints, encode_points
from vecferry.stores.qdrant.values import BeyondInt64, PayloadReader, PayloadRefused

__all__ = [
    "CHANNEL_OPTIONS",
    "BeyondInt64",
    "EncodedPoints",
    "PayloadRefused",
    "Points",
    "encode_points",
    "parse_get",
    "parse_scroll",
    "raw_method",
]

# A server gzips every answer for a client that says it can read gzip, and spends most of its CPU on that.
# Messages are as large as their points are; gRPC's default limit of 4 MB is no limit of Qdrant.
CHANNEL_OPTIONS: dict[str, int] = {
    "grpc.compression_enabled_algorithms_bitset": 1,
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
}


@dataclass(frozen=True, slots=True)
class Points:
    """The rows of one answer as columns, fit for `vecferry.batch.make`.

    `ids` are canonical texts, `kinds` one kind for all or one for each; vectors are float32 whatever
    type the server stores; `payloads` are canonical JSON texts, None where none were read.
    """

    ids: pa.StringArray
    kinds: Sequence[IdKind] | IdKind
    vectors: dict[str, Dense | Sparse | Multi]
    payloads: list[bytes] | None

    def __len__(self) -> int:
        return len(self.ids)


def raw_method(channel: grpc.Channel, name: str) -> Callable[..., Any]:
    """A method of the service `qdrant.Points` that takes and gives bytes: `Scroll`, `Get`, `Upsert`, ..."""
    method: Callable[..., Any] = channel.unary_unary(f"/qdrant.Points/{name}")
    return method


def parse_scroll(
    answer: bytes, fields: Sequence[VectorField], *, payload: bool = True
) -> tuple[Points, RecordId | None]:
    """The points of a `ScrollResponse`, and where the next page begins (None: this was the last).

    `fields` are the vectors that were asked for. Raises BadRecord for an answer that is damaged or
    holds other vectors than these.
    """
    points, message = _parse(answer, messages.ScrollResponse, official.ScrollResponse, fields, payload)
    return points, record_id(message.next_page_offset) if message.HasField("next_page_offset") else None


def parse_get(answer: bytes, fields: Sequence[VectorField], *, payload: bool = True) -> Points:
    """The points of a `GetResponse`; as `parse_scroll`."""
    return _parse(answer, messages.GetResponse, official.GetResponse, fields, payload)[0]


def _parse(answer: bytes, fast: Any, slow: Any, fields: Sequence[VectorField], payload: bool) -> tuple[Points, Any]:
    try:
        message = fast.FromString(answer)
        try:
            return _points(message, fields, payload), message
        except LayoutDiffers:
            # The official classes read every layout that protobuf allows and write the one that is expected here.
            message = fast.FromString(slow.FromString(answer).SerializeToString())
            return _points(message, fields, payload), message
    except (DecodeError, LayoutDiffers, ValueError) as error:
        raise BadRecord(f"an answer of Qdrant cannot be read: {error}") from error


def _points(message: Any, fields: Sequence[VectorField], payload: bool) -> Points:
    rows = list(message.result)
    ids, kinds = parse_ids([row.id for row in rows])
    vectors = vector_columns([row.vectors for row in rows], fields)
    if not payload:
        return Points(ids, kinds, vectors, None)
    text = PayloadReader().text
    return Points(ids, kinds, vectors, [text(row.payload[:]) for row in rows])
