"""Ids on the wire: `PointId` messages as canonical text with a kind, and back."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vecferry.model import IdKind, RecordId
from vecferry.stores.qdrant import messages
from vecferry.stores.qdrant.schema import CANONICAL_UUID
from vecferry.stores.qdrant.varint import pack, unpack

__all__ = ["encode_ids", "parse_ids", "record_id"]

_NUMBER = b"\x08"
_UUID_TEXT_BYTES = 36
_UUID_HEAD = b"\x12\x24"


def record_id(message: Any) -> RecordId:
    """The typed id of a parsed `PointId`. Raises ValueError when it is empty or no UUID."""
    kind = message.WhichOneof("point_id_options")
    if kind is None:
        raise ValueError("a record has no id")
    if kind == "num":
        return RecordId(IdKind.UINT64, str(message.num))
    return RecordId(IdKind.UUID, str(uuid.UUID(message.uuid)))


def parse_ids(raws: Sequence[bytes]) -> tuple[pa.StringArray, list[IdKind] | IdKind]:
    """Canonical texts of raw `PointId` messages, with one kind for all or a kind for each.

    Raises ValueError for a message without an id or with a text that is no UUID.
    """
    if all(raw[:1] == _NUMBER for raw in raws):
        numbers, _ = unpack(b"".join([raw[1:] for raw in raws]))
        if len(numbers) == len(raws):
            return pa.array(numbers).cast(pa.string()), IdKind.UINT64
    elif all(raw.startswith(_UUID_HEAD) and len(raw) == len(_UUID_HEAD) + _UUID_TEXT_BYTES for raw in raws):
        texts = pa.array([raw[len(_UUID_HEAD) :] for raw in raws], pa.binary()).cast(pa.string())
        if pc.all(pc.match_substring_regex(texts, CANONICAL_UUID)).as_py():
            return texts, IdKind.UUID
    ids = [record_id(messages.PointId.FromString(raw)) for raw in raws]
    return pa.array([one.text for one in ids], pa.string()), [one.kind for one in ids]


def encode_ids(texts: pa.StringArray, kinds: Sequence[IdKind] | IdKind) -> list[bytes]:
    """Raw `PointId` messages. Raises ValueError for a kind or a number that Qdrant does not have."""
    if kinds is IdKind.UINT64:
        run, offsets = pack(texts.cast(pa.uint64()).to_numpy(zero_copy_only=False))
        return [_NUMBER + run[start:end] for start, end in pairwise(offsets.tolist())]
    if kinds is IdKind.UUID:
        return [_UUID_HEAD + text for text in _uuid_texts(texts)]
    if isinstance(kinds, IdKind):
        raise ValueError(f"Qdrant has no ids of kind {kinds.value}, only uint64 and uuid")
    return _encode_mixed(texts, np.array([kind.value for kind in kinds]))


def _encode_mixed(texts: pa.StringArray, kinds: Any) -> list[bytes]:
    out: list[bytes] = [b""] * len(texts)
    for kind in np.unique(kinds):
        rows = np.flatnonzero(kinds == kind)
        for row, raw in zip(rows.tolist(), encode_ids(texts.take(pa.array(rows)), IdKind(kind)), strict=True):
            out[row] = raw
    return out


def _uuid_texts(texts: pa.StringArray) -> list[bytes]:
    if not pc.all(pc.match_substring_regex(texts, CANONICAL_UUID)).as_py() and len(texts):
        raise ValueError("a uuid is not in its canonical text (lower case with hyphens)")
    listed: list[bytes] = texts.cast(pa.binary()).to_pylist()
    return listed
