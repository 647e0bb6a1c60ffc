"""Which groups a collection's records fall into, and how many are in each, from one pass over its payloads."""

from __future__ import annotations

from dataclasses import dataclass

from vecferry.conditions import Between, Condition
from vecferry.contract import Source
from vecferry.transfer.limits import Limits

__all__ = ["MAX_GROUPS", "ByField", "ByRanges", "Discovery", "Group", "discover"]

MAX_GROUPS = 10_000


@dataclass(frozen=True, slots=True)
class ByField:
    """One group for each different value of a payload key, one for the records without it, and one for the others."""

    field: str


@dataclass(frozen=True, slots=True)
class ByRanges:
    """One group for each of the ranges, all of one field and disjoint, and one for the others."""

    ranges: tuple[Between, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Some records, by the key that the ledger knows them by (`ledger.workspace_key`, or a range's text)."""

    key: str
    condition: Condition
    rows: int


@dataclass(frozen=True, slots=True)
class Discovery:
    """All groups: values in the order of their keys (ranges in their own), then the missing, at last the others.

    The others are there even with no record yet: it is where values go that appear later. `records` is their sum.
    """

    field: str
    groups: tuple[Group, ...]
    records: int


def discover(source: Source, by: ByField | ByRanges, limits: Limits) -> Discovery:
    """Count the groups of a source. Memory: a batch, and the different values.

    Raises PlanRefused for more than `MAX_GROUPS` groups or values too long for groups, ConfigError for ranges that
    overlap, DataDiffer when the counts do not sum to the source's exact count.
    """
    raise NotImplementedError
