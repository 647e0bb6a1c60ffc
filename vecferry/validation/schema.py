"""V0: the target's schema as its store says it, against the one that the plan asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vecferry.contract import fields_by_name
from vecferry.model import CollectionSchema, Feature, Finding, Level, VectorField

__all__ = ["compare_schema"]


def compare_schema(planned: CollectionSchema, found: CollectionSchema, *, rows: int) -> list[Finding]:
    """Differences in vectors, dtypes, dimensions and metrics, and in settings that were carried over.

    An empty collection may not know its dimension yet (Chroma learns it from the first record).
    """
    wanted, got = fields_by_name(planned), fields_by_name(found)
    findings = [_finding(f"vector {name!r} is missing") for name in wanted if rows and name not in got]
    findings += [_finding(f"vector {name!r} was not planned") for name in got if name not in wanted]
    for name in (name for name in wanted if name in got):
        findings += [_finding(text) for text in _field_differences(wanted[name], got[name], rows)]
    return [*findings, *_setting_differences(planned.features, found.features)]


def _setting_differences(planned: Sequence[Feature], found: Sequence[Feature]) -> Iterator[Finding]:
    """Carried settings that the target lacks or has otherwise; what it has beside them is its own."""
    got = {(feature.engine, feature.name): feature for feature in found}
    for feature in planned:
        there = got.get((feature.engine, feature.name))
        if there is None:
            yield _finding(f"{feature.name} is missing, carried was {feature.value}")
        elif not _holds(there.settings, feature.settings):
            yield _finding(f"{feature.name} is {there.value}, carried was {feature.value}")


def _field_differences(wanted: VectorField, got: VectorField, rows: int) -> list[str]:
    pairs = [("kind", wanted.kind, got.kind), ("dtype", wanted.dtype, got.dtype), ("metric", wanted.metric, got.metric)]
    if rows or got.dimension is not None:
        pairs.append(("dimension", wanted.dimension, got.dimension))  # type: ignore[arg-type]
    return [f"vector {wanted.name!r}: {what} is {b}, planned was {a}" for what, a, b in pairs if a != b]


def _finding(detail: str) -> Finding:
    return Finding(Level.SCHEMA, "schema", detail)


def _holds(found: Any, planned: Any) -> bool:
    """Whether what was found says at least what was planned: an engine may fill in its defaults."""
    if isinstance(planned, Mapping) and isinstance(found, Mapping):
        return all(name in found and _holds(found[name], value) for name, value in planned.items())
    return bool(found == planned)
