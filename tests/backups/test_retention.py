"""Retention as a pure function: what it keeps, and what it never removes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vecferry.errors import BadOption
from vecferry.transfer.retention import Dated, Policy, retain

START = datetime(2026, 11, 16, 2, 17, tzinfo=UTC)  # a Monday
POLICIES = st.tuples(st.integers(0, 10), st.integers(0, 6)).filter(any).map(lambda pair: Policy(*pair))


@st.composite
def series(draw: st.DrawFn) -> list[Dated]:
    """Backups of some months, several a day and none for weeks, some never verified, in any order and time zone."""
    hours = draw(st.lists(st.integers(0, 3000), max_size=40))
    zone = timezone(timedelta(hours=draw(st.integers(-12, 14))))
    found = [
        Dated(f"backup-{number}", (START + timedelta(hours=hour)).astimezone(zone), draw(st.booleans()))
        for number, hour in enumerate(hours)
    ]
    return draw(st.permutations(found))


def newest_first(backups: list[Dated]) -> list[Dated]:
    return sorted(backups, key=lambda item: (item.made_at, item.name), reverse=True)


def nightly(nights: int) -> list[Dated]:
    return [Dated(f"night-{night:03}", START + timedelta(days=night), verified=True) for night in range(nights)]


@given(series(), POLICIES)
def test_every_backup_is_kept_or_removed_once(backups: list[Dated], policy: Policy) -> None:
    """Nothing is forgotten, and nothing is both."""
    choice = retain(backups, policy)
    assert sorted([name for name, _ in choice.keep] + list(choice.remove)) == sorted(item.name for item in backups)


@given(series(), POLICIES)
def test_the_newest_verified_backup_is_never_removed(backups: list[Dated], policy: Policy) -> None:
    """Whatever the policy, there is a whole backup afterwards if there was one before."""
    verified = [item for item in newest_first(backups) if item.verified]
    assert not verified or verified[0].name not in retain(backups, policy).remove


@given(series(), POLICIES)
def test_nothing_goes_while_the_newest_is_not_verified(backups: list[Dated], policy: Policy) -> None:
    """The oldest goes only after the newest was verified; otherwise the reason names the newest."""
    ordered = newest_first(backups)
    choice = retain(backups, policy)
    if ordered and not ordered[0].verified:
        assert choice.remove == ()
        assert ordered[0].name in choice.held


@given(series(), POLICIES)
def test_what_stays_stays_when_asked_again(backups: list[Dated], policy: Policy) -> None:
    """After a removal the same policy removes nothing more."""
    kept = {name for name, _ in retain(backups, policy).keep}
    assert retain([item for item in backups if item.name in kept], policy).remove == ()


@given(series(), POLICIES)
def test_no_more_are_kept_than_was_asked_for(backups: list[Dated], policy: Policy) -> None:
    """One for each day and week, where anything may go at all; all that stay were verified."""
    choice = retain(backups, policy)
    verified = {item.name for item in backups if item.verified}
    if not choice.held:
        assert len(choice.keep) <= policy.daily + policy.weekly
        assert {name for name, _ in choice.keep} <= verified


@given(series(), POLICIES)
def test_the_oldest_go_first(backups: list[Dated], policy: Policy) -> None:
    """A removal that is interrupted has removed the oldest."""
    ages = {item.name: (item.made_at, item.name) for item in backups}
    removed = [ages[name] for name in retain(backups, policy).remove]
    assert removed == sorted(removed)


def test_seven_days_and_four_weeks_of_nightly_backups() -> None:
    """Of sixty nights stay the last seven, and the last of each of the last four weeks."""
    choice = retain(nightly(60), Policy(7, 4))
    assert [name for name, _ in choice.keep] == [
        *(f"night-{night:03}" for night in range(59, 52, -1)), "night-048", "night-041",
    ]  # fmt: skip
    assert dict(choice.keep)["night-048"] == "weekly"


def test_weeks_begin_on_monday_in_utc() -> None:
    """Sunday 23:00 and Monday 01:00 UTC are two weeks, wherever the clock hangs that wrote them."""
    zone = timezone(timedelta(hours=5))
    sunday = datetime(2026, 11, 22, 23, tzinfo=UTC).astimezone(zone)
    monday = datetime(2026, 11, 23, 1, tzinfo=UTC).astimezone(zone)
    choice = retain([Dated("sunday", sunday, True), Dated("monday", monday, True)], Policy(0, 2))
    assert [name for name, _ in choice.keep] == ["monday", "sunday"]


def test_a_year_that_begins_in_the_middle_of_a_week_does_not_part_it() -> None:
    """31 December 2026 and 1 January 2027 are one ISO week: one of the two is kept."""
    days = [datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)]
    choice = retain([Dated(str(day.date()), day, True) for day in days], Policy(0, 5))
    assert choice.remove == ("2026-12-31",)


def test_an_unverified_backup_does_not_stand_for_its_day() -> None:
    """Of one day the newest verified backup is kept, though a newer one was never read back."""
    day = [Dated("first", START, True), Dated("second", START + timedelta(hours=1), False)]
    later = Dated("next day", START + timedelta(days=1), True)
    assert retain([*day, later], Policy(2)).remove == ("second",)


@pytest.mark.parametrize("numbers", [(0, 0), (-1, 4), (7, -1)])
def test_a_policy_keeps_at_least_one(numbers: tuple[int, int]) -> None:
    """Keeping nothing is refused, not done."""
    with pytest.raises(BadOption, match="keeps none"):
        Policy(*numbers)


def test_no_backups_is_no_error() -> None:
    """An empty series has nothing to keep."""
    assert retain([], Policy(1)).keep == ()
