"""Groups are found with their counts, and refused where they are none."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from tests.grouping.test_views import FIELD, memory
from tests.mapping.cases import make_batch, make_schema
from tests.transfer.support import limits
from vecferry import canonical
from vecferry.conditions import Between, Equals, Missing, Others
from vecferry.contract import Target
from vecferry.errors import ConfigError, DataDiffer, PlanRefused
from vecferry.forwarding import ForwardingSource
from vecferry.grouping import ByField, ByRanges, discover, discovery, view
from vecferry.ledger import DEFAULT_WORKSPACE, MISSING_WORKSPACE, workspace_key
from vecferry.model import IdKind, Part
from vecferry.stores import registry


def collection(*values: Any) -> Target:
    """One record for each value; `...` leaves the key out."""
    rows = [{} if value is ... else {FIELD: value} for value in values]
    opened = registry.open_target(memory("groups"))
    opened.create(make_schema(IdKind.UINT64), {})
    opened.write(make_batch([(IdKind.UINT64, str(at)) for at in range(len(rows))], rows))
    return opened


def test_every_different_value_is_a_group() -> None:
    """Values that look alike are groups of their own, with the missing after them and the others last, and they sum."""
    source = collection("a", 1, 1.0, True, None, "a", ..., "1", ["a"], ..., 2**64, "")
    found = discover(source, ByField(FIELD), limits())
    counts = {group.key: group.rows for group in found.groups}
    values = [("a", 2), (1, 1), (1.0, 1), (True, 1), (None, 1), ("1", 1), (["a"], 1), (2**64, 1), ("", 1)]
    expected = {workspace_key(value): rows for value, rows in values} | {MISSING_WORKSPACE: 2, DEFAULT_WORKSPACE: 0}
    assert counts == expected
    assert [group.key for group in found.groups] == [*sorted(list(expected)[:-2]), MISSING_WORKSPACE, DEFAULT_WORKSPACE]
    assert found.records == source.count() == 12
    assert [view(source, group.condition).count() for group in found.groups] == [group.rows for group in found.groups]


def test_a_collection_without_the_field_is_one_group() -> None:
    """Where no record has the key, all are missing it; an empty collection has the others alone."""
    assert [(group.key, group.rows) for group in discover(collection(..., ...), ByField(FIELD), limits()).groups] == [
        (MISSING_WORKSPACE, 2),
        (DEFAULT_WORKSPACE, 0),
    ]
    assert [group.key for group in discover(collection(), ByField(FIELD), limits()).groups] == [DEFAULT_WORKSPACE]


def test_ranges_are_groups_in_their_own_order() -> None:
    """Ranges are counted as they are given, empty ones too, and whatever is in none is among the others."""
    ranges = (Between(FIELD, "2024-02-01", None), Between(FIELD, "2023-01-01", "2024-01-01"), Between(FIELD, 0, 1))
    source = collection("2024-02-01T00:00:00Z", "2024-01-15", "2023-05-05", ..., 7, None, "2024-03-01")
    found = discover(source, ByRanges(ranges), limits())
    assert [(group.key, group.rows) for group in found.groups] == [
        ("2024-02-01..", 2),
        ("2023-01-01..2024-01-01", 1),
        ("0..1", 0),
        (DEFAULT_WORKSPACE, 4),
    ]
    assert [view(source, group.condition).count() for group in found.groups] == [2, 1, 0, 4]


def test_ranges_that_overlap_or_have_two_fields_are_refused() -> None:
    """Ranges of which a record could be in two, of several fields, or none at all are no groups."""
    for ranges in (
        (),
        (Between(FIELD, 1, 2), Between("other", 2, 3)),
        (Between(FIELD, 1, 3), Between(FIELD, 2, 4)),
    ):
        with pytest.raises(ConfigError):
            ByRanges(ranges)


def test_too_many_groups_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that tells nearly every record apart is refused, with the number that there may be."""
    monkeypatch.setattr(discovery, "MAX_GROUPS", 3)
    assert len(discover(collection("a", "b", ...), ByField(FIELD), limits()).groups) == 4
    with pytest.raises(PlanRefused, match="more than 3"):
        discover(collection("a", "b", "c", "d"), ByField(FIELD), limits())


def test_values_too_long_for_groups_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups whose names would fill the memory are refused before they do."""
    monkeypatch.setattr(discovery, "_MAX_KEYS_BYTES", 1000)
    with pytest.raises(PlanRefused, match="too long"):
        discover(collection("a" * 600, "b" * 600), ByField(FIELD), limits())


def test_a_field_with_half_a_character_is_refused() -> None:
    """No store finds a key with a lone surrogate."""
    with pytest.raises(ConfigError, match="half a character"):
        ByField("\ud800")


class _Growing(ForwardingSource):
    """A source to which somebody adds a record while it is read."""

    def read(self, part: Any, columns: frozenset[Part], batch_rows: int = 1000) -> Any:
        found = list(self.inner.read(part, columns, batch_rows))
        assert isinstance(self.inner, Target)
        self.inner.write(make_batch([(IdKind.UINT64, "99")], [{FIELD: "late"}]))
        return iter(found)


class _Torn(ForwardingSource):
    """A source that shows less than it counts."""

    def read(self, part: Any, columns: frozenset[Part], batch_rows: int = 1000) -> Any:
        return (batch.slice(1) for batch in self.inner.read(part, columns, batch_rows))


def test_counts_that_do_not_sum_are_told() -> None:
    """Where the source's exact count is another, the groups are not believed."""
    with pytest.raises(DataDiffer, match="1 records, and it counts 2"):
        discover(_Torn(collection("a", "b")), ByField(FIELD), limits())


def test_a_sum_between_the_counts_of_before_and_after_is_that_of_a_source_in_use() -> None:
    """An application that goes on writing does not keep its groups from being found."""
    found = discover(_Growing(collection("a", "b")), ByField(FIELD), limits())
    assert found.records == 2


def test_rows_are_counted_as_they_pass() -> None:
    """Progress sees every record once, and the limits are asked before each batch."""
    moved: list[int] = []
    discover(collection(*range(150)), ByField(FIELD), limits(moved))
    assert sum(moved) == 150


def test_groups_are_conditions_of_the_field() -> None:
    """What a plan stores of a group is a condition that takes its records: values, the missing, and the others."""
    missing, others = discover(collection("a", ...), ByField(FIELD), limits()).groups[1:]
    assert missing.condition == Missing(FIELD)
    assert others.condition == Others(FIELD, (Equals(FIELD, canonical.encode("a").decode()), Missing(FIELD)))


def test_discovery_reads_payloads_alone() -> None:
    """No vector is read to find the groups."""
    asked: list[frozenset[Part]] = []

    class Watched(ForwardingSource):
        def read(self, part: Any, columns: frozenset[Part], batch_rows: int = 1000) -> Any:
            asked.append(columns)
            found: list[pa.RecordBatch] = list(self.inner.read(part, columns, batch_rows))
            return iter(found)

    discover(Watched(collection("a")), ByField(FIELD), limits())
    assert asked == [frozenset({Part.PAYLOAD})]
