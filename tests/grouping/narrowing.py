"""Views with and without the engine's own filter, compared; used by the tests of each engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from tests.mapping.cases import make_batch, make_schema, mapping_for
from vecferry import canonical
from vecferry.conditions import Between, Condition, Equals, Missing, Others, matches
from vecferry.contract import Narrowing, Source, Target
from vecferry.grouping import not_carried, target_view, view
from vecferry.model import IDS_ONLY, IdKind
from vecferry.testing.rows import read_all, rows_of

FIELD = "workspace_id"

SCALARS: tuple[Any, ...] = (
    "acme", "Acme", "acme ", "", "1", "1.0", "true", "null", "[]", 'quo"te', "back\\slash", "new\nline", "\t", "'",
    "日本語 🚢", "%", "acme%", "a.b", "7d444840-9dc0-11d1-b245-5ffdce74fad2", "7D444840-9DC0-11D1-B245-5FFDCE74FAD2",
    "2024-01-01T00:00:00Z", "x" * 3000, 0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63), 0.5, 1.0, -1.5, 1e300, True, False,
)  # fmt: skip
"""Values that every engine here holds under a key; neighbours that a loose filter would confuse."""

UNHELD: tuple[Any, ...] = (None, [], {}, [1, "a"], {"a": {"b": 1}}, 2**64, float("nan"), b"acme", "\ud800")
"""Values of which some engine holds none, so that a mapping puts them aside as text."""


def equals(value: Any) -> Equals:
    return Equals(FIELD, canonical.encode(value).decode())


def conditions_for(values: Iterable[Any]) -> list[Condition]:
    """A group for each value, for some numbers and dates, for the missing, and for the others."""
    named: list[Equals] = [equals(value) for value in values]
    ranges = [Between(FIELD, -1, 2**53 + 1), Between(FIELD, 0.5, None), Between(FIELD, "2024-01-01", None)]
    return [*named, *ranges, Missing(FIELD), Others(FIELD, (*named[:3], Missing(FIELD)))]


def require_same(store: Source, conditions: Sequence[Condition]) -> None:
    """Each view shows the records that its condition takes of all, however many the engine's filter leaves."""
    everything = pa.concat_batches([batch for part in store.slices(1) for batch in store.read(part)])
    slices = store.slices(3)
    for at, condition in enumerate(conditions):
        expected = rows_of([everything.filter(pa.array(matches(condition, everything)))])
        parts = slices if at % 10 == 0 else store.slices(1)
        own = view(store, condition)
        assert rows_of(batch for part in parts for batch in own.read(part)) == expected, condition


def narrowed_rows(store: Source, condition: Condition, beside: str = "") -> int | None:
    """How many records the engine's own filter leaves; None where it has none."""
    assert isinstance(store, Narrowing)
    found = store.narrowed([condition], beside)
    return None if found is None else len(read_all(found, IDS_ONLY))


def require_carried(target: Target, kind: IdKind) -> None:
    """What a mapping wrote, values that the engine does not hold put aside, is in the views of its own groups."""
    values = [*SCALARS, *UNHELD]
    rows = [{FIELD: value} for value in values] + [{}]
    batch = make_batch([(kind, str(at)) for at in range(2 * len(rows))], [*rows, *rows])
    mapping = mapping_for(make_schema(kind), batch, target.capabilities())
    target.create(replace(mapping.target_schema, name="docs"), {})
    target.write(mapping.forward(batch))
    target.finish_load()
    groups = [condition for condition in conditions_for(values) if not not_carried([condition], mapping)]
    assert len(groups) > len(values)
    for condition in groups:
        mine = batch.filter(pa.array(matches(condition, batch)))
        found = read_all(target_view(target, condition, mapping=mapping))
        assert found == rows_of([mapping.expected(mine)]), condition
