"""Qdrant's payload (a map of `Value` messages) as canonical JSON, and payloads as its wire bytes.

Both directions work on the wire bytes of single map entries: with the client's message classes a value
costs several Python calls. Whatever does not look as a server writes it is read by the official classes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from qdrant_client import grpc as official

from vecferry import canonical
from vecferry.stores.qdrant import messages
from vecferry.stores.qdrant.varint import varint

__all__ = ["MAX_DEPTH", "BeyondInt64", "PayloadReader", "PayloadRefused", "encode_payloads"]

# Python's gRPC client reads 32 nested objects (protobuf's limit of 100 messages, three for each);
# a server that stored 127 levels does not start again.
MAX_DEPTH = 32

_INT64 = range(-(2**63), 2**63)
_DOUBLE = struct.Struct("<d")

_KEY, _VALUE = 0x0A, 0x12  # the two fields of a map entry
_NULL, _FLOAT, _INTEGER, _TEXT, _BOOL, _OBJECT, _LIST = 0x08, 0x11, 0x18, 0x22, 0x28, 0x32, 0x3A


class PayloadRefused(ValueError):
    """A payload that gRPC cannot carry to Qdrant. `row` counts from 0 in the list that was given."""

    def __init__(self, reason: str, row: int = -1) -> None:
        super().__init__(f"the payload of row {row} {reason}" if row >= 0 else reason)
        self.reason = reason
        self.row = row


class BeyondInt64(PayloadRefused):
    """An integer outside int64, the only integer of Qdrant's gRPC; REST takes it exactly up to 2^64 - 1."""


# Reading


class _Unusual(Exception):
    """Bytes that are not laid out as a server writes them; the official classes decide what they mean."""


class PayloadReader:
    """Reads the payloads of one answer, whose keys repeat.

    Pairs are not kept: tens of thousands of live tuples would make every garbage collection slow.
    """

    def __init__(self) -> None:
        self._keys = _Keys()

    def text(self, entries: Sequence[bytes]) -> bytes:
        """Canonical JSON of one payload from the raw map entries of its message.

        Raises ValueError for bytes that are no payload.
        """
        return canonical.encode(_read_map(entries, self._keys))


class _Keys(dict[bytes, str]):
    """UTF-8 -> text, decoded once."""

    def __missing__(self, raw: bytes) -> str:
        text = self[raw] = raw.decode()
        return text


def _read_map(entries: Iterable[bytes], keys: _Keys) -> dict[str, Any]:
    return dict([_read_entry(raw, keys) for raw in entries])


def _read_entry(raw: bytes, keys: _Keys) -> tuple[str, Any]:
    try:
        key_end = 2 + raw[1]
        length, start = raw[key_end + 1], key_end + 2
        if length > 0x7F:
            length, start = _length(raw, start - 1)
        if raw[0] != _KEY or raw[1] > 0x7F or raw[key_end] != _VALUE or start + length != len(raw):
            raise _Unusual
        return keys[raw[2:key_end]], _READERS[raw[start]](raw, start + 1)
    except (_Unusual, IndexError):
        return _entry_by_official_classes(raw)


def _length(raw: bytes, position: int) -> tuple[int, int]:
    """A varint at a position, and the position after it."""
    value = raw[position]
    position += 1
    if value < 0x80:
        return value, position
    value &= 0x7F
    shift = 7
    while True:
        octet = raw[position]
        position += 1
        value |= (octet & 0x7F) << shift
        if octet < 0x80:
            return value, position
        shift += 7


def _to_end(raw: bytes, position: int) -> int:
    """Where a length-delimited field that must reach to the end begins."""
    length, start = _length(raw, position)
    if start + length != len(raw):
        raise _Unusual
    return start


def _read_null(raw: bytes, position: int) -> None:
    if raw[position:] != b"\x00":
        raise _Unusual


def _read_float(raw: bytes, position: int) -> float:
    if position + 8 != len(raw):
        raise _Unusual
    value: float = _DOUBLE.unpack_from(raw, position)[0]
    return value


def _read_integer(raw: bytes, position: int) -> int:
    value, end = _length(raw, position)
    if end != len(raw) or end - position > 10 or value >= 1 << 64:
        raise _Unusual
    return value if value < 1 << 63 else value - (1 << 64)


def _read_text(raw: bytes, position: int) -> str:
    return raw[_to_end(raw, position) :].decode()


def _read_bool(raw: bytes, position: int) -> bool:
    if position + 1 != len(raw) or raw[position] > 1:
        raise _Unusual
    return raw[position] == 1


def _read_object(raw: bytes, position: int) -> dict[str, Any]:
    return _read_map(messages.Struct.FromString(raw[_to_end(raw, position) :]).fields, _Keys())


def _read_list(raw: bytes, position: int) -> list[Any]:
    values = messages.ListValue.FromString(raw[_to_end(raw, position) :]).values
    return [_READERS[value[0]](value, 1) for value in values]


def _unknown(raw: bytes, position: int) -> Any:
    raise _Unusual


_READERS: list[Callable[[bytes, int], Any]] = [_unknown] * 256
_READERS[_NULL] = _read_null
_READERS[_FLOAT] = _read_float
_READERS[_INTEGER] = _read_integer
_READERS[_TEXT] = _read_text
_READERS[_BOOL] = _read_bool
_READERS[_OBJECT] = _read_object
_READERS[_LIST] = _read_list


def _entry_by_official_classes(raw: bytes) -> tuple[str, Any]:
    fields = official.Struct.FromString(bytes([_KEY]) + varint(len(raw)) + raw).fields
    ((key, value),) = fields.items()
    return key, _official_value(value)


def _official_value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind is None:
        raise ValueError("a payload value has no content")
    if kind == "null_value":
        return None
    if kind == "struct_value":
        return {key: _official_value(item) for key, item in value.struct_value.fields.items()}
    if kind == "list_value":
        return [_official_value(item) for item in value.list_value.values]
    return getattr(value, kind)


# Writing


def encode_payloads(payloads: Iterable[dict[str, Any]], field: int) -> list[bytes]:
    """The wire bytes of each payload as the map field number `field` of a message.

    Takes what JSON knows: text, finite floats, integers of 64 bits with a sign, booleans, null, lists, objects.
    Raises BeyondInt64 or PayloadRefused, which name the row.
    """
    tag = varint(field << 3 | 2)
    prefixes = _KeyPrefixes()
    out = []
    for row, payload in enumerate(payloads):
        try:
            out.append(_map(payload, tag, prefixes, MAX_DEPTH))
        except PayloadRefused as error:
            raise type(error)(error.reason, row) from None
        except UnicodeEncodeError as error:
            raise PayloadRefused("has a lone surrogate, which UTF-8 cannot say", row) from error
    return out


class _KeyPrefixes(dict[str, bytes]):
    """Key -> the beginning of its map entry: the key field and the tag of the value field."""

    def __missing__(self, key: str) -> bytes:
        if not isinstance(key, str):
            raise PayloadRefused(f"has the key {key!r}, which is not text")
        raw = key.encode()
        prefix = self[key] = b"%c%b%b%c" % (_KEY, varint(len(raw)), raw, _VALUE)
        return prefix


def _map(items: dict[str, Any], tag: bytes, prefixes: _KeyPrefixes, depth: int) -> bytes:
    out: list[bytes] = []
    for key, item in items.items():
        writer = _WRITERS.get(type(item))
        value = writer(item) if writer else _container(item, prefixes, depth)
        entry = prefixes[key] + varint(len(value)) + value
        out += (tag, varint(len(entry)), entry)
    return b"".join(out)


def _container(value: Any, prefixes: _KeyPrefixes, depth: int) -> bytes:
    if not isinstance(value, dict | list):
        raise PayloadRefused(f"has a value of type {type(value).__name__}, which Qdrant cannot hold")
    if not depth:
        raise PayloadRefused(f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        body = _map(value, b"\x0a", prefixes, depth - 1)
        return bytes([_OBJECT]) + varint(len(body)) + body
    out: list[bytes] = []
    for item in value:
        writer = _WRITERS.get(type(item))
        raw = writer(item) if writer else _container(item, prefixes, depth - 1)
        out += (b"\x0a", varint(len(raw)), raw)
    body = b"".join(out)
    return bytes([_LIST]) + varint(len(body)) + body


def _write_text(value: str) -> bytes:
    raw = value.encode()
    return b"\x22" + varint(len(raw)) + raw


def _write_float(value: float) -> bytes:
    if value - value != 0.0:
        raise PayloadRefused(f"has the number {value}, which JSON and Qdrant cannot hold")
    return b"\x11" + _DOUBLE.pack(value)


def _write_integer(value: int) -> bytes:
    if value not in _INT64:
        raise BeyondInt64(f"has the integer {value}, which does not fit the int64 of Qdrant's gRPC")
    return b"\x18" + varint(value if value >= 0 else value + (1 << 64))


_WRITERS: dict[type, Callable[[Any], bytes]] = {
    str: _write_text,
    float: _write_float,
    int: _write_integer,
    bool: lambda value: b"\x28\x01" if value else b"\x28\x00",
    type(None): lambda value: b"\x08\x00",
}
