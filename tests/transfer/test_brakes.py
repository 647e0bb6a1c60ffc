"""Brakes: what goes through unasked, what does not, and what a person's word lets through."""

from __future__ import annotations

import pytest

from vecferry.errors import UnsafeRoute
from vecferry.transfer.brakes import Brakes, Counted, Release, applied

BRAKES = Brakes(max_deletes=10, max_delete_percent=5.0, max_changes=20, max_change_percent=50.0)
NO_WORD = Release()
SHOWN = {"deletes": "11-ab", "changes": "21-cd"}


def through(now: Counted, rows: int = 100, since: tuple[Counted, ...] = (), release: Release = NO_WORD) -> bool:
    """Whether it needed somebody's word; raises where it does not go through."""
    return applied(BRAKES, rows, since, now, SHOWN, release.bound_to(SHOWN), "docs-1")


@pytest.mark.parametrize(
    ("now", "rows"),
    [(Counted(), 0), (Counted(10, 20), 0), (Counted(10, 50), 100), (Counted(50, 500), 1000), (Counted(0, 20), 10)],
)
def test_the_larger_of_number_and_share_goes_through_unasked(now: Counted, rows: int) -> None:
    """S5: max(n, %) of each kind."""
    assert through(now, rows) is False


@pytest.mark.parametrize(
    ("now", "rows", "flag"),
    [(Counted(11, 0), 100, "--allow-deletes 11"), (Counted(51, 0), 1000, "--allow-deletes 51"),
     (Counted(0, 21), 0, "--allow-changes 21"), (Counted(0, 501), 1000, "--allow-changes 501")],
)  # fmt: skip
def test_one_more_is_held_with_the_command_that_lets_it_through(now: Counted, rows: int, flag: str) -> None:
    """S5: the refusal names the figures and the exact command."""
    with pytest.raises(UnsafeRoute, match="nothing was carried over") as caught:
        through(now, rows)
    assert caught.value.advice.endswith(f"vecferry sync docs-1 {flag}")


def test_both_brakes_are_named_at_once() -> None:
    """Nobody has to run it twice to learn of the second one."""
    with pytest.raises(UnsafeRoute) as caught:
        through(Counted(11, 60))
    assert caught.value.advice.endswith("--allow-deletes 11 --allow-changes 60")


def test_many_small_passes_do_not_do_what_one_large_one_may_not() -> None:
    """S5: deletes count from the last yes of a person, not per pass."""
    since: tuple[Counted, ...] = ()
    for _ in range(10):
        assert through(Counted(1, 0), since=since) is False
        since = (*since, Counted(1, 0))
    with pytest.raises(UnsafeRoute, match="1 deletes, and 10 since"):
        through(Counted(1, 0), since=since)


def test_a_pass_without_deletes_is_not_held_by_earlier_ones() -> None:
    """What is over is over; only what would be added is asked for."""
    assert through(Counted(0, 1), since=(Counted(1000, 0),)) is False


def test_new_records_are_never_held() -> None:
    """They overwrite nothing."""
    assert through(Counted(0, 0), rows=0) is False


def test_a_persons_word_lets_through_what_was_shown() -> None:
    """S5: as many as were named, of exactly the records that were shown."""
    assert through(Counted(11, 0), release=Release(deletes=11)) is True
    assert through(Counted(11, 0), release=Release(deletes=20)) is True


@pytest.mark.parametrize("release", [Release(deletes=10), Release(changes=11), Release()])
def test_fewer_or_other_words_let_nothing_through(release: Release) -> None:
    """A number that is too small, or of the other kind, is no permission."""
    with pytest.raises(UnsafeRoute):
        through(Counted(11, 0), release=release)


def test_permission_is_bound_to_the_records_that_were_shown() -> None:
    """S5: other records than those that were shown are held, even if they are as many; so is what was never shown."""
    for shown in ({"deletes": "11-ff"}, {}):
        allowance = Release(deletes=11).bound_to(shown)
        with pytest.raises(UnsafeRoute):
            applied(BRAKES, 100, (), Counted(11, 0), SHOWN, allowance, "docs-1")
