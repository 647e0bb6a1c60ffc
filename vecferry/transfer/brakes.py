"""Brakes: so many deletes and changes are carried over unasked, and no more until a person has looked. Pure.

They count over all passes since a person said yes last, so that many small passes do not do what one large one may not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vecferry.errors import UnsafeRoute

__all__ = ["Allowance", "Allowed", "Brakes", "Counted", "Release", "applied"]


@dataclass(frozen=True, slots=True)
class Brakes:
    """The most that is carried over without asking: of each kind a number of records, or that share of all of them.

    The larger of the two counts. Percents are of the records that the source held when they were copied last.
    """

    max_deletes: int = 100
    max_delete_percent: float = 10.0
    max_changes: int = 1000
    max_change_percent: float = 50.0

    def deletes(self, rows: int) -> int:
        """Deletes that need no question, of a collection of so many records."""
        return max(self.max_deletes, int(rows * self.max_delete_percent / 100))

    def changes(self, rows: int) -> int:
        """Changed records that need no question."""
        return max(self.max_changes, int(rows * self.max_change_percent / 100))


@dataclass(frozen=True, slots=True)
class Counted:
    """Deletes and changed records. New ones overwrite nothing and are not counted."""

    deletes: int = 0
    changes: int = 0

    def __add__(self, other: Counted) -> Counted:
        return Counted(self.deletes + other.deletes, self.changes + other.changes)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a person allowed after having been shown it: so many, of exactly the records with this digest of ids."""

    rows: int
    digest: str


Allowance = Mapping[str, Allowed]
"""What was allowed of `deletes` and of `changes`."""


@dataclass(frozen=True, slots=True)
class Release:
    """How many deletes and changes a person lets through."""

    deletes: int | None = None
    changes: int | None = None

    def bound_to(self, shown: Mapping[str, str]) -> Allowance:
        """The same, for what the brake had shown last: digests of ids. What was not shown cannot be allowed."""
        asked = {"deletes": self.deletes, "changes": self.changes}
        return {name: Allowed(rows, shown[name]) for name, rows in asked.items() if rows is not None and name in shown}


def applied(
    brakes: Brakes,
    rows: int,
    since: Sequence[Counted],
    now: Counted,
    shown: Mapping[str, str],
    allowance: Allowance,
    migration: str,
) -> bool:
    """Whether `now` goes through because a person allowed it; False: because it is below the brakes.

    `since`: every delta since the last yes of a person. `shown` are digests of the ids of `now`, by `deletes` and
    `changes`.
    Raises UnsafeRoute, with the figures and the command that allows it, where a brake holds.
    """
    before = sum(since, Counted())
    kinds = (
        ("deletes", before.deletes, now.deletes, brakes.deletes(rows)),
        ("changes", before.changes, now.changes, brakes.changes(rows)),
    )
    used, refused, flags = False, list[str](), list[str]()
    for name, earlier, count, most in kinds:
        if not count or earlier + count <= most:
            continue
        allowed = allowance.get(name)
        if allowed is not None and count <= allowed.rows and shown[name] == allowed.digest:
            used = True
            continue
        refused.append(
            f"{count:,} {name}, and {earlier:,} since the last yes of a person, exceed {most:,} (of {rows:,} records)"
        )
        flags.append(f"--allow-{name} {count}")
    if refused:
        raise UnsafeRoute(
            "; ".join(refused) + ": nothing was carried over",
            advice=f"look at the source; if that is meant: vecferry sync {migration} {' '.join(flags)}",
        )
    return used
