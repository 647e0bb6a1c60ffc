"""Schema, counts, the id set and the verdict: what is said of a collection as a whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecferry import batch as columns
from vecferry import plain, sealing
from vecferry.idtable import IdTable
from vecferry.model import (
    CollectionSchema,
    DType,
    Finding,
    IdKind,
    Level,
    LevelState,
    Metric,
    RecordId,
    VectorField,
    VectorKind,
    Verdict,
    VerdictState,
)
from vecferry.validation.compare import Comparison
from vecferry.validation.ids import MAX_EXAMPLES, compare_counts, compare_ids
from vecferry.validation.report import GATE, judge
from vecferry.validation.schema import compare_schema

FIELD = VectorField("", VectorKind.DENSE, DType.FLOAT32, 384, Metric.COSINE)
OTHER = VectorField("title", VectorKind.DENSE, DType.FLOAT16, 8, Metric.DOT)


def schema(*fields: VectorField) -> CollectionSchema:
    return CollectionSchema("docs", fields, frozenset({IdKind.STRING}))


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("dtype", replace(FIELD, dtype=DType.FLOAT16)),
        ("metric", replace(FIELD, metric=Metric.DOT)),
        ("metric", replace(FIELD, metric=None)),
        ("dimension", replace(FIELD, dimension=383)),
        ("dimension", replace(FIELD, dimension=None)),
        ("kind", replace(FIELD, kind=VectorKind.MULTI)),
    ],
)
def test_each_property_of_a_vector_is_compared(what: str, found: VectorField) -> None:
    """One finding, which names the vector, the property and both values."""
    (finding,) = compare_schema(schema(FIELD, OTHER), schema(found, OTHER), rows=1)
    assert finding.level is Level.SCHEMA
    assert f"vector '': {what} is " in finding.detail
    assert str(getattr(FIELD, what)) in finding.detail


def test_an_equal_schema_has_no_finding_whatever_the_order_and_the_name() -> None:
    """Vectors are matched by name; a collection may be called otherwise."""
    assert compare_schema(schema(FIELD, OTHER), replace(schema(OTHER, FIELD), name="copy"), rows=5) == []


def test_vectors_that_are_missing_or_not_planned_are_named() -> None:
    """Both directions."""
    assert "'title' is missing" in compare_schema(schema(FIELD, OTHER), schema(FIELD), rows=1)[0].detail
    assert "'title' was not planned" in compare_schema(schema(FIELD), schema(FIELD, OTHER), rows=1)[0].detail


def test_an_empty_collection_need_not_know_its_dimension_but_must_not_know_another() -> None:
    """Some stores learn it from the first record."""
    planned = schema(FIELD)
    assert compare_schema(planned, schema(replace(FIELD, dimension=None)), rows=0) == []
    assert compare_schema(planned, schema(), rows=0) == []
    assert len(compare_schema(planned, schema(replace(FIELD, dimension=3)), rows=0)) == 1
    assert len(compare_schema(planned, schema(replace(FIELD, metric=Metric.DOT)), rows=0)) == 1


def test_counts_are_exact() -> None:
    """One record more or less is a difference, and the finding says both numbers."""
    assert compare_counts(1000, 1000) == []
    for found in (999, 1001, 0):
        (finding,) = compare_counts(1000, found)
        assert f"{found:,}" in finding.detail
        assert "1,000" in finding.detail


IDS = st.builds(RecordId, st.sampled_from([IdKind.STRING, IdKind.UINT64]), st.sampled_from("0123456789"))


def table(ids: list[RecordId]) -> IdTable:
    return IdTable([sealing.hash_ids(columns.ids_batch(ids))])


@given(expected=st.lists(IDS, unique=True), listed=st.lists(st.lists(IDS, max_size=4), max_size=4))
def test_the_id_set_is_compared_as_a_loop_would(expected: list[RecordId], listed: list[list[RecordId]]) -> None:
    """Unexpected ids, repeats of expected ones and those that do not come are counted, whatever the batches."""
    flat = [item for part in listed for item in part]
    unexpected = sum(item not in expected for item in flat)
    repeated = sum(max(flat.count(item) - 1, 0) for item in expected)
    unlisted = len(set(expected) - set(flat))
    differences, findings = compare_ids(table(expected), map(columns.ids_batch, listed))
    assert differences == unexpected + repeated + unlisted
    assert bool(findings) == bool(differences)
    assert {item.record_id for item in findings if item.kind == "unexpected"} == {
        str(item) for item in flat if item not in expected
    }
    assert {item.record_id for item in findings if item.kind == "repeated"} == {
        str(item) for item in expected if flat.count(item) > 1
    }


def test_records_known_to_be_missing_are_not_counted_twice() -> None:
    """Those that a fetch did not find do not come when all are read, of course."""
    expected = [RecordId(IdKind.STRING, str(number)) for number in range(10)]
    assert compare_ids(table(expected), [columns.ids_batch(expected[2:])], missing=2) == (0, [])
    differences, findings = compare_ids(table(expected), [columns.ids_batch(expected[3:])], missing=2)
    assert differences == 1
    assert findings[0].detail.startswith("1 records are found")


def test_examples_of_ids_are_few_and_all_are_counted() -> None:
    """A target full of strangers does not fill the report."""
    strangers = [RecordId(IdKind.STRING, str(number)) for number in range(1000)]
    differences, findings = compare_ids(table([]), [columns.ids_batch(strangers)] * 2)
    assert (differences, len(findings)) == (2000, MAX_EXAMPLES)


# The verdict


def finding(level: Level) -> Finding:
    return Finding(level, "planted", "a difference", "'1'")


PLANTED = {
    Level.SCHEMA: lambda: judge([finding(Level.SCHEMA)], [], [], 0, Comparison(rows=5)),
    Level.COUNT: lambda: judge([], [finding(Level.COUNT)], [], 0, Comparison(rows=5)),
    Level.IDS: lambda: judge([], [], [finding(Level.IDS)], 1, Comparison(rows=5)),
    Level.PAYLOAD: lambda: judge([], [], [], 0, Comparison(rows=5, payloads=1, findings=(finding(Level.PAYLOAD),))),
    Level.VECTORS: lambda: judge([], [], [], 0, Comparison(rows=5, vectors=1, findings=(finding(Level.VECTORS),))),
}


@pytest.mark.parametrize("level", sorted(PLANTED))
def test_a_difference_at_any_gating_level_makes_the_verdict_different(level: Level) -> None:
    """That level is mismatched and lists its finding; the others are verified."""
    verdict = PLANTED[level]()
    assert verdict.state is VerdictState.DIFFERENT
    for result in verdict.levels:
        expected = LevelState.MISMATCHED if result.level is level else LevelState.VERIFIED
        if result.level in GATE:
            assert result.state is expected
            assert result.findings == ((finding(level),) if result.level is level else ())


@pytest.mark.parametrize("field", ["missing", "surplus", "payloads", "documents", "vectors"])
def test_no_count_of_a_comparison_is_forgotten_in_the_verdict(field: str) -> None:
    """Each kind of difference alone makes rows not the same and the verdict different."""
    rows = Comparison(rows=5, **{field: 1})
    assert not rows.same
    assert judge([], [], [], 0, rows).state is VerdictState.DIFFERENT


def test_levels_that_were_not_checked_say_so_and_do_not_gate() -> None:
    """k-NN, recall, ranks and latency are listed as not checked in a verdict of "same"."""
    verdict = judge([], [], [], 0, Comparison(rows=5, within_tolerance=2))
    assert verdict.state is VerdictState.SAME
    assert [result.level for result in verdict.levels] == list(Level)
    others = [result for result in verdict.levels if result.level not in GATE]
    assert {result.state for result in others} == {LevelState.NOT_CHECKED}
    assert next(result for result in verdict.levels if result.level is Level.VECTORS).within_tolerance == 2


def test_a_verdict_and_a_comparison_are_plain_data() -> None:
    """They go into the ledger as JSON and come back equal."""
    rows = Comparison(5, 1, 1, 1, 1, 1, 1, (finding(Level.IDS),))
    assert plain.from_plain(Comparison, plain.to_plain(rows)) == rows
    verdict = judge([], [], [], 0, rows)
    assert plain.from_plain(Verdict, plain.to_plain(verdict)) == verdict
