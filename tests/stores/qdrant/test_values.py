"""Payloads on the wire, held against the official classes."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from qdrant_client import grpc as official
from qdrant_client.conversions.conversion import grpc_to_payload, payload_to_grpc

from tests.stores.qdrant.shapes import payloads, unhurried
from vecferry import canonical
from vecferry.stores.qdrant.messages import Struct
from vecferry.stores.qdrant.values import MAX_DEPTH, BeyondInt64, PayloadReader, PayloadRefused, encode_payloads

STRUCT_FIELD = 1


def read(struct: bytes) -> bytes:
    """Canonical JSON of a serialised `Struct`, whose entries look as a payload's do."""
    return PayloadReader().text(Struct.FromString(struct).fields)


def nested(levels: int, kind: type) -> dict[str, Any]:
    value: Any = 1
    for _ in range(levels):
        value = [value] if kind is list else {"k": value}
    return {"top": value}


@unhurried
@given(payloads)
@example({"a": 1, "b": 1.0, "c": True, "d": -0.0, "e": 5e-324, "f": -(2**63), "g": {}, "h": [], "": None})
@example({"long": "x" * 20_000, "list": list(range(-70, 300)), "key " + "k" * 200: [[[{"": ""}]]]})
def test_a_payload_reads_as_the_official_classes_wrote_it(payload: dict[str, Any]) -> None:
    """Canonical text from the wire equals canonical text of the data, so 1, 1.0 and true stay apart."""
    struct = official.Struct(fields=payload_to_grpc(payload))
    assert read(struct.SerializeToString()) == canonical.encode(payload)


@unhurried
@given(payloads)
@example({"a": 1, "b": 1.0, "c": True, "d": -0.0, "e": 5e-324, "f": -(2**63), "g": {}, "h": [], "": None})
@example({"long": "x" * 20_000, "list": list(range(-70, 300)), "key " + "k" * 200: [[[{"": ""}]]]})
def test_a_payload_is_written_as_the_official_classes_read_it(payload: dict[str, Any]) -> None:
    """The official classes find the same data in our bytes, types included."""
    (raw,) = encode_payloads([payload], STRUCT_FIELD)
    assert canonical.encode(grpc_to_payload(official.Struct.FromString(raw).fields)) == canonical.encode(payload)


@pytest.mark.parametrize(
    ("value", "text"), [(math.nan, "nan"), (math.inf, "inf"), (-math.inf, "-inf")], ids=["nan", "inf", "-inf"]
)
def test_a_number_that_json_cannot_say_reads_in_its_tagged_form(value: float, text: str) -> None:
    """A non-finite double is neither null nor text, and reading it twice in one answer changes nothing."""
    raw = Struct.FromString(
        official.Struct(fields={"x": official.Value(double_value=value)}).SerializeToString()
    ).fields
    reader = PayloadReader()
    expected = b'{"x":{"$vecferry":["float","%s"]}}' % text.encode()
    assert [reader.text(raw), reader.text(raw)] == [expected, expected]


def test_data_that_looks_like_a_tag_is_escaped() -> None:
    """A payload of someone who writes our tag reads back as that payload."""
    payload = {"x": {"$vecferry": ["float", "nan"]}}
    text = read(official.Struct(fields=payload_to_grpc(payload)).SerializeToString())
    assert canonical.decode(text) == payload


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (b"\x12\x02\x18\x05", b'{"":5}'),
        (b"\x12\x02\x18\x05\x0a\x01k", b'{"k":5}'),
        (b"\x0a\x81\x00k\x12\x02\x18\x05", b'{"k":5}'),
        (b"\x0a\x01k\x12\x82\x00\x18\x05", b'{"k":5}'),
        (b"\x0a\x01k\x12\x03\x18\x85\x00", b'{"k":5}'),
        (b"\x0a\x01k\x12\x02\x28\x02", b'{"k":true}'),
        (b"\x0a\x01k\x12\x04\x28\x01\x18\x05", b'{"k":5}'),
        (b"\x0a\x01k\x12\x06\x3a\x04\x0a\x02\x08\x07", b'{"k":[null]}'),
        (b"\x0a\x01k\x12\x05\x22\x03a\x00b", b'{"k":"a\\u0000b"}'),
    ],
    ids=[
        "no key",
        "value first",
        "long key length",
        "long length",
        "long integer",
        "odd boolean",
        "two values",
        "odd null",
        "nul in text",
    ],
)
def test_an_unusual_entry_means_what_the_official_classes_say(entry: bytes, expected: bytes) -> None:
    """Layouts that protobuf allows and servers rarely write are read right, not rejected or misread."""
    struct = b"\x0a" + bytes([len(entry)]) + entry
    fields = official.Struct.FromString(struct).fields
    assert canonical.encode(grpc_to_payload(fields)) == expected
    assert read(struct) == expected


@pytest.mark.parametrize("entry", [b"\x0a\x01k", b"\x0a\x01k\x12\x00", b"\x0a\x01k\x12\x04\x3a\x02\x0a\x00"])
def test_a_value_without_content_is_an_error(entry: bytes) -> None:
    """An empty value is not taken for null."""
    with pytest.raises(ValueError, match="no content"):
        read(b"\x0a" + bytes([len(entry)]) + entry)


def test_the_last_of_two_equal_keys_counts() -> None:
    """A key that stands twice reads as protobuf's maps do."""
    raw = b"".join(encode_payloads([{"k": 1}, {"k": 2}], STRUCT_FIELD))
    assert read(raw) == b'{"k":2}'


@pytest.mark.parametrize("kind", [list, dict])
def test_the_deepest_payload_that_is_sent_can_be_read_by_the_client(kind: type) -> None:
    """At the limit the official classes still read what we write; one level more is refused."""
    (raw,) = encode_payloads([nested(MAX_DEPTH, kind)], STRUCT_FIELD)
    assert grpc_to_payload(official.Struct.FromString(raw).fields) == nested(MAX_DEPTH, kind)
    with pytest.raises(PayloadRefused, match="row 0 is nested deeper than 32 levels"):
        encode_payloads([nested(MAX_DEPTH + 1, kind)], STRUCT_FIELD)


def test_payloads_deeper_than_the_client_can_read_are_read() -> None:
    """The 120 levels that a server may hold come through, though the client's classes refuse them."""
    body = b"\x18\x01"
    for _ in range(119):
        item = b"\x0a" + _length(body) + body
        body = b"\x3a" + _length(item) + item
    entry = b"\x0a\x01k\x12" + _length(body) + body
    expected = b'{"k":' + b"[" * 119 + b"1" + b"]" * 119 + b"}"
    assert PayloadReader().text([entry]) == expected


def _length(raw: bytes) -> bytes:
    return bytes([len(raw)]) if len(raw) < 0x80 else bytes([len(raw) & 0x7F | 0x80, len(raw) >> 7])


@pytest.mark.parametrize("number", [2**63, 2**64 - 1, 2**64, 10**30, -(2**63) - 1])
def test_integers_beyond_int64_are_refused_by_name(number: int) -> None:
    """No integer is cut or turned into a double; the error names the row and the number."""
    with pytest.raises(BeyondInt64, match=f"row 2 has the integer {number}") as caught:
        encode_payloads([{}, {"n": 1}, {"n": [number]}], STRUCT_FIELD)
    assert caught.value.row == 2


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "number nan"),
        (math.inf, "number inf"),
        (b"x", "type bytes"),
        ((1, 2), "type tuple"),
        ("\ud800", "lone surrogate"),
        ({1: 2}, "not text"),
    ],
)
def test_what_qdrant_cannot_hold_is_refused_with_its_row(value: Any, message: str) -> None:
    """Non-finite numbers, bytes, tuples, surrogates and other keys raise instead of changing."""
    with pytest.raises(PayloadRefused, match=f"row 1 has .*{message}") as caught:
        encode_payloads([{}, {"x": [value]}], STRUCT_FIELD)
    assert caught.value.row == 1
