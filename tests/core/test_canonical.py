"""The one text of a payload: known answers, exact both ways, and no two values with one text."""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from vecferry import canonical

KNOWN: list[tuple[Any, str]] = [
    (None, "null"),
    (True, "true"),
    (0, "0"),
    (-1, "-1"),
    (2**53 + 1, "9007199254740993"),
    (2**64, "18446744073709551616"),
    (-(10**30), "-1000000000000000000000000000000"),
    (1.0, "1.0"),
    (-0.0, "-0.0"),
    (0.1, "0.1"),
    (4.95e-7, "4.95e-7"),
    (1e-5, "0.00001"),
    (1e15, "1000000000000000.0"),
    (1e16, "1e+16"),
    (1.7976931348623157e308, "1.7976931348623157e+308"),
    (5e-324, "5e-324"),
    (float("nan"), '{"$vecferry":["float","nan"]}'),
    (float("inf"), '{"$vecferry":["float","inf"]}'),
    (float("-inf"), '{"$vecferry":["float","-inf"]}'),
    ("ü\u0000\u2028/", '"ü\\u0000\u2028/"'),
    ("\ud800", '{"$vecferry":["text","7aCA"]}'),
    (b"\x00\xff", '{"$vecferry":["bytes","AP8="]}'),
    (dt.date(2024, 1, 2), '{"$vecferry":["date","2024-01-02"]}'),
    (
        dt.datetime(2024, 1, 2, 3, 4, 5, 678, tzinfo=dt.UTC),
        '{"$vecferry":["datetime","2024-01-02T03:04:05.000678+00:00"]}',
    ),
    ([], "[]"),
    ({}, "{}"),
    ([1, [2.0, None, [math.inf]]], '[1,[2.0,null,[{"$vecferry":["float","inf"]}]]]'),
    ({"b": 1, "a": 2, "": 3, "ü": 4, "Z": 5}, '{"":3,"Z":5,"a":2,"b":1,"ü":4}'),
    ({"\U0001f600": 1, "\uffff": 2}, '{"\uffff":2,"\U0001f600":1}'),
    ({"$vecferry": ["float", "nan"]}, '{"$vecferry":["object",{"$vecferry":["float","nan"]}]}'),
    ({"$vecferry": 1, "x": 2}, '{"$vecferry":1,"x":2}'),
    ({"\ud800": 1}, '{"$vecferry":["pairs",[[{"$vecferry":["text","7aCA"]},1]]]}'),
]

ANY_TEXT = st.text(st.characters(exclude_categories=())) | st.sampled_from(["$vecferry", "null", "float"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | ANY_TEXT
    | st.binary()
    | st.dates()
    # `fold` tells two readings of a wall clock apart; no engine stores it.
    | st.datetimes(timezones=st.none() | st.just(dt.UTC)).map(lambda moment: moment.replace(fold=0))
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner), max_leaves=12)
PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("$vecferry"), inner),
    max_leaves=12,
)


def typed(value: Any) -> Any:
    """The value with its types spelled out, so that 1, 1.0, True, -0.0 and NaN compare as what they are."""
    if isinstance(value, dict):
        return "dict", sorted(((typed(key), typed(item)) for key, item in value.items()), key=repr)
    if isinstance(value, list):
        return "list", [typed(item) for item in value]
    return type(value).__name__, value.hex() if isinstance(value, float) else repr(value)


@pytest.mark.parametrize(("value", "text"), KNOWN, ids=[ascii(value)[:40] for value, _ in KNOWN])
def test_known_values_have_known_texts(value: Any, text: str) -> None:
    """The text of a value never changes: archives and hashes rest on it."""
    assert canonical.encode(value) == text.encode()
    assert typed(canonical.decode(text)) == typed(value)


@settings(max_examples=examples(150), deadline=None)
@given(VALUES)
@example({"$vecferry": {"$vecferry": ["object", {}]}})
@example({"null": math.nan})
def test_decoding_gives_the_value_back(value: Any) -> None:
    """Whatever the value, what looks like a tag included, its text gives exactly it back, and it its text."""
    text = canonical.encode(value)
    back = canonical.decode(text)
    assert typed(back) == typed(value)
    assert canonical.encode(back) == text
    text.decode()


@settings(max_examples=examples(80), deadline=None)
@given(VALUES, VALUES)
def test_two_values_never_share_a_text(left: Any, right: Any) -> None:
    """Different values have different texts, equal values equal ones."""
    assert (canonical.encode(left) == canonical.encode(right)) == (typed(left) == typed(right))


@settings(max_examples=examples(80), deadline=None)
@given(VALUES)
def test_a_text_is_json_that_anyone_reads(value: Any) -> None:
    """Python's own json reads the text, and sees sorted keys at every level."""

    def check(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key.encode() for key, _ in pairs]
        assert keys == sorted(keys)
        return dict(pairs)

    json.loads(canonical.encode(value), object_pairs_hook=check)


@settings(max_examples=examples(80), deadline=None)
@given(PLAIN)
def test_json_from_outside_is_taken_literally(value: Any) -> None:
    """Text of another writer, however spaced or escaped, gives its value's canonical text; tags mean nothing."""
    for text in (json.dumps(value), json.dumps(value, indent=2, ensure_ascii=False)):
        assert canonical.encode_json_text(text) == canonical.encode(value)


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(VALUES, max_size=5))
def test_many_are_coded_as_each_alone(values: list[Any]) -> None:
    """Coding many at once gives what coding one by one gives."""
    texts = canonical.encode_many(values)
    assert texts == [canonical.encode(value) for value in values]
    assert [typed(value) for value in canonical.decode_many(texts)] == [typed(value) for value in values]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a":1,"a":2}', "stands twice"),
        ('[{"b":{"a":1,"\\u0061":2}}]', "stands twice"),
        ("1e400", "does not fit"),
        ("-1e400", "does not fit"),
        ('{"a":1', "Expecting"),
        ("", "Expecting"),
        ("[1,]", "Expecting"),
        ("{'a':1}", "Expecting"),
    ],
)
def test_json_that_plain_coders_change_in_silence_is_refused(text: str, problem: str) -> None:
    """Equal keys, numbers beyond a double and broken text are errors, not guesses."""
    with pytest.raises(ValueError, match=problem):
        canonical.encode_json_text(text)


@pytest.mark.parametrize("text", ["123456789012345678901", "[-9223372036854775809]", '{"a":18446744073709551616}'])
def test_long_integers_stay_integers(text: str) -> None:
    """An integer beyond 64 bits is never turned into a float, at the start of a text or inside."""
    assert canonical.encode(canonical.decode(text)) == text.encode()
    assert canonical.encode(canonical.to_json(text)) == text.encode()


def test_plain_json_keeps_the_tags() -> None:
    """`to_json` gives JSON types alone: what the tags stand for is left in them."""
    text = canonical.encode({"a": math.nan, "b": [1, 2.0]})
    assert canonical.to_json(text) == {"a": {"$vecferry": ["float", "nan"]}, "b": [1, 2.0]}


@pytest.mark.parametrize("value", [{1: 2}, {None: 1}, object(), {1, 2}, 1j, [object()], {"a": {True: 1}}])
def test_what_has_no_canonical_form_is_a_type_error(value: Any) -> None:
    """Keys that are not text, and types that payloads never have, are refused rather than spelled somehow."""
    with pytest.raises(TypeError):
        canonical.encode(value)
