"""What goes along to a collection of the same engine, decided from data alone."""

from __future__ import annotations

from typing import Any

from vecferry.mapping.features import split
from vecferry.model import DType, Feature, Filterable, Metric, Outcome, VectorField, VectorKind

A = VectorField("a", VectorKind.DENSE, DType.FLOAT32, 4, Metric.DOT)
HERE = [(A, A)]


def setting(kind: str, key: str, value: Any = 1, engine: str = "e", **more: str) -> Feature:
    """A feature that another collection of its engine can be given."""
    return Feature(f"{kind}: {key}", str(value), engine, {"kind": kind, "key": key, "value": value, **more})


def test_only_the_same_engine_takes_settings() -> None:
    """What the target does not name by engine and kind stays, as it was found."""
    mine, others, told = setting("k", "m"), setting("k", "m", engine="other"), Feature("alias", "live")
    found = split([mine, others, told], frozenset({"e:k"}), HERE, {})
    assert found.carried == (mine,)
    assert found.not_moved == (others, told)


def test_a_kind_may_be_taken_in_part() -> None:
    """`ENGINE:KIND.KEY` takes one key of a kind, and no other."""
    both = [setting("k", "m"), setting("k", "n")]
    found = split(both, frozenset({"e:k.n"}), HERE, {})
    assert found.carried == (both[1],)
    assert found.not_moved == (both[0],)


def test_settings_of_a_vector_go_with_it() -> None:
    """Where a vector stays behind or gets another name, what was set for it stays too."""
    feature = setting("vector", "on_disk", vector="a")
    renamed = VectorField("", A.kind, A.dtype, A.dimension, A.metric)
    taken = frozenset({"e:vector"})
    assert split([feature], taken, HERE, {}).carried == (feature,)
    assert split([feature], taken, [(A, renamed)], {}).not_moved == (feature,)
    assert split([feature], taken, [], {}).not_moved == (feature,)
    assert split([setting("k", "m")], frozenset({"e:k"}), [], {}).carried == (setting("k", "m"),)


def test_an_obstacle_is_told_with_the_setting() -> None:
    """What the target cannot take here and now stays, and its value says why."""
    feature = setting("alias", "live", True)
    (stays,) = split([feature], frozenset({"e:alias"}), HERE, {feature.name: "it is taken"}).not_moved
    assert stays.value == "True (it is taken)"
    (stays,) = split([feature], frozenset({"e:alias"}), HERE, {}, "a trial gets no alias").not_moved
    assert stays.value == "True (a trial gets no alias)"


def test_decisions_are_one_for_an_index_and_one_for_a_section() -> None:
    """An index keeps its filters, so it has a decision of its own; the keys of a section share one."""
    features = [setting("k", "m", 16), setting("k", "n", 2), setting("index", "city", "keyword")]
    decisions = split(features, frozenset({"e:k", "e:index"}), HERE, {}).decisions
    assert [decision.feature for decision in decisions] == ["settings: k", "index: city"]
    assert {decision.outcome for decision in decisions} == {Outcome.EXACT}
    assert decisions[0].detail == "as in the source: m=16, n=2"
    assert decisions[1].filterable is Filterable.SAME
