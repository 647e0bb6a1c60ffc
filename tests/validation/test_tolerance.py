"""V4's tolerance: what is near, where nearness ends, and that it covers nothing but numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.validation.planted import DENSE, FAULTS, HALF, Record, batch_of, changed, compared, record
from vecferry.mapping import Tolerance
from vecferry.mapping.vectors import NEAR, NEAR_FLOAT16
from vecferry.model import Level
from vecferry.validation.vectors import compare_vectors, direction

ALL_NEAR = dict.fromkeys(["", "half", "words", "tokens"], NEAR)
UNIT = Tolerance(NEAR.relative, NEAR.absolute, direction=True)


def with_dense(*numbers: float, dtype: type = np.float32) -> Record:
    """A record with these numbers as its dense vector."""
    field = "dense" if dtype is np.float32 else "half"
    return replace(record(1), **{field: np.array(numbers, dtype)})


def verdict(wanted: Record, got: Record, tolerance: Tolerance, name: str = "") -> str:
    """`same`, `near` or `different`, by the counts of a comparison of one record."""
    found = compared([wanted], [got], {name: tolerance})
    assert found.vectors + found.within_tolerance <= 1
    return "different" if found.vectors else "near" if found.within_tolerance else "same"


@pytest.mark.parametrize("number", [1.0, -1.0, 123456.0, 0.5])
@pytest.mark.parametrize(("factor", "result"), [(0.9, "near"), (1.1, "different")])
def test_the_relative_border_is_where_it_is_said_to_be(number: float, factor: float, result: str) -> None:
    """Just inside is near, just outside differs, on both sides of a number of any size."""
    relative = 1e-3
    tolerance = Tolerance(relative=relative)
    for sign in (1, -1):
        off = number * (1 + sign * factor * relative)
        assert verdict(with_dense(number, 2, 3, 4), with_dense(off, 2, 3, 4), tolerance) == result


@pytest.mark.parametrize(("off", "result"), [(0.9e-7, "near"), (-0.9e-7, "near"), (1.1e-7, "different")])
def test_the_absolute_border_holds_for_small_numbers(off: float, result: str) -> None:
    """Near zero the relative part allows nothing, and the absolute one decides."""
    assert verdict(with_dense(0, 2, 3, 4), with_dense(off, 2, 3, 4), NEAR) == result
    assert verdict(with_dense(1e-9, 2, 3, 4), with_dense(1e-9 + off, 2, 3, 4), NEAR) == result


def test_the_larger_of_both_parts_counts_and_not_their_sum() -> None:
    """What is beyond each part alone is beyond the tolerance."""
    tolerance = Tolerance(relative=0.25, absolute=0.25)
    assert verdict(with_dense(1, 0, 0, 0), with_dense(1.25, 0, 0, 0), tolerance) == "near"
    assert verdict(with_dense(1, 0, 0, 0), with_dense(1.375, 0, 0, 0), tolerance) == "different"


def test_float16_has_its_own_border() -> None:
    """One unit in the last place of a half is near just below a power of two, two units are not."""
    below_two, one_less, two_less = 2 - 2**-10, 2 - 2**-9, 2 - 3 * 2**-10
    item = with_dense(below_two, 0, 0, 0, dtype=np.float16)
    assert item.half is not None
    assert item.half.dtype == np.dtype(HALF.dtype)
    for number, result in ((one_less, "near"), (two_less, "different")):
        assert verdict(item, with_dense(number, 0, 0, 0, dtype=np.float16), NEAR_FLOAT16, "half") == result


def test_one_number_beyond_the_tolerance_is_enough() -> None:
    """A vector is near only when all of its numbers are."""
    wanted = with_dense(1, 1, 1, 1)
    assert verdict(wanted, with_dense(1.000001, 0.999999, 1, 1.000002), NEAR) == "near"
    assert verdict(wanted, with_dense(1.000001, 0.999999, 1, 1.00002), NEAR) == "different"


def test_equal_bits_are_not_counted_as_near() -> None:
    """A tolerance changes nothing for a vector that came back as it was."""
    found = compared([record(1)], [record(1)], ALL_NEAR)
    assert (found.vectors, found.within_tolerance) == (0, 0)


def test_no_tolerance_means_bit_for_bit() -> None:
    """The smallest difference is one where the plan promises exact vectors."""
    assert (
        verdict(with_dense(1, 2, 3, 4), with_dense(1, 2, 3, np.nextafter(np.float32(4), 5)), Tolerance()) == "different"
    )


@pytest.mark.parametrize("theirs", [5.0, -np.inf, np.nan, np.finfo(np.float32).max])
def test_an_infinity_is_near_to_itself_alone(theirs: float) -> None:
    """A relative tolerance of infinity is infinite; it must allow nothing."""
    ours = with_dense(np.inf, 1, 2, 3)
    assert verdict(ours, with_dense(theirs, 1, 2, 3), NEAR) == "different"
    assert verdict(with_dense(theirs, 1, 2, 3), ours, NEAR) == "different"
    assert verdict(ours, with_dense(np.inf, 1, 2, 3.000001), NEAR) == "near"


@pytest.mark.parametrize("theirs", [0.0, 1.0, np.inf])
def test_nan_is_near_to_nothing(theirs: float) -> None:
    """A NaN where a number should be, or the other way, is a difference under any tolerance."""
    nan, number = with_dense(np.nan, 1, 2, 3), with_dense(theirs, 1, 2, 3)
    for tolerance in (NEAR, Tolerance(1e9, 1e9)):
        assert verdict(nan, number, tolerance) == verdict(number, nan, tolerance) == "different"
        assert verdict(nan, nan, tolerance) == "same"


@pytest.mark.parametrize("name", sorted(name for name, fault in FAULTS.items() if fault.level is not Level.VECTORS))
def test_a_tolerance_for_vectors_hides_no_other_fault(name: str) -> None:
    """Ids, payloads and documents are compared exactly whatever the vectors may do."""
    broken = FAULTS[name].plant(record(1))
    assert not compared([record(1)], [] if broken is None else [broken], ALL_NEAR).same


@pytest.mark.parametrize(
    "name", sorted(name for name, fault in FAULTS.items() if fault.level is Level.VECTORS and "bit" not in name)
)
def test_a_tolerance_hides_no_vector_that_is_lost_emptied_swapped_or_of_other_length(name: str) -> None:
    """Nearness is about numbers in their places, not about which entries are there."""
    broken = FAULTS[name].plant(record(1))
    assert broken is not None
    if name != "sparse value":
        assert compared([record(1)], [broken], ALL_NEAR).vectors == 1


def test_sparse_values_and_tokens_have_a_tolerance_too() -> None:
    """A rounding in one entry is near, a larger one differs; an index has no tolerance."""
    item = record(1)
    assert item.words is not None
    assert item.tokens is not None
    for factor, result in ((1.000001, (0, 1)), (1.0001, (1, 0))):
        words = replace(item, words=(item.words[0], changed(item.words[1], item.words[1][1] * factor, 1)))
        tokens = replace(item, tokens=changed(item.tokens, item.tokens[1, 2] * factor, 6))
        for other in (words, tokens):
            found = compared([item], [other], ALL_NEAR)
            assert (found.vectors, found.within_tolerance) == result


def test_a_record_is_counted_once_however_many_of_its_vectors_differ() -> None:
    """One vector beyond the tolerance makes the record different, not near."""
    item = record(1)
    both = replace(item, dense=item.dense * np.float32(1.000001), half=-item.half)
    found = compared([item], [both], ALL_NEAR)
    assert (found.vectors, found.within_tolerance) == (1, 0)


# Stores that keep unit vectors


def test_a_normalised_vector_is_compared_by_its_direction() -> None:
    """The unit vector of what was written is near; the same with another length, or turned, differs."""
    wanted = with_dense(3, 0, 4, 0)
    assert verdict(wanted, with_dense(0.6, 0, 0.8, 0), UNIT) == "near"
    assert verdict(wanted, with_dense(0.6 + 5e-6, 0, 0.8, 0), UNIT) == "different"
    assert verdict(wanted, with_dense(0.606, 0, 0.808, 0), UNIT) == "different"
    assert verdict(wanted, with_dense(-0.6, 0, -0.8, 0), UNIT) == "different"
    assert verdict(wanted, with_dense(0.8, 0, 0.6, 0), UNIT) == "different"


def test_a_store_that_did_not_normalise_after_all_gave_the_same_vector_back() -> None:
    """Equal bits are equal, whatever the store was expected to do."""
    assert verdict(with_dense(3, 0, 4, 0), with_dense(3, 0, 4, 0), UNIT) == "same"


def test_a_zero_vector_has_no_direction_and_must_stay_zero() -> None:
    """It comes back as zero or not at all; any direction would be invented."""
    zero = with_dense(0, 0, 0, 0)
    assert verdict(zero, zero, UNIT) == "same"
    assert verdict(zero, with_dense(-0.0, 0, 0, 0), UNIT) == "near"
    assert verdict(zero, with_dense(0.5, 0.5, 0.5, 0.5), UNIT) == "different"
    assert verdict(zero, with_dense(np.nan, np.nan, np.nan, np.nan), UNIT) == "different"
    assert verdict(with_dense(3, 0, 4, 0), zero, UNIT) == "different"


def test_each_token_is_normalised_by_itself() -> None:
    """Stores normalise the rows of a multi-vector one by one."""
    item = record(1)
    assert item.tokens is not None
    rows = direction(item.tokens).astype(np.float32)
    whole = (item.tokens / np.linalg.norm(item.tokens)).astype(np.float32)
    assert compared([item], [replace(item, tokens=rows)], {"tokens": UNIT}).within_tolerance == 1
    assert compared([item], [replace(item, tokens=whole)], {"tokens": UNIT}).vectors == 1


@given(arrays.arrays(np.float32, (3, 4), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)))
@settings(deadline=None)
def test_directions_have_length_one_and_zero_stays_zero(vectors: npt.NDArray[np.float32]) -> None:
    """Whatever the size of the numbers, lengths come out as 1 within a rounding of double precision."""
    lengths = np.linalg.norm(direction(vectors), axis=1)
    zero = ~vectors.any(axis=1)
    assert np.all(lengths[zero] == 0.0)
    assert np.all(np.abs(lengths[~zero] - 1.0) < 1e-12)


@given(
    arrays.arrays(np.float32, (4, 4), elements=st.floats(width=32)),
    arrays.arrays(np.float32, (4, 4), elements=st.floats(width=32)),
    st.booleans(),
)
@settings(deadline=None)
def test_every_row_is_same_near_or_different_as_a_loop_over_its_numbers_says(
    wanted: npt.NDArray[np.float32], got: npt.NDArray[np.float32], mix: bool
) -> None:
    """The columns give what Python's own floats give, number by number, infinities and NaN included."""
    if mix:
        got = np.where(np.arange(16).reshape(4, 4) % 3 == 0, got, wanted)
    records = [[replace(record(at), dense=row) for at, row in enumerate(side)] for side in (wanted, got)]
    found = compare_vectors(batch_of(records[0]), batch_of(records[1]), DENSE, NEAR)
    for row in range(4):
        equal = wanted[row].tobytes() == got[row].tobytes()
        close = all(_close(float(a), float(b)) for a, b in zip(wanted[row], got[row], strict=True))
        assert bool(found.different[row]) == (not equal and not close)
        assert bool(found.near[row]) == (not equal and close)


def _close(wanted: float, got: float) -> bool:
    if not (np.isfinite(wanted) and np.isfinite(got)):
        return wanted == got
    return abs(wanted - got) <= max(abs(wanted) * NEAR.relative, NEAR.absolute)
