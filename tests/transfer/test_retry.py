"""Retries of single calls: which errors, how long, and what passes in the end."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import stamina

from vecferry.errors import BadRecord, LeaseLost, RetryLater, Stopped, VecferryError
from vecferry.transfer import retry


class Store:
    """Something that fails with each error once, and then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors, self.calls = list(errors), 0

    def answer(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


@pytest.fixture
def no_waiting() -> Iterator[None]:
    """At most three tries after the first fault, and no pause between them."""
    with stamina.set_testing(True, attempts=3):
        yield


@pytest.mark.usefixtures("no_waiting")
def test_a_call_is_tried_again_while_the_fault_may_pass() -> None:
    """The answer comes once the store is back."""
    store = Store(RetryLater("away"), RetryLater("busy"))
    assert retry.call(60, store.answer) == "answer"
    assert store.calls == 3


@pytest.mark.parametrize("error", [BadRecord("bad"), LeaseLost("lost"), Stopped("stopped"), OSError("no store error")])
@pytest.mark.usefixtures("no_waiting")
def test_every_other_error_passes_at_once(error: Exception) -> None:
    """An error that will not pass is not tried again, neither first nor after a fault."""
    for faults in ([], [RetryLater("away")]):
        store = Store(*faults, error, RetryLater("never reached"))
        with pytest.raises(type(error)) as raised:
            retry.call(60, store.answer)
        assert raised.value is error
        assert store.calls == len(faults) + 1


@pytest.mark.usefixtures("no_waiting")
def test_the_last_fault_passes_when_the_budget_is_over() -> None:
    """The caller sees what the store said last, not a summary of the retries."""
    faults = [RetryLater(str(number)) for number in range(10)]
    store = Store(*faults)
    with pytest.raises(RetryLater) as raised:
        retry.call(60, store.answer)
    assert raised.value is faults[store.calls - 1]
    assert store.calls > 1


def test_without_a_budget_nothing_is_tried_again() -> None:
    """Zero seconds mean one call."""
    store = Store(RetryLater("away"))
    with pytest.raises(RetryLater, match="away"):
        retry.call(0, store.answer)
    assert store.calls == 1


def test_the_budget_is_for_the_fault_and_not_for_the_work_before_it() -> None:
    """A call that worked longer than the budget before the store went away is tried again all the same."""
    budget_s = 0.05
    store = Store(RetryLater("away"))

    def long_work() -> str:
        if store.errors:
            time.sleep(2 * budget_s)
        return store.answer()

    assert retry.call(budget_s, long_work) == "answer"


def test_the_budget_ends() -> None:
    """A store that stays away is given up, with the error that says so."""
    started = time.monotonic()

    def away() -> None:
        raise RetryLater("away")

    with pytest.raises(VecferryError, match="away"):
        retry.call(0.05, away)
    assert time.monotonic() - started < 5
