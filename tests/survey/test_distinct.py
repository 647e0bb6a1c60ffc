"""Different values and repeated rows, counted exactly up to a bound and estimated beyond it."""

from __future__ import annotations

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from vecferry.survey.distinct import Distinct, Repeats


def short_hashes(numbers: np.ndarray) -> np.ndarray:
    """A 64-bit hash of each number."""
    return np.array([xxhash.xxh3_64_intdigest(b"%d" % number) for number in numbers], dtype=np.uint64)


def long_hashes(numbers: np.ndarray) -> np.ndarray:
    """A 128-bit hash of each number, `(n, 16) uint8`."""
    digests = b"".join(xxhash.xxh3_128_digest(b"%d" % number) for number in numbers)
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 16)


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.lists(st.integers(0, 40), max_size=30), max_size=6))
def test_counts_are_exact_up_to_the_bound(blocks: list[list[int]]) -> None:
    """However the rows come, different values and repeated rows are those of a set."""
    distinct, repeats = Distinct(64), Repeats(64)
    for block in blocks:
        distinct.add(short_hashes(np.array(block, dtype=int)))
        repeats.add(long_hashes(np.array(block, dtype=int)))
    numbers = [number for block in blocks for number in block]
    assert (distinct.count, distinct.exact) == (len(set(numbers)), True)
    assert (repeats.count, repeats.exact) == (len(numbers) - len(set(numbers)), True)


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.integers(0, 400), max_size=300), st.integers(0, 300))
def test_two_that_are_merged_count_as_one_that_saw_everything(numbers: list[int], cut: int) -> None:
    """Also beyond the bound: which hashes are kept depends on the hashes alone, not on their order."""
    whole, left, right = Distinct(32), Distinct(32), Distinct(32)
    all_rows, first, second = Repeats(32), Repeats(32), Repeats(32)
    for one, other, part in ((whole, all_rows, numbers), (left, first, numbers[:cut]), (right, second, numbers[cut:])):
        one.add(short_hashes(np.array(part, dtype=int)))
        other.add(long_hashes(np.array(part, dtype=int)))
    left.merge(right)
    first.merge(second)
    assert (left.count, left.exact) == (whole.count, whole.exact)
    assert (first.count, first.exact) == (all_rows.count, all_rows.exact)


@pytest.mark.parametrize("different", [50_000, 200_000])
def test_an_estimate_of_different_values_is_within_four_deviations(different: int) -> None:
    """One deviation is 1 / sqrt(kept); half to all of the bound are kept."""
    distinct = Distinct(4096)
    numbers = np.random.default_rng(1).permutation(np.repeat(np.arange(different), 2))
    for block in np.array_split(short_hashes(numbers), 40):
        distinct.add(block)
    assert not distinct.exact
    assert abs(distinct.count / different - 1) < 4 / 2048**0.5


def test_an_estimate_of_repeated_rows_is_within_four_deviations() -> None:
    """30,000 of 90,000 rows repeat an earlier one; no more hashes are kept than the bound says."""
    repeats = Repeats(4096)
    numbers = np.random.default_rng(2).permutation(np.concatenate([np.arange(60_000), np.arange(30_000)]))
    for block in np.array_split(long_hashes(numbers), 30):
        repeats.add(block)
    assert not repeats.exact
    assert abs(repeats.count / 30_000 - 1) < 4 / 1024**0.5


def test_a_repeated_row_is_pointed_at() -> None:
    """The mask names the later rows, within one call and across two."""
    repeats = Repeats()
    assert repeats.add(long_hashes(np.array([1, 2, 1]))).tolist() == [False, False, True]
    assert repeats.add(long_hashes(np.array([3, 2]))).tolist() == [False, True]
