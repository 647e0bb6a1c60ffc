from __future__ import annotations

import pytest

from tests.ledger.conftest import Lease, SetClock
from vecferry.errors import DataDiffer, LeaseLost, NotFound, UnsafeRoute
from vecferry.ledger import Hook, Ledger, Migration

REQUEST = {"url": "https://app/switch", "to": "new"}


def intend(ledger: Ledger, migration: Migration, action: str = "switch", **changes: object) -> Hook:
    usual: dict[str, object] = {"epoch": 2, "token": None}
    return ledger.record_hook_intent(migration.id, action, REQUEST, **usual | changes)  # type: ignore[arg-type]


def test_s12_an_intent_is_recorded_before_and_an_outcome_after(
    ledger: Ledger, ready: Migration, clock: SetClock
) -> None:
    """A call of unknown fate is listed as open until its outcome is known."""
    hook = intend(ledger, ready)
    assert (hook.number, hook.action, hook.epoch, hook.request, hook.outcome) == (1, "switch", 2, REQUEST, None)
    assert ledger.open_hook_intents(ready.id) == [hook]
    clock.forward(1)
    ledger.record_hook_outcome(ready.id, hook.number, {"confirmed": True})
    [ended] = ledger.hooks(ready.id)
    assert (ended.outcome, ended.ended_at) == ({"confirmed": True}, clock.now)
    assert ledger.open_hook_intents(ready.id) == []


def test_s12_a_repeated_call_of_unknown_fate_keeps_its_number(ledger: Ledger, ready: Migration) -> None:
    """A run that starts anew calls with the same key; after an outcome, and for another call, the key is a new one."""
    first = intend(ledger, ready)
    assert intend(ledger, ready) == first
    assert intend(ledger, ready, epoch=3).number == 2
    assert intend(ledger, ready, workspace='"a"').number == 3
    ledger.record_hook_outcome(ready.id, first.number, {"failed": "timed out"})
    assert intend(ledger, ready).number == 4


def test_s12_an_outcome_is_told_once(ledger: Ledger, ready: Migration) -> None:
    """The same outcome again is nothing new, another one is refused, and so is one of a call nobody intended."""
    hook = intend(ledger, ready)
    ledger.record_hook_outcome(ready.id, hook.number, {"confirmed": True})
    trail = ledger.audit()
    ledger.record_hook_outcome(ready.id, hook.number, {"confirmed": True})
    assert ledger.audit() == trail
    with pytest.raises(DataDiffer):
        ledger.record_hook_outcome(ready.id, hook.number, {"confirmed": False})
    with pytest.raises(NotFound):
        ledger.record_hook_outcome(ready.id, 9, {})


def test_s12_no_call_is_intended_when_the_pause_is_over(
    ledger: Ledger, ready: Migration, lease: Lease, clock: SetClock
) -> None:
    """A coordinator that stood still past its pause records nothing, and so calls nothing."""
    pause = ledger.pause_writes("docs", ready.id, 30, lease.token)
    assert intend(ledger, ready, token=lease.token, pause_token=pause.token, needs_s=30).number == 1
    clock.forward(1)
    with pytest.raises(UnsafeRoute, match="ends in 29 s, 30 s needed"):
        intend(ledger, ready, "release", token=lease.token, pause_token=pause.token, needs_s=30)
    clock.forward(60)
    with pytest.raises(LeaseLost):
        intend(ledger, ready, "release", token=lease.token)
    assert [hook.action for hook in ledger.hooks(ready.id)] == ["switch"]


def test_s13_recovery_sees_the_calls_of_one_action_and_epoch(ledger: Ledger, ready: Migration) -> None:
    """Whether a hook may have worked in this epoch is one question."""
    intend(ledger, ready, "pause", epoch=1)
    intend(ledger, ready, "switch", epoch=2)
    assert [hook.action for hook in ledger.hooks(ready.id, epoch=2)] == ["switch"]
    assert ledger.hooks(ready.id, "switch", epoch=3) == []
    assert [hook.number for hook in ledger.hooks(ready.id, "pause")] == [1]
