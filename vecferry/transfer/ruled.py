"""A target held to a rule set: it claims less, and no request is larger than the rules allow.

Every write goes through here, so that no phase can forget the limit of a request; the store below knows nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import pyarrow as pa

from vecferry import rule_sets
from vecferry.capabilities import Capabilities
from vecferry.conditions import Condition
from vecferry.config import MigrationConfig
from vecferry.contract import Narrowing, Source, Target
from vecferry.forwarding import ForwardingTarget, NarrowedSource
from vecferry.model import ALL_PARTS, Part, Slice
from vecferry.rule_sets import RuleSet

__all__ = ["RuledTarget", "under_rules"]


def under_rules(target: Target, config: MigrationConfig) -> Target:
    """The target as the configuration's profile, or the rule set of its host, lets it be used."""
    found = rule_sets.chosen(config.profile, config.target.public())
    return target if found is None else RuledTarget(target, found)


class RuledTarget(ForwardingTarget):
    """Narrows what a target claims, and cuts what it is sent and asked for."""

    def __init__(self, inner: Target, rule_set: RuleSet) -> None:
        super().__init__(inner)
        self.rule_set = rule_set

    def capabilities(self) -> Capabilities:
        return self.rule_set.narrow(self.inner.capabilities())

    @cached_property
    def _request_rows(self) -> int:
        return self.capabilities().max_batch_rows

    def write(self, batch: pa.RecordBatch) -> None:
        for part in self._cut(batch):
            self.inner.write(part)

    def delete(self, ids: pa.RecordBatch) -> None:
        for part in self._cut(ids):
            self.inner.delete(part)

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        found = [self.inner.fetch(part, columns) for part in self._cut(ids)]
        return pa.concat_batches(found) if found else self.inner.fetch(ids, columns)

    def _cut(self, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        rows = self._request_rows
        return (batch.slice(start, rows) for start in range(0, batch.num_rows, rows))

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        return self.inner.read(part, columns, min(batch_rows, self._request_rows))

    def narrowed(self, conditions: Sequence[Condition], beside: str = "") -> Source | None:
        found = self.inner.narrowed(conditions, beside) if isinstance(self.inner, Narrowing) else None
        if found is None:
            return None
        return NarrowedSource(
            self, lambda part, columns, batch_rows: found.read(part, columns, min(batch_rows, self._request_rows))
        )

    def around(self, inner: Target) -> Target:
        return RuledTarget(inner, self.rule_set)
