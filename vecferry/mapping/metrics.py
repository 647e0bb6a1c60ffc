"""Metrics: which one the target uses for a vector, and what that does to rankings and scores."""

from __future__ import annotations

from vecferry.capabilities import Capabilities
from vecferry.mapping.rules import refused, vector_label
from vecferry.model import Decision, Metric, Outcome, VectorField, VectorKind

__all__ = ["METRIC_CONSENT", "decide_metric"]

METRIC_CONSENT = "metric"
"""The name of the loss that naming another metric is an agreement to."""

_SAME_RANKING = {Metric.SQUARED_EUCLID: Metric.EUCLID, Metric.EUCLID: Metric.SQUARED_EUCLID}
_ADVICE = "--metric cosine|dot|euclid"


def decide_metric(
    field: VectorField, capabilities: Capabilities, wanted: Metric | None
) -> tuple[Metric | None, list[Decision]]:
    """The metric that the target's vector gets (None: the target records none), and why."""
    feature = f"metric of the {vector_label(field.name)}"
    if field.kind is VectorKind.SPARSE:
        return (field.metric if capabilities.stores_metric else None), []
    metric = wanted or field.metric
    if not capabilities.stores_metric:
        return None, _unrecorded(feature, metric, capabilities)
    if metric is None:
        detail = "the source does not say which metric its vectors were made for, and guessing would break search"
        return None, [refused(feature, detail, _ADVICE)]
    chosen, decision = _in_target(feature, metric, capabilities)
    changed = _change(feature, field.metric, metric)
    return chosen, [decision, *changed]


def _unrecorded(feature: str, metric: Metric | None, capabilities: Capabilities) -> list[Decision]:
    if metric is None:
        return []
    detail = f"{capabilities.engine} records no metric; {metric} is kept in the migration's mark and in the archive"
    return [Decision(feature, Outcome.ENCODED, detail)]


def _in_target(feature: str, metric: Metric, capabilities: Capabilities) -> tuple[Metric | None, Decision]:
    known = capabilities.vectors.metrics
    if metric in known:
        return metric, Decision(feature, Outcome.EXACT, f"{metric} on both sides")
    twin = _SAME_RANKING.get(metric)
    if twin in known:
        relation = "squares of" if metric is Metric.SQUARED_EUCLID else "square roots of"
        detail = f"{metric} becomes {twin}: the ranking is the same, the source's scores are {relation} the target's"
        return twin, Decision(feature, Outcome.ENCODED, detail)
    offered = ", ".join(sorted(known)) or "no metric"
    detail = f"the source uses {metric}; {capabilities.engine} offers {offered}"
    return None, refused(feature, detail, f"choose one that it offers, knowing that rankings change: {_ADVICE}")


def _change(feature: str, old: Metric | None, new: Metric) -> list[Decision]:
    if old is None or old is new or _SAME_RANKING.get(old) is new:
        return []
    detail = f"changed from {old} to {new} as asked for: rankings and scores will differ from the source's"
    return [Decision(feature, Outcome.LOSSY, detail, consent=METRIC_CONSENT)]
