"""The profile: counts that are right, also when they come from several profilers."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mapping.cases import documents, ids, make_batch, payloads, profile_of
from tests.support.examples import examples
from vecferry import batch as columns
from vecferry import canonical, plain, sealing
from vecferry.capabilities import PayloadType
from vecferry.mapping import Profile, Profiler, duplicates
from vecferry.mapping.duplicates import Duplicates
from vecferry.mapping.kinds import classify
from vecferry.mapping.payload_profiler import PayloadProfiler
from vecferry.mapping.profile import MAX_KEYS
from vecferry.model import IdKind


@st.composite
def batches(draw):
    typed_ids = draw(st.lists(ids(*IdKind), min_size=1, max_size=6))
    return make_batch(typed_ids, [draw(payloads) for _ in typed_ids], [draw(documents) for _ in typed_ids])


@settings(max_examples=examples(30), deadline=None)
@given(first=batches(), second=batches())
def test_merged_profilers_know_what_one_would(first, second):
    """Two slices looked at apart give the profile of both, duplicates across them included."""
    left, right = Profiler(), Profiler()
    left.observe(first)
    right.observe(second)
    left.merge(right)
    merged, whole = left.profile(), profile_of(first, second)
    assert merged.duplicate_ids == whole.duplicate_ids
    rest = {"duplicate_examples": (), "duplicate_ids": 0}
    assert plain.to_plain(merged) | rest == plain.to_plain(whole) | rest


@settings(max_examples=examples(30), deadline=None)
@given(batch=batches())
def test_keys_are_counted_by_type(batch):
    """Each key's counts are those of a plain loop over the payloads."""
    counted = {}
    for text in columns.payloads(batch):
        for key, value in canonical.decode(text).items():
            kinds = counted.setdefault(key.encode("utf-8", "backslashreplace").decode(), {})
            kinds[classify(value)] = kinds.get(classify(value), 0) + 1
    assert {key: found.types for key, found in profile_of(batch).payload.keys.items()} == counted


@settings(max_examples=examples(30), deadline=None)
@given(batch=batches())
def test_a_profile_is_plain_data(batch):
    """It goes into the ledger as JSON and comes back equal."""
    profile = profile_of(batch)
    assert plain.from_plain(Profile, plain.to_plain(profile)) == profile


def test_what_was_seen_is_in_the_profile():
    """Ids, documents, payload extremes, floats that change and vectors of a small collection."""
    rows = [{"n": 5, "f": 90.28571428571429, "s": "яя"}, {"n": -3, "f": -0.0, "l": [[1]]}, {"n": None, "b": b"x"}]
    vectors = np.array([[3, 4, 0], [0, 0, 0], [np.nan, 0, 0]], np.float32)
    batch = make_batch(
        [(IdKind.STRING, ""), (IdKind.INT64, "-7"), (IdKind.UINT64, "7")], rows, ["", None, "я"], vectors
    )
    found = profile_of(batch)
    assert found.id_kinds == {IdKind.STRING: 1, IdKind.INT64: 1, IdKind.UINT64: 1}
    assert (found.rows, found.empty_ids, found.negative_ids, found.longest_id_bytes) == (3, 1, 1, 2)
    assert (found.documents.absent, found.documents.empty, found.documents.present) == (1, 1, 1)
    keys = found.payload.keys
    assert (keys["n"].integer_min, keys["n"].integer_max) == (-3, 5)
    assert keys["n"].types == {PayloadType.INTEGER: 2, PayloadType.NULL: 1}
    assert (keys["f"].negative_zeros, keys["s"].longest_string_bytes, keys["l"].depth) == (1, 4, 2)
    assert (found.payload.inexact_one_pass_rows, found.payload.special_rows) == (1, 1)
    vector = found.vectors[""]
    assert (vector.norm_min, vector.norm_max, vector.zeros, vector.nonfinite) == (0.0, 5.0, 1, 1)
    assert vector.nonfinite_example == "7"


def test_parts_that_were_not_read_are_not_counted():
    """A profile of ids alone says that it saw no payload."""
    batch = make_batch([(IdKind.UINT64, "1")]).select([columns.ID, columns.ID_KIND])
    found = profile_of(batch)
    assert (found.rows, found.payload.rows, found.documents.rows, found.vectors) == (1, 0, 0, {})


@pytest.mark.parametrize("value", [1e300, 0.1])
def test_doubles_that_float32_does_not_hold_are_counted(value):
    """Rounding and overflow both."""
    vectors = np.array([[value, 1, 1], [0.5, 1, 1]])
    batch = make_batch([(IdKind.UINT64, "1"), (IdKind.UINT64, "2")], vectors=vectors)
    assert profile_of(batch).vectors[""].not_float32 == 1


def test_keys_beyond_the_limit_are_flagged():
    """Memory stays bounded when every record has keys of its own."""
    profiler = PayloadProfiler()
    profiler.observe(
        pa.array([canonical.encode({f"{row}-{at}": 1 for at in range(1001)}).decode() for row in range(10)])
    )
    found = profiler.profile()
    assert (len(found.keys), found.more_keys) == (MAX_KEYS, True)


@settings(max_examples=examples(60), deadline=None)
@given(numbers=st.lists(st.lists(st.integers(0, 20), max_size=8), max_size=8))
def test_duplicates_are_the_rows_less_the_distinct_ones(numbers):
    """Whatever the batches, each repeated row counts once."""
    found = Duplicates()
    for part in numbers:
        found.observe(make_batch([(IdKind.UINT64, str(number)) for number in part]))
    flat = [number for part in numbers for number in part]
    assert found.count == len(flat) - len(set(flat))
    assert bool(found.examples) == (found.count > 0)


def test_a_duplicate_in_two_slices_is_named():
    """The same line in two row ranges of a file is found when their profilers are merged, and shown by its text."""
    whole = Profiler()
    for text in ("a", "b", "a"):
        part = Profiler()
        part.observe(make_batch([(IdKind.STRING, text)]))
        whole.merge(part)
    assert (whole.profile().duplicate_ids, whole.profile().duplicate_examples) == (1, ("'a'",))


def test_a_duplicate_whose_text_was_not_kept_is_told_by_its_hash(monkeypatch):
    """Beyond the first million records the texts are gone, and the duplicate is counted all the same."""
    monkeypatch.setattr(duplicates, "_NAMED_ROWS", 0)
    left, right = Duplicates(), Duplicates()
    for side in (left, right):
        side.observe(make_batch([(IdKind.STRING, "a")]))
    left.merge(right)
    name = sealing.hash_ids(make_batch([(IdKind.STRING, "a")])).tobytes().hex()
    assert (left.count, left.examples) == (1, [f"the id of hash {name}"])
