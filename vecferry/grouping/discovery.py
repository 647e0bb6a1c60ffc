"""Which groups a collection's records fall into, and how many are in each, from one pass over its payloads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from vecferry import batch as columns
from vecferry import canonical
from vecferry.conditions import Between, Condition, Equals, Missing, Others, Ranges, value_texts
from vecferry.contract import Source
from vecferry.errors import ConfigError, DataDiffer, PlanRefused
from vecferry.ledger import DEFAULT_WORKSPACE, MISSING_WORKSPACE
from vecferry.model import Part, Slice
from vecferry.transfer import progress, retry
from vecferry.transfer.limits import Limits

__all__ = ["MAX_GROUPS", "ByField", "ByRanges", "Discovery", "Group", "discover"]

MAX_GROUPS = 10_000
"""More would be no groups but records: every one has a plan, an archive and a verdict of its own."""

_MAX_KEYS_BYTES = 16 << 20
_SLICE_ROWS = 200_000
_PAYLOAD_ONLY = frozenset({Part.PAYLOAD})
_ADVICE = "name a field with fewer values, or date ranges of one"


@dataclass(frozen=True, slots=True)
class ByField:
    """One group for each different value of a payload key, one for the records without it, and one for the others.

    Raises ConfigError for a field that is no text of whole characters.
    """

    field: str

    def __post_init__(self) -> None:
        try:
            self.field.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"the field {self.field!r} holds half a character", advice="name another") from error


@dataclass(frozen=True, slots=True)
class ByRanges:
    """One group for each of the ranges, all of one field and disjoint, and one for the others.

    Raises ConfigError for ranges of several fields, none at all, and ones that overlap.
    """

    ranges: tuple[Between, ...]

    def __post_init__(self) -> None:
        if len({one.field for one in self.ranges}) != 1:
            raise ConfigError("ranges need one field", advice="give at least one range, all of the same field")
        Ranges(self.ranges)

    @property
    def field(self) -> str:
        """The field of all ranges."""
        return self.ranges[0].field


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
    overlap, DataDiffer when the counts do not sum to the source's exact count; where that changes meanwhile, to one
    between that of before and that of after.
    """
    count = partial(retry.call, limits.retry_budget_s)
    key_of = _value_key if isinstance(by, ByField) else partial(_range_key, Ranges(by.ranges))
    before, found = count(source.count), Counter[str | None]()
    for part in count(partial(source.slices, max(1, before // _SLICE_ROWS))):
        found.update(count(partial(_counted, source, part, by.field, key_of, limits)))
        _refuse_many(found, by.field)
    records, expected = found.total(), count(source.count)
    if not min(before, expected) <= records <= max(before, expected):
        raise DataDiffer(
            f"{source.url}: its groups hold {records:,} records, and it counts {expected:,}: it changed meanwhile",
            advice="run it again, when less is written",
        )
    groups = _by_field(by.field, found) if isinstance(by, ByField) else _by_ranges(by, found)
    return Discovery(by.field, groups, records)


def _counted(
    source: Source, part: Slice, field: str, key_of: Callable[[str | None], str | None], limits: Limits
) -> Counter[str | None]:
    """The records of a slice by key. Raises PlanRefused for too many keys."""
    found = Counter[str | None]()
    with progress.provisional(limits.moved) as moved:
        for batch in source.read(part, _PAYLOAD_ONLY, limits.batch_rows):
            limits.check()
            limits.pace.take(batch.num_rows)
            for text, rows in _values(batch, field):
                found[key_of(text)] += rows
            _refuse_many(found, field)
            moved(batch.num_rows)
    return found


def _values(batch: pa.RecordBatch, field: str) -> Iterator[tuple[str | None, int]]:
    """The different values of a batch and how many records have each."""
    counted = value_texts(batch.column(columns.PAYLOAD), field).value_counts()
    return zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)


def _value_key(text: str | None) -> str | None:
    return text


def _range_key(ranges: Ranges, text: str | None) -> str | None:
    """The range that a value lies in, or None."""
    found = None if text is None else ranges.of(canonical.decode(text))
    return None if found is None else found.text


def _refuse_many(found: Counter[str | None], field: str) -> None:
    if len(found) > MAX_GROUPS:
        raise PlanRefused(f"{field!r} has more than {MAX_GROUPS:,} different values", advice=_ADVICE)
    size_bytes = sum(map(len, filter(None, found)))
    if size_bytes > _MAX_KEYS_BYTES:
        raise PlanRefused(f"the values of {field!r} are too long to be the names of groups", advice=_ADVICE)


def _by_field(field: str, found: Counter[str | None]) -> tuple[Group, ...]:
    named: list[tuple[str, Equals | Missing, int]] = [
        (key, Equals(field, key), found[key]) for key in sorted(key for key in found if key is not None)
    ]
    if found[None]:
        named.append((MISSING_WORKSPACE, Missing(field), found[None]))
    others = Others(field, tuple(condition for _, condition, _ in named))
    return (*(Group(*one) for one in named), Group(DEFAULT_WORKSPACE, others, 0))


def _by_ranges(by: ByRanges, found: Counter[str | None]) -> tuple[Group, ...]:
    named = [Group(one.text, one, found[one.text]) for one in by.ranges]
    return (*named, Group(DEFAULT_WORKSPACE, Others(by.field, by.ranges), found[None]))
