"""Ids as sorted hashes, against what Python's own sets and dictionaries say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st

from vecferry.idtable import IdSet, IdTable

# Few distinct bytes at both ends, so that whole hashes and their first halves collide.
HASH = st.tuples(st.sampled_from([0, 1, 255]), st.sampled_from([0, 1])).map(
    lambda ends: bytes([ends[0]]) + bytes(14) + bytes([ends[1]])
)
CALLS = st.lists(st.lists(HASH, max_size=6), max_size=6)


def array_of(hashes: list[bytes]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, 16)


@given(CALLS)
def test_a_set_tells_repeats_as_a_python_set_does(calls: list[list[bytes]]) -> None:
    """Repeats within a call and across calls are found, also where two ids share half of their hash."""
    found, known = IdSet(), set[bytes]()
    for hashes in calls:
        wanted, before = [], set(known)
        for item in hashes:
            wanted.append(item in known)
            known.add(item)
        assert found.absent(array_of(hashes)).tolist() == [item not in before for item in hashes]
        assert found.add(array_of(hashes)).tolist() == wanted
        assert len(found) == len(known)


@given(CALLS, CALLS)
def test_two_sets_become_one_and_tell_what_both_had(left: list[list[bytes]], right: list[list[bytes]]) -> None:
    """The ids that both sets had come back as hashes, and all are known afterwards."""
    one, other = IdSet(), IdSet()
    for target, calls in ((one, left), (other, right)):
        for hashes in calls:
            target.add(array_of(hashes))
    lefts, rights = ({item for hashes in calls for item in hashes} for calls in (left, right))
    both = one.merge(other)
    assert sorted(row.tobytes() for row in both) == sorted(lefts & rights)
    assert len(one) == len(lefts | rights)
    assert not one.absent(array_of(sorted(lefts | rights))).any()


@given(st.lists(st.lists(HASH, max_size=4), max_size=4), st.lists(HASH, max_size=6))
def test_a_table_numbers_ids_as_a_dictionary_would(blocks: list[list[bytes]], wanted: list[bytes]) -> None:
    """Each id has the number of its first appearance, and an unknown one has -1."""
    table = IdTable(map(array_of, blocks))
    numbers: dict[bytes, int] = {}
    for number, item in enumerate(item for block in blocks for item in block):
        numbers.setdefault(item, number)
    assert table.find(array_of(wanted)).tolist() == [numbers.get(item, -1) for item in wanted]
    assert table.absent(array_of(wanted)).tolist() == [item not in numbers for item in wanted]
    assert len(table) == sum(map(len, blocks))


def test_many_random_ids_in_many_batches_are_told_apart() -> None:
    """Runs are merged again and again without losing or inventing an id."""
    numbers = np.random.default_rng(5)
    hashes = numbers.integers(0, 256, (20_000, 16), dtype=np.uint8)
    found = IdSet()
    for start in range(0, len(hashes), 700):
        assert not found.add(hashes[start : start + 700]).any()
    again = np.concatenate([hashes[::7], numbers.integers(0, 256, (50, 16), dtype=np.uint8)])
    assert found.absent(again).tolist() == [False] * len(hashes[::7]) + [True] * 50
    assert found.add(again).tolist() == [True] * len(hashes[::7]) + [False] * 50
