"""Conditions take exactly the records that they name, whatever payloads look like."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mapping.cases import HOSTILE_KEYS, make_batch, payloads, scalars, values
from tests.support.examples import examples
from vecferry import canonical
from vecferry.conditions import (
    Between,
    Condition,
    Equals,
    Missing,
    Others,
    Ranges,
    from_plain,
    matches,
    matches_any,
    to_plain,
    value_texts,
)
from vecferry.errors import ConfigError
from vecferry.model import IdKind

FIELD = "workspace_id"
VALUES: list[Any] = [
    None, True, False, 0, 1, 1.0, -0.0, 0.0, "1", "", "true", "null", 2**64, -(2**63) - 1, float("nan"), float("inf"),
    [], [1], ["1"], [[]], {}, {"a": 1}, {"$vecferry": ["float", "nan"]}, b"1", dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    "x" * 5000, "\ud800", 'a","workspace_id":"b', "日本語 🚢", "a{b}c", "}", ",",
]  # fmt: skip

fields = st.sampled_from([FIELD, *HOSTILE_KEYS, ",", ":", "}", "{", "]", "a,", '"', "a:b", "\n", "x" * 600])


def batch_of(rows: list[dict[str, Any]]):
    return make_batch([(IdKind.UINT64, str(at)) for at in range(len(rows))], rows)


def key_of(value: Any) -> str:
    return canonical.encode(value).decode()


@pytest.mark.parametrize("other", [{}, {"a": {"workspace_id": "1"}, "z": [{"workspace_id": 1}]}], ids=["flat", "deep"])
def test_every_value_is_its_own_group(other):
    """Of values that look alike each is taken by its own condition alone, beside flat and nested neighbours."""
    rows = [{FIELD: value, **other} for value in VALUES] + [other]
    batch = batch_of(rows)
    for at, value in enumerate(VALUES):
        assert np.flatnonzero(matches(Equals(FIELD, key_of(value)), batch)).tolist() == [at], value
    assert np.flatnonzero(matches(Missing(FIELD), batch)).tolist() == [len(VALUES)]


@settings(max_examples=examples(100), deadline=None)
@given(rows=st.lists(payloads, max_size=6), field=fields, given_values=st.lists(values, min_size=1, max_size=4))
def test_texts_of_values_are_those_of_the_parsed_payloads(rows, field, given_values):
    """The text of a value is what parsing its whole payload gives, for any field and any payload."""
    rows = [*rows, *({**row, field: value} for row, value in zip([*rows, {}, {}, {}, {}], given_values, strict=False))]
    expected = [key_of(row[field]) if field in row else None for row in rows]
    batch = batch_of(rows)
    assert value_texts(batch.column("payload"), field).to_pylist() == expected
    for key in {text for text in expected if text is not None}:
        assert matches(Equals(field, key), batch).tolist() == [text == key for text in expected]


@settings(max_examples=examples(60), deadline=None)
@given(found=st.lists(st.one_of(scalars, values), max_size=8), known=st.lists(scalars, max_size=4))
def test_every_record_is_in_exactly_one_group(found, known):
    """Values, the missing and the others cut any records into groups without a gap or an overlap."""
    batch = batch_of([{FIELD: value, "a": 1} for value in found] + [{"a": 1}])
    named: list[Equals | Missing] = [Equals(FIELD, key) for key in dict.fromkeys(map(key_of, known))]
    groups: list[Condition] = [*named, Missing(FIELD), Others(FIELD, (*named, Missing(FIELD)))]
    taken = np.sum([matches(group, batch) for group in groups], axis=0)
    assert taken.tolist() == [1] * batch.num_rows
    assert matches_any(groups, batch).all()


def test_dates_are_ranges_in_utc():
    """A range takes its start and not its end, compares instants, and takes UTC where a text has no zone."""
    january = Between(FIELD, "2024-01-01", "2024-02-01")
    inside = [
        "2024-01-01", "2024-01-01T00:00:00Z", "2024-01-31T23:59:59.999999", "2023-12-31T23:30:00-01:00",
        "2024-02-01T00:30:00+01:00", "2024-01-31T23:59:59.9999999", dt.datetime(2024, 1, 5, tzinfo=dt.UTC),
        dt.date(2024, 1, 1),
    ]  # fmt: skip
    outside = [
        "2024-02-01", "2024-02-01T00:00:00Z", "2023-12-31T23:59:59.999999", "2024-01-01T00:30:00+01:00", None,
        "January", "", 1704067200, 1704067200000.0, True, ["2024-01-05"], {"a": "2024-01-05"}, "0001-01-01T00:00+10:00",
        float("nan"), dt.date(2024, 2, 1),
    ]  # fmt: skip
    batch = batch_of([{FIELD: value} for value in inside + outside] + [{}])
    assert matches(january, batch).tolist() == [True] * len(inside) + [False] * (len(outside) + 1)
    rest = matches(Others(FIELD, (january,)), batch)
    assert rest.tolist() == [False] * len(inside) + [True] * (len(outside) + 1)


def test_numbers_are_ranges_of_numbers():
    """Between numbers lie finite integers and floats, compared exactly; neither texts nor booleans nor NaN."""
    found = [0, 0.5, -0.0, 9, 2**53 + 1, 10, -1, "5", True, None, float("nan"), float("inf"), "2024-01-01"]
    batch = batch_of([{FIELD: value} for value in found])
    assert np.flatnonzero(matches(Between(FIELD, 0, 10), batch)).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(matches(Between(FIELD, 2**53 + 1, None), batch)).tolist() == [4]
    assert np.flatnonzero(matches(Between(FIELD, None, 0), batch)).tolist() == [6]


@pytest.mark.parametrize(
    ("start", "end"),
    [(None, None), ("2024-01-01", 5), ("tomorrow", None), (5, 5), ("2024-01-02", "2024-01-01"), (float("nan"), 1)],
)
def test_a_range_that_is_none_is_refused(start, end):
    """Borders of two sorts, none at all, unreadable ones and an empty range are errors of the configuration."""
    with pytest.raises(ConfigError):
        Between(FIELD, start, end)


def test_overlapping_ranges_are_refused():
    """Two ranges that share an instant are refused, also where zones hide it; ranges that touch are fine."""
    touching = [Between(FIELD, None, "2024-01-01"), Between(FIELD, "2024-01-01", None), Between(FIELD, 1, 2)]
    assert Ranges(touching).of("2023-12-31T23:59:59") is touching[0]
    assert Ranges(touching).of(1.5) is touching[2]
    with pytest.raises(ConfigError, match="overlap"):
        Ranges([Between(FIELD, None, "2024-01-01T00:00:00-01:00"), Between(FIELD, "2024-01-01", None)])


@pytest.mark.parametrize(
    "condition",
    [
        Equals(FIELD, '"acme"'),
        Missing("a.b"),
        Between(FIELD, "2024-01-01", None),
        Between(FIELD, 1, 2.5),
        Others(FIELD, (Equals(FIELD, "null"), Missing(FIELD), Between(FIELD, None, 7))),
    ],
    ids=["equals", "missing", "dates", "numbers", "others"],
)
def test_a_condition_survives_json(condition):
    """What a plan stores of a condition gives the same condition back, its types included."""
    import orjson

    again = from_plain(orjson.loads(orjson.dumps(to_plain(condition))))
    assert again == condition
    assert repr(again) == repr(condition)


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"kind": "near"},
        {"kind": "equals", "field": "a"},
        {"kind": "missing", "field": 1},
        {"kind": "between", "field": "a", "start": 1},
        {"kind": "between", "field": "a", "start": [1], "end": 2},
        {"kind": "others", "field": "a", "conditions": [{"kind": "others", "field": "a", "conditions": []}]},
    ],
)
def test_a_condition_that_nobody_wrote_is_refused(data):
    """Data of another shape is a ValueError and no condition."""
    with pytest.raises(ValueError, match="not a"):
        from_plain(data)
