from __future__ import annotations

import pytest

from tests.ledger.conftest import NEW, OLD, SetClock, create
from vecferry.errors import ConfigError, NotFound, UnsafeRoute
from vecferry.ledger import Answer, Approval, Kind, Ledger, Migration, State

FORM = {"lines": ["docs moves to the new store"]}


@pytest.fixture
def asking(ledger: Ledger, migration: Migration) -> Migration:
    """A migration with a route and a verdict."""
    ledger.claim_route("docs", OLD, migration.id)
    ledger.set_fact(migration.id, "verdict", {"state": "same"})
    return migration


def newest(ledger: Ledger, migration: Migration) -> Approval:
    found = ledger.approval(migration.id)
    assert found is not None
    return found


def test_an_answer_is_kept_with_who_and_when(ledger: Ledger, asking: Migration, clock: SetClock) -> None:
    """The form, the decision, its author, the note and the times come back."""
    number = ledger.ask_approval(asking.id, FORM)
    asked_at = clock.now
    clock.forward(30)
    ledger.answer_approval(asking.id, number, Answer.APPROVED, "ann", "looks right")
    found = newest(ledger, asking)
    assert (found.form, found.epoch, found.asked_at, found.answered_at) == (FORM, 1, asked_at, clock.now)
    assert (found.answer, found.answered_by, found.note) == (Answer.APPROVED, "ann", "looks right")
    assert ledger.approval(create(ledger).id) is None


def test_a_yes_is_used_once(ledger: Ledger, asking: Migration) -> None:
    """The second use of one approval is refused."""
    number = ledger.ask_approval(asking.id, FORM)
    ledger.answer_approval(asking.id, number, Answer.APPROVED, "ann")
    assert ledger.use_approval(asking.id, number).used_at is not None
    with pytest.raises(UnsafeRoute, match="was used"):
        ledger.use_approval(asking.id, number)


@pytest.mark.parametrize(("answer", "words"), [(None, "was not answered"), (Answer.REJECTED, "was rejected")])
def test_only_a_yes_can_be_used(ledger: Ledger, asking: Migration, answer: Answer | None, words: str) -> None:
    """Silence and a no do not let anything pass."""
    number = ledger.ask_approval(asking.id, FORM)
    if answer is not None:
        ledger.answer_approval(asking.id, number, answer, "ann")
    with pytest.raises(UnsafeRoute, match=words):
        ledger.use_approval(asking.id, number)


def test_a_run_that_starts_anew_finds_its_question(ledger: Ledger, asking: Migration) -> None:
    """The same form keeps its number while it is open, and after a yes that was not used."""
    number = ledger.ask_approval(asking.id, FORM)
    assert ledger.ask_approval(asking.id, FORM) == number
    ledger.answer_approval(asking.id, number, Answer.APPROVED, "ann")
    assert ledger.ask_approval(asking.id, FORM) == number
    ledger.use_approval(asking.id, number)
    assert ledger.ask_approval(asking.id, FORM) == number + 1


def test_a_no_is_asked_again_under_a_new_number(ledger: Ledger, asking: Migration) -> None:
    """A rejection stays what it is; the next run asks anew."""
    number = ledger.ask_approval(asking.id, FORM)
    ledger.answer_approval(asking.id, number, Answer.REJECTED, "ann")
    assert ledger.ask_approval(asking.id, FORM) == number + 1
    assert newest(ledger, asking).answer is None


def test_a_yes_is_void_when_the_verdict_changed(ledger: Ledger, asking: Migration) -> None:
    """What was approved for one verdict is not used for another, and the form gets a new number."""
    number = ledger.ask_approval(asking.id, FORM)
    ledger.answer_approval(asking.id, number, Answer.APPROVED, "ann")
    ledger.set_fact(asking.id, "verdict", {"state": "same", "checked": 11})
    with pytest.raises(UnsafeRoute, match="another verdict"):
        ledger.use_approval(asking.id, number)
    assert ledger.ask_approval(asking.id, FORM) == number + 1


def test_a_yes_is_void_when_the_route_moved(ledger: Ledger, asking: Migration) -> None:
    """A yes for one epoch is not used in another."""
    number = ledger.ask_approval(asking.id, FORM)
    ledger.answer_approval(asking.id, number, Answer.APPROVED, "ann")
    ledger.switch_route(
        asking.id,
        "docs",
        expected_epoch=1,
        to_url=NEW,
        state_from=State.PLANNED,
        state_to=State.SWITCHED,
        event="switched",
        token=None,
    )
    with pytest.raises(UnsafeRoute, match="epoch 1"):
        ledger.use_approval(asking.id, number)


def test_a_replaced_form_takes_no_answer_and_no_use(ledger: Ledger, asking: Migration) -> None:
    """Once a newer form was shown, the older one is void."""
    old = ledger.ask_approval(asking.id, FORM)
    ledger.answer_approval(asking.id, old, Answer.APPROVED, "ann")
    ledger.ask_approval(asking.id, {"lines": ["something else"]})
    with pytest.raises(ConfigError, match="replaced by 2"):
        ledger.answer_approval(asking.id, old, Answer.REJECTED, "bob")
    with pytest.raises(ConfigError, match="replaced by 2"):
        ledger.use_approval(asking.id, old)


def test_an_answer_is_not_overruled(ledger: Ledger, asking: Migration) -> None:
    """The same answer again is harmless and keeps its author; the opposite is refused."""
    number = ledger.ask_approval(asking.id, FORM)
    ledger.answer_approval(asking.id, number, Answer.APPROVED, "ann")
    assert ledger.answer_approval(asking.id, number, Answer.APPROVED, "bob").answered_by == "ann"
    with pytest.raises(ConfigError, match="was approved already"):
        ledger.answer_approval(asking.id, number, Answer.REJECTED, "bob")


def test_a_form_that_was_never_shown_has_no_answer(ledger: Ledger, asking: Migration) -> None:
    """A number that was not given out is refused."""
    with pytest.raises(NotFound):
        ledger.answer_approval(asking.id, 1, Answer.APPROVED, "ann")


def test_s7_a_form_has_an_end(ledger: Ledger, asking: Migration, clock: SetClock) -> None:
    """A yes that comes too late is refused, a no is taken; the same form is asked anew under another number."""
    number = ledger.ask_approval(asking.id, FORM, valid_for_s=60)
    found = newest(ledger, asking)
    assert found.expires_at is not None
    assert (found.expires_at - clock.now).total_seconds() == 60
    clock.forward(59)
    assert ledger.ask_approval(asking.id, FORM, valid_for_s=60) == number
    clock.forward(1)
    with pytest.raises(UnsafeRoute, match="ended at 2026-11-21 03:01:00 UTC") as caught:
        ledger.answer_approval(asking.id, number, Answer.APPROVED, "ann")
    assert f"vecferry resume {asking.id}" in caught.value.advice
    assert newest(ledger, asking).answer is None
    assert ledger.answer_approval(asking.id, number, Answer.REJECTED, "ann").answer is Answer.REJECTED
    assert ledger.ask_approval(asking.id, FORM, valid_for_s=60) == number + 1


def test_s7_a_yes_is_worth_nothing_after_the_end(ledger: Ledger, asking: Migration, clock: SetClock) -> None:
    """An answer in time that was not used in time does not switch anything."""
    number = ledger.ask_approval(asking.id, FORM, valid_for_s=60)
    ledger.answer_approval(asking.id, number, Answer.APPROVED, "ann")
    clock.forward(60)
    with pytest.raises(UnsafeRoute, match="ended at"):
        ledger.use_approval(asking.id, number)
    assert ledger.ask_approval(asking.id, FORM, valid_for_s=60) == number + 1


@pytest.mark.parametrize("kind", Kind)
def test_s7_a_yes_allows_its_own_kind_of_step(ledger: Ledger, asking: Migration, kind: Kind) -> None:
    """What was said to a switch allows no rollback, and so on."""
    number = ledger.ask_approval(asking.id, FORM, kind=kind)
    ledger.answer_approval(asking.id, number, Answer.APPROVED, "ann")
    assert newest(ledger, asking).kind is kind
    for other in set(Kind) - {kind}:
        with pytest.raises(UnsafeRoute, match=f"is of the kind {kind}, not {other}"):
            ledger.use_approval(asking.id, number, kind=other)
    assert ledger.use_approval(asking.id, number, kind=kind).used_at is not None


@pytest.mark.parametrize("other", [{"kind": Kind.ROLLBACK}, {"largest_delta_rows": 6}, {"largest_delta_rows": None}])
def test_s7_another_limit_is_another_form(ledger: Ledger, asking: Migration, other: dict[str, object]) -> None:
    """The same words with another kind, limit or reach get a new number, and void the old one."""
    usual: dict[str, object] = {"largest_delta_rows": 5}
    number = ledger.ask_approval(asking.id, FORM, **usual)  # type: ignore[arg-type]
    ledger.answer_approval(asking.id, number, Answer.APPROVED, "ann")
    assert ledger.ask_approval(asking.id, FORM, **usual) == number  # type: ignore[arg-type]
    assert ledger.ask_approval(asking.id, FORM, **usual | other) == number + 1  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="was replaced"):
        ledger.use_approval(asking.id, number)
    assert [one.number for one in ledger.approvals(asking.id)] == [number, number + 1]
