"""Which part of a collection a migration is about: all of it, or one workspace beside others in the same two stores."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

from vecferry.conditions import Condition, from_plain
from vecferry.contract import Source, Target
from vecferry.grouping import SourceView, target_view, view
from vecferry.ledger import DEFAULT_WORKSPACE, Ledger, Migration, State, Workspace
from vecferry.mapping import Mapping
from vecferry.transfer.decoded import DecodedSource

__all__ = ["SERVED_BY_NEW", "Scope", "encoding_of", "scope_of", "whole_of"]

SERVED_BY_NEW = frozenset(
    {
        State.SWITCHING,
        State.SWITCHED,
        State.ROLLBACK_FROZEN,
        State.ROLLBACK_SWITCHING,
        State.ROLLED_BACK_UNMERGED,
        State.COMPLETED,
    }
)
"""States in which the new store may hold writes of the application that the old one has not."""


@dataclass(frozen=True)
class Scope:
    """One workspace: its place in the order, and which records are its own. Its siblings are looked up when asked."""

    ledger: Ledger = field(repr=False)
    parent: str
    number: int
    key: str
    condition: Condition

    @property
    def is_default(self) -> bool:
        """Whether it is the group of all records that are in no other; it moves with the whole collection's route."""
        return self.key == DEFAULT_WORKSPACE

    @functools.cached_property
    def served(self) -> list[Workspace]:
        """Its siblings that the new store serves: the application writes them there."""
        found = self.ledger.workspaces(self.parent, SERVED_BY_NEW)
        return [one for one in found if one.number != self.number]

    def source(self, whole: Source) -> Source:
        """Its records in the old store, read in original terms."""
        return view(whole, self.condition)

    def target(self, whole: Target, mapping: Mapping) -> Target:
        """Its records in the new store. Writes never replace a record of a workspace that is served there."""
        return target_view(whole, self.condition, _conditions(self.served), mapping)

    def old(self, whole: Target, encoding: Mapping | None) -> Target:
        """Its records in the old store as it is written on the way back; the others' there are never replaced."""
        others = self.ledger.workspaces(self.parent, frozenset(State) - SERVED_BY_NEW | {State.ROLLED_BACK_UNMERGED})
        return target_view(
            whole, self.condition, _conditions([one for one in others if one.number != self.number]), encoding
        )


def encoding_of(store: Source) -> Mapping | None:
    """How records of a store that bears an earlier migration's mark are encoded, also behind a view of it."""
    whole = whole_of(store)
    return whole.mapping if isinstance(whole, DecodedSource) else None


def whole_of(store: Source) -> Source:
    """The collection around a view of one workspace."""
    return store.inner if isinstance(store, SourceView) else store


def _conditions(some: list[Workspace]) -> tuple[Condition, ...]:
    return tuple(from_plain(one.condition) for one in some if one.condition is not None)


def scope_of(ledger: Ledger, migration: Migration) -> Scope | None:
    """The workspace that a migration moves; None where it moves the whole collection."""
    if migration.parent is None or migration.workspace is None:
        return None
    mine = ledger.workspace(migration.parent, migration.workspace)
    return Scope(ledger, migration.parent, mine.number, mine.key, from_plain(mine.condition))
