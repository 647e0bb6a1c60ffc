"""The quick way to read a line against the strict one: never another record, never an error less."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from vecferry.stores.json_text import object_text, parse_strictly, payload_text
from vecferry.stores.jsonl.dialects import Dialect
from vecferry.stores.jsonl.points import Point, Rules, _point, read_record

KEYS = st.sampled_from(["a", ":", "vector", "id", '"vector":[', "$vecferry", "é", "\ud800", "true", ""])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**66), 2**66)
    | st.floats()
    | KEYS
    | st.sampled_from(["1:2", "]", "x[1:2]", "1e400"])
)


def json_text(value: Any, ascii_only: bool) -> str:
    return json.dumps(value, ensure_ascii=ascii_only)


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    """JSON text of an object, whose keys may repeat and may be escaped in any way."""
    pairs = draw(st.lists(st.tuples(KEYS, inner), max_size=4))
    colon = draw(st.sampled_from([":", " : ", ": "]))
    texts = []
    for key, value in pairs:
        text = json_text(key, draw(st.booleans()))
        texts.append((text.replace(":", "\\u003a") if draw(st.booleans()) else text) + colon + value)
    return "{" + ",".join(texts) + "}"


TEXTS = st.recursive(
    st.builds(json_text, SCALARS, st.booleans()),
    lambda inner: objects(inner) | st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]"),
    max_leaves=8,
)
VECTORS = st.lists(st.integers(-9, 9) | st.floats(-9, 9)).map(json.dumps) | st.sampled_from(
    ["null", "[true]", '{"a":[1],"a":[2]}', '{":":[1.5]}', '{"s":{"indices":[1],"values":[2]}}', "[[1,2],[3,4]]"]
)
FIELDS = st.one_of(
    st.tuples(st.just("id"), st.sampled_from(["1", '"a:b"', '"\\u003a"', "18446744073709551616", "-5"])),
    st.tuples(st.just("vector"), VECTORS),
    st.tuples(st.just("payload"), objects(TEXTS) | TEXTS),
    st.tuples(st.just("document"), st.builds(json_text, KEYS, st.booleans())),
)


def strictly(text: bytes, tagged: bool) -> Point | None:
    """The record as the strict parser gives it, or None where it refuses."""
    try:
        value = parse_strictly(text)
        return _point(value, text, Rules(Dialect.LINES), payload_text(value.get("payload"), tagged=tagged))
    except ValueError:
        return None


def quickly(text: bytes, tagged: bool) -> Point | None:
    try:
        return read_record({"point": (0, text)}, Rules(Dialect.LINES, tagged))
    except ValueError:
        return None


@settings(max_examples=examples(300), deadline=None)
@given(st.lists(FIELDS, max_size=5), st.booleans())
@example([("id", "1"), ("payload", '{"vector":[1],"vector":[2]}')], False)
@example([("id", "1"), ("payload", '{"k":"\\"vector\\"[1:2]","a":1,"a":2}')], False)
@example([("id", "1"), ("payload", '{"a":1e30,"b":1000000000000000000000000000000}')], False)
@example([("id", "1"), ("payload", '{"$vecferry":["float","nan"]}')], True)
def test_the_quick_way_gives_what_the_strict_way_gives(fields: list[tuple[str, str]], tagged: bool) -> None:
    """Whatever the spacing, escapes, repeated keys, long integers and text that looks like JSON."""
    text = ("{" + ",".join(f'"{key}":{value}' for key, value in fields) + "}").encode("utf-8", "surrogatepass")
    found = quickly(text, tagged)
    expected = strictly(text, tagged)
    assert repr(found) == repr(expected)


@settings(max_examples=examples(200), deadline=None)
@given(objects(TEXTS))
def test_a_sidecar_is_read_as_strictly(text: str) -> None:
    """An object read quickly has the canonical text that the strict parser gives, or is refused as there."""
    raw = text.encode("utf-8", "surrogatepass")
    try:
        expected: bytes | None = payload_text(parse_strictly(raw), tagged=False)
    except ValueError:
        expected = None
    try:
        found: bytes | None = object_text(raw)
    except ValueError:
        found = None
    assert found == expected
