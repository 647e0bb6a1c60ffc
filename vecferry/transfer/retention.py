"""Which backups stay and which may go: a pure function of when they were made and whether they were verified.

A day and a week are those of UTC, a week begins on Monday (ISO 8601). Only a verified backup stands for its day or
week. Nothing goes unless the newest backup of all was verified, and what is newer than that is never looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from vecferry.errors import BadOption

__all__ = ["Dated", "Policy", "Retention", "retain"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Keep the newest of each of the last `daily` days and of the last `weekly` weeks that have a backup."""

    daily: int
    weekly: int = 0

    def __post_init__(self) -> None:
        if self.daily < 0 or self.weekly < 0 or self.daily + self.weekly == 0:
            raise BadOption(
                f"keeping {self.daily} daily and {self.weekly} weekly backups keeps none",
                advice="--keep-daily N or --keep-weekly M, one of them at least 1",
            )


@dataclass(frozen=True, slots=True)
class Dated:
    """One backup of a series. `made_at` has a time zone."""

    name: str
    made_at: datetime
    verified: bool


@dataclass(frozen=True, slots=True)
class Retention:
    """`keep`: name and reason, the newest first. `remove`: the oldest first. `held` says why nothing may go (`""`)."""

    keep: tuple[tuple[str, str], ...]
    remove: tuple[str, ...] = ()
    held: str = ""


def retain(backups: Sequence[Dated], policy: Policy) -> Retention:
    """What a policy says of the backups of one series, in whatever order they come."""
    newest_first = sorted(backups, key=lambda item: (item.made_at, item.name), reverse=True)
    if not newest_first:
        return Retention(())
    if not newest_first[0].verified:
        held = f"the newest backup, {newest_first[0].name}, is not verified"
        return Retention(tuple((item.name, held) for item in newest_first), held=held)
    verified = [item for item in newest_first if item.verified]
    reasons = _newest_of(verified, _week, policy.weekly, "weekly") | _newest_of(verified, _day, policy.daily, "daily")
    reasons.setdefault(verified[0].name, "newest")
    keep = tuple((item.name, reasons[item.name]) for item in newest_first if item.name in reasons)
    return Retention(keep, tuple(item.name for item in reversed(newest_first) if item.name not in reasons))


def _newest_of(
    verified: Sequence[Dated], period: Callable[[datetime], Hashable], count: int, reason: str
) -> dict[str, str]:
    """The newest backup of each of the last `count` periods."""
    newest: dict[Hashable, str] = {}
    for item in verified:
        newest.setdefault(period(item.made_at.astimezone(UTC)), item.name)
    return dict.fromkeys(list(newest.values())[:count], reason)


def _day(at: datetime) -> Hashable:
    return at.date()


def _week(at: datetime) -> Hashable:
    return at.isocalendar()[:2]
