"""One verb for each member of a group: every one on its own, and the most serious end is that of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vecferry import address
from vecferry.errors import VecferryError
from vecferry.ledger import Group, Ledger, Migration, State
from vecferry.operations.members import most_serious, place_of
from vecferry.routing import states
from vecferry.strategies.runner import Ref
from vecferry.strategies.sheets import Sheet

__all__ = ["Ended", "ends_sheet", "for_each", "problem_of", "why_not_aborted", "why_not_rolled_back"]

_BACK = frozenset({State.SWITCHED, State.READS_NEW, State.ROLLBACK_FROZEN, State.ROLLBACK_SWITCHING})


@dataclass(frozen=True, slots=True)
class Ended:
    """A member after the verb. `skipped` says why nothing was done (`""`: it was), `error` how it failed."""

    migration: Migration
    skipped: str = ""
    error: VecferryError | None = None

    @property
    def words(self) -> str:
        """How it ended, in words."""
        return str(self.error) if self.error is not None else self.skipped or "done"


def for_each(
    ledger: Ledger,
    group: Group,
    why_not: Callable[[Migration], str],
    act: Callable[[Ref], VecferryError | None],
) -> Iterator[Ended]:
    """Do it to each member for which `why_not` has no words, in the group's order; one's error stops no other."""
    for member in ledger.members(group.id):
        skipped = why_not(member)
        error = None if skipped else act(Ref(ledger.url, member.id))
        yield Ended(ledger.migration(member.id), skipped, error)


def why_not_rolled_back(migration: Migration) -> str:
    """Why there is nothing to roll back; `""`: there is."""
    return "" if migration.state in _BACK else f"it is {migration.state}: nothing to roll back"


def why_not_aborted(migration: Migration) -> str:
    """Why there is nothing to abort; `""`: there is."""
    return "" if states.can(migration.state, State.ABORTED) else f"it is {migration.state}: it stays so"


def ends_sheet(group: Group, ends: Sequence[Ended]) -> Sheet:
    """A line for each member."""
    rows = tuple(
        (place_of(address.parse(one.migration.source_url)), one.migration.state.value, one.migration.id, one.words)
        for one in ends
    )
    title = f"Group {group.id}: {group.source_url} -> {group.target_url}"
    return Sheet("together", title, ("collection", "state", "migration", "how it ended"), rows)


def problem_of(group: Group, verb: str, ends: Sequence[Ended]) -> VecferryError | None:
    """Why not all is done, as one error of the most serious kind; None when it is."""
    kind = most_serious(one.error.exit_code for one in ends if one.error is not None)
    if kind is None:
        return None
    said = Counter("failed" if one.error else "skipped" if one.skipped else "done" for one in ends)
    return kind(
        f"{verb} of group {group.id}: " + ", ".join(f"{number} {word}" for word, number in said.items()),
        advice=f"mend what the table says, then vecferry {verb} {group.id} again, or by a migration's own id",
    )
