"""The comparison of rows as a specification: each fault is seen, at its level, in its record."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.examples import examples
from tests.validation.planted import (
    DENSE,
    FAULTS,
    FIELDS,
    Record,
    batch_of,
    changed,
    compared,
    flipped,
    record,
)
from vecferry import batch as columns
from vecferry.model import IdKind, Level, LevelState, RecordId, VerdictState
from vecferry.validation.compare import MAX_FINDINGS, Comparison, compare_rows, total
from vecferry.validation.report import judge

ROWS = 5


@st.composite
def collections(draw: st.DrawFn) -> list[Record]:
    """Records some of which lack vectors and documents."""
    records = [record(number) for number in range(draw(st.integers(1, ROWS)))]
    for part in ("dense", "half", "words", "tokens", "document"):
        absent = draw(st.sets(st.integers(0, len(records) - 1)))
        records = [replace(item, **{part: None}) if at in absent else item for at, item in enumerate(records)]
    return records


@settings(deadline=None)
@given(records=collections(), data=st.data())
def test_records_without_a_fault_are_verified_in_any_order(records: list[Record], data: st.DataObject) -> None:
    """What comes back bit for bit is the same, however it is ordered."""
    found = compared(records, data.draw(st.permutations(records)))
    assert found == Comparison(rows=len(records))
    assert judge([], [], [], 0, found).state is VerdictState.SAME


@settings(deadline=None, max_examples=examples(200))
@given(data=st.data(), rows=st.integers(1, ROWS), name=st.sampled_from(sorted(FAULTS)))
def test_a_single_fault_is_seen_at_its_level_with_the_id_of_its_record(
    data: st.DataObject, rows: int, name: str
) -> None:
    """One fault among any records, in any order, makes one level differ and names one record."""
    fault, records = FAULTS[name], [record(number) for number in range(rows)]
    at = data.draw(st.integers(0, rows - 1))
    broken = fault.plant(records[at])
    got = [item for item in (*records[:at], broken, *records[at + 1 :]) if item is not None]
    found = compared(records, data.draw(st.permutations(got)))
    verdict = judge([], [], [], 0, found)
    assert verdict.state is VerdictState.DIFFERENT
    assert {level.level for level in verdict.levels if level.differences} == {fault.level}
    named = {finding.record_id for finding in found.findings if finding.kind != "surplus"}
    assert named == {str(records[at].record_id)}


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_is_seen_in_both_directions(name: str) -> None:
    """What is wrong one way is wrong the other way: nothing that came in addition is overlooked."""
    good = record(1)
    broken = FAULTS[name].plant(good)
    found = compared([] if broken is None else [broken], [good])
    assert not found.same
    assert FAULTS[name].level in {finding.level for finding in found.findings}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(0.0, -0.0), (float("nan"), 0.0), (float("inf"), float("-inf")), (1.0, float(np.nextafter(np.float32(1), 2)))],
)
def test_numbers_are_compared_by_their_bits(ours: float, theirs: float) -> None:
    """-0.0 is not 0.0, and NaN is not a number like others, although arithmetic says otherwise."""
    item = record(1)
    left, right = (replace(item, dense=changed(item.dense, number)) for number in (ours, theirs))
    assert compared([left], [right]).vectors == 1
    assert compared([left], [left]).same
    assert compared([right], [right]).same


def test_a_nan_with_other_bits_is_another_number() -> None:
    """Two NaN that print alike are told apart, and the finding shows their bits."""
    item = record(1)
    item = replace(item, dense=changed(item.dense, float("nan"), 2))
    found = compared([item], [replace(item, dense=flipped(item.dense, 2))])
    assert found.vectors == 1
    assert found.findings[0].detail == "vector: number 2 of 4: expected nan (bits 7fc00000), found nan (bits 7fc00001)"


def test_the_number_that_is_off_is_shown_wherever_it_stands() -> None:
    """A long vector that differs in one place is not shown by its first numbers."""
    left = np.zeros((1, 500), np.float32)
    right = changed(left, 0.25, 417)
    batches = [
        columns.make(["1"], IdKind.UINT64, vectors={"": columns.dense_array(side)}, documents=[None], payloads=["{}"])
        for side in (left, right)
    ]
    found = compare_rows(*batches, [replace(DENSE, dimension=500)], {})
    assert found.findings[0].detail == "vector: number 417 of 500: expected 0.0, found 0.25"


def test_a_long_text_is_shown_where_it_differs() -> None:
    """The finding shows both texts around the first character that is not the same."""
    texts = [f'{{"a":"{"x" * 1000}{end}"}}' for end in ("left", "right")]
    found = compared(*([replace(record(1), payload=text)] for text in texts))
    (finding,) = found.findings
    assert finding.kind == "payload differs"
    assert "xxleft" in finding.detail
    assert "xxright" in finding.detail
    assert len(finding.detail) < 200


def test_a_vector_that_is_absent_is_not_one_of_zeros_and_not_an_empty_one() -> None:
    """Absent, empty and zero are three things for every kind of vector."""
    item = record(1)
    words, tokens = (item.words[0][:0], item.words[1][:0]), item.tokens[:0]
    zeros = np.zeros_like(item.dense)
    for absent, there in (("dense", zeros), ("words", words), ("tokens", tokens)):
        pair = replace(item, **{absent: None}), replace(item, **{absent: there})
        assert [compared([one], [other]).vectors for one, other in itertools.product(pair, pair)] == [0, 1, 1, 0]


def test_ids_of_another_kind_are_other_ids() -> None:
    """`"12"`, 12 as uint64 and 12 as int64 are three records, and all three are compared with their own."""
    kinds = (IdKind.STRING, IdKind.UINT64, IdKind.INT64)
    items = [replace(record(at), record_id=RecordId(kind, "12")) for at, kind in enumerate(kinds)]
    assert compared(items, items[::-1]).same
    swapped = [replace(item, record_id=RecordId(kind, "12")) for item, kind in zip(items, kinds[::-1], strict=True)]
    found = compared(items, swapped)
    assert (found.missing, found.payloads, found.vectors) == (0, 2, 2)


def test_a_record_that_comes_twice_is_a_difference() -> None:
    """A target that holds an id twice is not the same, whichever of the two is right."""
    items = [record(1), record(2)]
    found = compared(items, [*items, replace(items[0], payload="{}")])
    assert (found.missing, found.surplus) == (0, 1)
    assert [(item.level, item.kind, item.record_id) for item in found.findings] == [(Level.IDS, "surplus", "'1'")]


def test_a_record_that_nobody_asked_for_is_a_difference() -> None:
    """A target that gives another record than the one asked for is seen on both sides."""
    found = compared([record(1)], [record(2)])
    assert (found.missing, found.surplus) == (1, 1)
    assert {(item.kind, item.record_id) for item in found.findings} == {("missing", "'1'"), ("surplus", "'2'")}


@pytest.mark.parametrize("column", ["vector", "vector.half", "vector.words", "vector.tokens"])
def test_a_vector_column_that_is_gone_or_of_another_type_differs_in_every_row(column: str) -> None:
    """A target that answers with other columns than planned is a difference, not a crash."""
    whole = batch_of([record(1), record(2)])
    other = columns.dense_array(np.zeros((2, 4), np.float64))
    at = whole.schema.get_field_index(column)
    for actual in (whole.drop_columns([column]), whole.set_column(at, column, other)):
        for wanted, got in ((whole, actual), (actual, whole)):
            found = compare_rows(wanted, got, FIELDS, {})
            assert found.vectors == 2
            assert {item.record_id for item in found.findings} == {"'1'", "'2'"}


def test_many_differences_of_one_level_hide_none_of_another() -> None:
    """Findings are cut level by level; all are counted."""
    records = [record(number) for number in range(50)]
    got = [replace(item, dense=flipped(item.dense)) for item in records[:-1]] + [replace(records[-1], document=None)]
    found = total([compared([one], [other]) for one, other in zip(records, got, strict=True)])
    assert (found.vectors, found.documents) == (49, 1)
    by_level = {level: [item for item in found.findings if item.level is level] for level in Level}
    assert len(by_level[Level.VECTORS]) == MAX_FINDINGS
    assert [item.record_id for item in by_level[Level.PAYLOAD]] == ["'49'"]
    assert not found.same


def test_records_that_were_not_found_leave_payloads_and_vectors_unverified() -> None:
    """What was not compared is not called verified."""
    verdict = judge([], [], [], 0, compared([record(1), record(2)], [record(1)]))
    states = {level.level: (level.state, level.checked) for level in verdict.levels}
    assert states[Level.IDS] == (LevelState.MISMATCHED, 2)
    assert states[Level.PAYLOAD] == states[Level.VECTORS] == (LevelState.SUSPENDED, 1)
    assert verdict.state is VerdictState.DIFFERENT


def test_nothing_compared_with_nothing_is_the_same() -> None:
    """An empty batch is no special case."""
    assert compared([], []) == Comparison()
    assert compared([], [record(1)]).surplus == 1
