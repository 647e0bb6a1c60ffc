"""What a collection has beside its records: what goes along to a collection of the same engine, and what stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from vecferry.mapping.rules import exact
from vecferry.model import Decision, Feature, Filterable, VectorField

__all__ = ["ALIAS", "INDEX", "Split", "split"]

ALIAS, INDEX = "alias", "index"
"""Kinds of settings that are told apart here; the others are the engine's own words."""


@dataclass(frozen=True, slots=True)
class Split:
    """The settings that the target is created with, the others with the reason in their words, and the decisions."""

    carried: tuple[Feature, ...]
    not_moved: tuple[Feature, ...]
    decisions: tuple[Decision, ...]


def split(
    features: Sequence[Feature],
    carries: frozenset[str],
    moved: Iterable[tuple[VectorField, VectorField]],
    obstacles: Mapping[str, str],
    aliases_stay: str = "",
) -> Split:
    """Carry what the target says it takes (`Capabilities.carries`), unless something stands in the way.

    `moved` are the vectors that travel, in the source and in the target: settings of another vector stay.
    `obstacles` are reasons by the feature's name (`Target.obstacles`).
    """
    kept_names = {source.name for source, target in moved if source.name == target.name}
    carried, not_moved = [], []
    for feature in features:
        if not _is_taken(feature, carries, kept_names):
            not_moved.append(feature)
            continue
        reason = obstacles.get(feature.name, "") or (aliases_stay if kind_of(feature) == ALIAS else "")
        if reason:
            not_moved.append(replace(feature, value=f"{feature.value} ({reason})"))
        else:
            carried.append(feature)
    return Split(tuple(carried), tuple(not_moved), tuple(_decisions(carried)))


def kind_of(feature: Feature) -> str:
    """The sort of setting, in the engine's words; nothing where it can only be told."""
    return "" if feature.settings is None else str(feature.settings["kind"])


def _is_taken(feature: Feature, carries: frozenset[str], vectors: set[str]) -> bool:
    settings = feature.settings
    if settings is None or ("vector" in settings and settings["vector"] not in vectors):
        return False
    kind = f"{feature.engine}:{settings['kind']}"
    return kind in carries or f"{kind}.{settings.get('key')}" in carries


def _decisions(carried: Sequence[Feature]) -> Iterable[Decision]:
    """One decision for each index and alias, and one for all settings of another kind."""
    for kind, group in groupby(carried, key=kind_of):
        if kind in (ALIAS, INDEX):
            how = Filterable.SAME if kind == INDEX else Filterable.NOT_APPLICABLE
            yield from (exact(feature.name, f"{feature.value}, as in the source", how) for feature in group)
        else:
            told = ", ".join(f"{feature.name.removeprefix(f'{kind}: ')}={feature.value}" for feature in group)
            yield exact(f"settings: {kind}", f"as in the source: {told}")
