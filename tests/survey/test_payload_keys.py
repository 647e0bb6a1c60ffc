"""Payload keys: different values, common values, and the longest one with its record."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from vecferry import batch, canonical
from vecferry.model import IdKind
from vecferry.survey import KeySurvey, Surveyor
from vecferry.survey import payload_keys as limits

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6) | st.binary(max_size=3)
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=2), SCALARS, max_size=2)
PAYLOADS = st.lists(st.dictionaries(st.sampled_from(["a", "b", "c", "\ud800"]), VALUES, max_size=3), max_size=12)


def rows(payloads: list[dict[str, Any]], start: int = 0) -> pa.RecordBatch:
    """Records `start`, `start + 1`, ... with these payloads."""
    names = [str(start + number) for number in range(len(payloads))]
    return batch.make(names, IdKind.UINT64, payloads=canonical.encode_many(payloads))


def surveyed(*blocks: list[dict[str, Any]]) -> dict[str, KeySurvey]:
    """What is found in payloads that come in these batches."""
    surveyor, start = Surveyor(), 0
    for block in blocks:
        surveyor.observe(rows(block, start))
        start += len(block)
    return surveyor.survey().keys


def identity(value: Any) -> tuple[type, bytes]:
    """What makes a value another one: its type and its canonical text."""
    return type(value), canonical.encode(value)


@settings(max_examples=examples(150), deadline=None)
@given(PAYLOADS, PAYLOADS)
def test_values_are_counted_as_plain_python_counts_them(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    """Of any type: how many records have the key, and how many different values it has."""
    found = surveyed(one, other)
    decoded = [canonical.decode(canonical.encode(payload)) for payload in one + other]
    for key in {key for payload in decoded for key in payload}:
        values = [payload[key] for payload in decoded if key in payload]
        survey = found[key.encode("utf-8", "backslashreplace").decode()]
        assert survey.values == len(values)
        assert survey.distinct == len(set(map(identity, values)))
        assert survey.distinct_exact


@settings(max_examples=examples(60), deadline=None)
@given(PAYLOADS, PAYLOADS)
def test_two_surveys_that_are_merged_are_one(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> None:
    """Slices are surveyed apart."""
    left, right, whole = Surveyor(), Surveyor(), Surveyor()
    blocks = rows(one), rows(other, len(one))
    for surveyor, seen in ((left, blocks[:1]), (right, blocks[1:]), (whole, blocks)):
        for block in seen:
            surveyor.observe(block)
    left.merge(right)
    merged, expected = left.survey(), whole.survey()
    assert merged.payload_bytes == expected.payload_bytes
    assert merged.payload_values == expected.payload_values
    assert {key: (k.values, k.distinct, k.longest_bytes) for key, k in merged.keys.items()} == {
        key: (k.values, k.distinct, k.longest_bytes) for key, k in expected.keys.items()
    }
    assert {key: sorted(k.top, key=str) for key, k in merged.keys.items() if len(k.top) < limits.TOP_SHOWN} == {
        key: sorted(k.top, key=str) for key, k in expected.keys.items() if len(k.top) < limits.TOP_SHOWN
    }


def test_the_longest_value_is_measured_in_bytes_and_names_its_record() -> None:
    """Five letters of two bytes are longer than eight of one; a list counts as its JSON, a number not at all."""
    found = surveyed(
        [{"text": "a" * 8, "tags": ["x"], "year": 2024}, {"text": "ü" * 5, "tags": ["x", "yy"], "year": 123456789}],
        [{"text": "b" * 9}, {"text": "c"}],
    )
    assert (found["text"].longest_bytes, found["text"].longest_id) == (10, "1")
    assert (found["tags"].longest_bytes, found["tags"].longest_id) == (len(b'["x","yy"]'), "1")
    assert (found["year"].longest_bytes, found["year"].longest_id) == (0, "")


def test_the_most_common_values_are_counted_exactly() -> None:
    """The first five, as JSON, with how often each stands; 1, 1.0 and true are three values."""
    values = ["pier"] * 4 + ["mole"] * 3 + [1, 1, 1.0, True, None, "quay"]
    found = surveyed([{"place": value} for value in values])["place"]
    expected = Counter({'"pier"': 4, '"mole"': 3, "1": 2, "1.0": 1, "true": 1, "null": 1, '"quay"': 1})
    assert found.top[:3] == (('"pier"', 4), ('"mole"', 3), ("1", 2))
    assert all(expected[text] == count for text, count in found.top)
    assert found.distinct == 7


def test_a_key_with_many_values_or_long_ones_has_no_common_ones() -> None:
    """Counting each of them would take memory without a bound; the number of different ones is still told."""
    many = surveyed([{"n": number} for number in range(limits.TOP_TRACKED + 1)])["n"]
    assert (many.top, many.distinct) == ((), limits.TOP_TRACKED + 1)
    long = surveyed([{"text": "x" * 200}, {"text": "y"}, {"text": "y"}])["text"]
    assert (long.top, long.distinct) == ((), 2)


def test_keys_beyond_the_bound_are_told_and_not_kept() -> None:
    """A payload whose keys are data does not fill the memory."""
    surveyor = Surveyor()
    for start in range(0, limits.MAX_KEYS + 10, 100):
        surveyor.observe(rows([{f"key {start + number}": 1} for number in range(100)]))
    found = surveyor.survey()
    assert (len(found.keys), found.more_keys) == (limits.MAX_KEYS, True)
    assert found.payload_values == 1100
