"""Which part of a collection a migration is about: all of it, or one workspace beside others in the same two stores."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from vecferry.conditions import Condition, from_plain
from vecferry.contract import Source, Target
from vecferry.grouping import target_view, view
from vecferry.ledger import DEFAULT_WORKSPACE, Ledger, Migration, State, Workspace
from vecferry.mapping import Mapping

__all__ = ["SERVED_BY_NEW", "Scope", "scope_of", "served_by_new"]

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


@dataclass(frozen=True, slots=True)
class Scope:
    """One workspace: its place in the order, which records are its own, and which its siblings have in either store."""

    number: int
    key: str
    condition: Condition
    siblings: tuple[Workspace, ...] = field(repr=False)

    @property
    def is_default(self) -> bool:
        """Whether it is the group of all records that are in no other; it moves with the whole collection's route."""
        return self.key == DEFAULT_WORKSPACE

    @property
    def beside_served(self) -> bool:
        """Whether the new store serves other workspaces, so that the application writes it too."""
        return any(one.state in SERVED_BY_NEW for one in self.siblings)

    def source(self, whole: Source) -> Source:
        """Its records in the old store, read in original terms."""
        return view(whole, self.condition)

    def target(self, whole: Target, mapping: Mapping) -> Target:
        """Its records in the new store. Writes never replace a record of a workspace that is served there."""
        return target_view(whole, self.condition, self._conditions(served_by_new(self.siblings)), mapping)

    def old(self, whole: Target, encoding: Mapping | None) -> Target:
        """Its records in the old store as it is written on the way back; the others' there are never replaced."""
        served = {one.number for one in served_by_new(self.siblings)}
        others = [one for one in self.siblings if one.number not in served or one.state is State.ROLLED_BACK_UNMERGED]
        return target_view(whole, self.condition, self._conditions(others), encoding)

    def _conditions(self, some: Collection[Workspace]) -> tuple[Condition, ...]:
        return tuple(from_plain(one.condition) for one in some if one.condition is not None)


def served_by_new(workspaces: Collection[Workspace]) -> list[Workspace]:
    """Those in whose place nobody but the application may write the new store."""
    return [one for one in workspaces if one.state in SERVED_BY_NEW]


def scope_of(ledger: Ledger, migration: Migration) -> Scope | None:
    """The workspace that a migration moves; None where it moves the whole collection."""
    if migration.parent is None or migration.workspace is None:
        return None
    every = ledger.workspaces(migration.parent)
    mine = next(one for one in every if one.key == migration.workspace)
    siblings = tuple(one for one in every if one.number != mine.number)
    return Scope(mine.number, mine.key, from_plain(mine.condition), siblings)
