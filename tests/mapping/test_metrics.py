"""Metrics: named, matched, never guessed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.mapping.cases import CHROMA, FILES, QDRANT, make_batch, make_schema, mapping_for
from vecferry.model import IdKind, Metric, Outcome, VectorField, VectorKind

BATCH = make_batch([(IdKind.UINT64, "1")])


def outcome(source_metric, target, **rules):
    """The target's metric, the decisions on it, and whether the plan stops there."""
    schema = make_schema(IdKind.UINT64, metric=source_metric)
    mapping = mapping_for(schema, BATCH, target, **rules)
    found = [item for item in mapping.decisions if item.feature == "metric of the vector"]
    stops = any(item in mapping.refusals() for item in found)
    return mapping.target_schema.vectors[0].metric, found, stops


@pytest.mark.parametrize("metric", [Metric.COSINE, Metric.DOT])
def test_a_metric_that_both_sides_have_is_kept(metric):
    """Nothing to decide."""
    assert [outcome(metric, target)[0] for target in (QDRANT, CHROMA)] == [metric, metric]
    assert outcome(metric, QDRANT)[1][0].outcome is Outcome.EXACT


@pytest.mark.parametrize(
    ("metric", "target", "becomes"),
    [(Metric.SQUARED_EUCLID, QDRANT, Metric.EUCLID), (Metric.EUCLID, CHROMA, Metric.SQUARED_EUCLID)],
)
def test_euclid_and_its_square_rank_alike(metric, target, becomes):
    """Chroma's l2 is squared: it becomes Euclid and the plan says that scores are squares."""
    chosen, (decision,), stops = outcome(metric, target)
    assert (chosen, decision.outcome, stops) == (becomes, Outcome.ENCODED, False)
    assert "square" in decision.detail


def test_a_missing_metric_is_refused_and_not_guessed():
    """Files do not say what their vectors were made for; the option that says it is named."""
    _, (decision,), stops = outcome(None, QDRANT)
    assert stops
    assert "--metric" in decision.advice


def test_the_users_word_fills_the_gap():
    """A named metric is used as it is, without a loss to consent to."""
    chosen, (decision,), stops = outcome(None, QDRANT, metric=Metric.DOT)
    assert (chosen, decision.outcome, stops) == (Metric.DOT, Outcome.EXACT, False)


def test_a_change_of_metric_is_said_and_asking_for_it_is_consent():
    """Naming another metric than the source's is listed as a loss, and agreed to by naming it."""
    chosen, decisions, stops = outcome(Metric.COSINE, QDRANT, metric=Metric.DOT)
    assert (chosen, stops) == (Metric.DOT, False)
    assert [item.outcome for item in decisions] == [Outcome.EXACT, Outcome.LOSSY]


def test_a_metric_that_the_target_lacks_is_refused():
    """Manhattan distance cannot be searched for in Chroma."""
    chosen, (decision,), stops = outcome(Metric.MANHATTAN, CHROMA)
    assert (chosen, stops) == (None, True)
    assert "cosine, dot, squared_euclid" in decision.detail


def test_files_keep_the_metric_in_the_mark():
    """A target that records no metric gets none, and the way back knows it."""
    schema = make_schema(IdKind.UINT64, metric=Metric.COSINE)
    mapping = mapping_for(schema, BATCH, FILES)
    assert mapping.target_schema.vectors[0].metric is None
    assert mapping.original_schema(mapping.target_schema).vectors[0].metric is Metric.COSINE
    assert outcome(None, FILES)[1:] == ([], False)


def test_sparse_vectors_need_no_metric():
    """A sparse vector is compared by its dot product everywhere."""
    schema = replace(make_schema(IdKind.UINT64), vectors=(VectorField("s", VectorKind.SPARSE),))
    assert mapping_for(schema, None, QDRANT).refusals() == ()
