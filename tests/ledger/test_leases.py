from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ledger.conftest import SetClock, Start, elsewhere
from vecferry.errors import LeaseLost, LockHeld
from vecferry.ledger import Holder, Ledger

A, B = "migration:a", "target:memory:b"

HOLD = """
import sys
from vecferry.errors import LockHeld
from vecferry.ledger import Holder, Ledger
ledger = Ledger.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    print("held", ledger.acquire(["migration:a"], Holder.here("a fight"), 600).token, flush=True)
except LockHeld as error:
    print("refused", error, flush=True)
sys.stdin.readline()
"""


def line(process: object) -> str:
    return process.stdout.readline().strip()  # type: ignore[attr-defined,no-any-return]


def go(process: object) -> None:
    process.stdin.write("\n")  # type: ignore[attr-defined]
    process.stdin.flush()  # type: ignore[attr-defined]


def test_two_processes_fight_and_one_has_it(file: Path, start: Start) -> None:
    """Of two processes that ask at once, one gets the lease and the other learns who has it."""
    Ledger.open(file)
    fighters = [start(HOLD, file) for _ in range(2)]
    assert [line(process) for process in fighters] == ["ready", "ready"]
    for process in fighters:
        go(process)
    answers = {process.pid: line(process) for process in fighters}
    (winner,) = [pid for pid, answer in answers.items() if answer == "held 1"]
    (loser,) = answers.keys() - {winner}
    assert answers[loser].startswith("refused migration:a is held by a fight (")
    assert f"pid {winner})" in answers[loser]
    assert "until" in answers[loser]


@pytest.mark.parametrize("buried", [True, False], ids=["gone", "not yet waited for"])
def test_a_killed_holder_is_taken_over_at_once(file: Path, start: Start, buried: bool) -> None:
    """A lease with ten minutes left passes on as soon as its process is dead, and the new holder is told of it."""
    ledger = Ledger.open(file)
    process = start(HOLD, file)
    go(process)
    assert [line(process), line(process)] == ["ready", "held 1"]
    with pytest.raises(LockHeld):
        ledger.acquire([A], Holder.here(), 60)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | (0 if buried else os.WNOWAIT))
    lease = ledger.acquire([A], Holder.here(), 60)
    assert lease.token == 2
    assert [holder.pid for holder in lease.displaced] == [process.pid]


def test_a_pid_that_was_given_out_again_is_another_process() -> None:
    """The start time tells a dead holder from a living process with its number."""
    here = Holder.here()
    assert not here.is_dead()
    assert replace(here, started_ticks=here.started_ticks - 1).is_dead()


@pytest.mark.parametrize(
    "change",
    [{"host": "elsewhere"}, {"boot_id": "earlier"}, {"pid_namespace": "pid:[1]"}, {"started_ticks": 0}],
    ids=["other host", "other boot", "other container", "unknown start"],
)
def test_a_holder_that_cannot_be_looked_at_is_not_called_dead(start: Start, change: dict[str, object]) -> None:
    """Where the process table is not surely the same, only the end of the lease counts."""
    process = start("")
    process.wait(30)
    dead = replace(Holder.here(), pid=process.pid)
    assert dead.is_dead()
    assert not replace(dead, **change).is_dead()  # type: ignore[arg-type]


def test_a_lease_ends_by_the_ledgers_clock(ledger: Ledger, clock: SetClock) -> None:
    """A holder elsewhere keeps its lease to the last microsecond before its end, and no longer."""
    ledger.acquire([A], elsewhere("one"), 60)
    clock.forward(59.999999)
    with pytest.raises(LockHeld, match="2026-11-21 03:01:00 UTC"):
        ledger.acquire([A], elsewhere("two"), 60)
    clock.forward(0.000001)
    lease = ledger.acquire([A], elsewhere("two"), 60)
    assert [holder.host for holder in lease.displaced] == ["one"]


def test_all_resources_or_none(ledger: Ledger) -> None:
    """One resource that is taken leaves the others free."""
    ledger.acquire([B], elsewhere("one"), 60)
    with pytest.raises(LockHeld, match=B):
        ledger.acquire([A, B], elsewhere("two"), 60)
    assert ledger.holder(A) is None
    assert ledger.acquire([A], elsewhere("three"), 60).displaced == ()


def test_a_process_that_holds_a_lease_is_refused_like_any_other(ledger: Ledger) -> None:
    """Two flows in one process do not share a lease by accident."""
    ledger.acquire([A], Holder.here(), 60)
    with pytest.raises(LockHeld):
        ledger.acquire([A], Holder.here(), 60)


def test_tokens_only_grow(ledger: Ledger) -> None:
    """A token is never given twice, also after its lease was given back."""
    tokens = []
    for _ in range(3):
        lease = ledger.acquire([A, B], Holder.here(), 60)
        tokens.append(lease.token)
        ledger.release(lease)
    assert tokens == [1, 2, 3]


def test_a_token_is_checked_for_each_of_its_resources(ledger: Ledger, clock: SetClock) -> None:
    """The check passes while the lease lives, fails for another token or resource, and after the end."""
    lease = ledger.acquire([A, B], Holder.here(), 60)
    ledger.check(lease.token, A)
    ledger.check(lease.token, B)
    with pytest.raises(LeaseLost):
        ledger.check(lease.token + 1, A)
    with pytest.raises(LeaseLost):
        ledger.check(lease.token, "target:other")
    clock.forward(60)
    with pytest.raises(LeaseLost, match="expired"):
        ledger.check(lease.token, A)


def test_a_renewal_gives_the_full_time_again(ledger: Ledger, clock: SetClock) -> None:
    """A lease may be renewed even late, as long as nobody took it over."""
    lease = ledger.acquire([A, B], Holder.here(), 60)
    clock.forward(100)
    renewed = ledger.renew(lease)
    assert (renewed.token, (renewed.expires_at - clock.now).total_seconds()) == (lease.token, 60)
    clock.forward(59)
    ledger.check(lease.token, A)
    assert ledger.holder(A) == renewed


def test_a_lease_that_lost_one_resource_is_not_renewed(ledger: Ledger, clock: SetClock) -> None:
    """All resources are renewed or none."""
    lease = ledger.acquire([A, B], elsewhere("one"), 60)
    clock.forward(60)
    ledger.acquire([B], elsewhere("two"), 600)
    with pytest.raises(LeaseLost, match=r"taken over .* by someone@two"):
        ledger.renew(lease)
    with pytest.raises(LeaseLost, match="expired"):
        ledger.check(lease.token, A)


def test_a_take_over_fences_a_living_holder(ledger: Ledger) -> None:
    """The old token is worth nothing at once; what its run gives back later is not the new lease."""
    lease = ledger.acquire([A], Holder.here(), 60)
    newer = ledger.take_over([A], Holder.here("vecferry abort"), 60)
    assert newer.displaced == (lease.holder,)
    with pytest.raises(LeaseLost, match="vecferry abort"):
        ledger.check(lease.token, A)
    ledger.release(lease)
    ledger.check(newer.token, A)


def test_a_lease_given_back_twice_is_given_back(ledger: Ledger) -> None:
    """Giving back is idempotent and told once."""
    lease = ledger.acquire([A], Holder.here(), 60)
    ledger.release(lease)
    ledger.release(lease)
    assert [entry.event for entry in ledger.audit("a")] == ["lease taken", "lease released"]
    with pytest.raises(LeaseLost):
        ledger.renew(lease)


def test_the_holder_can_be_asked_for(ledger: Ledger) -> None:
    """`holder` gives the lease with all its resources, for people to see."""
    lease = ledger.acquire([B, A], Holder.here("vecferry migrate"), 60)
    assert ledger.holder(B) == lease
    assert str(lease.holder).startswith("vecferry migrate (")


def test_a_run_that_gives_way_is_displaced_and_ends_by_what_it_keeps(file: Path) -> None:
    """S6: whoever also holds the named resource loses the others at once; that one stays until it is given back."""
    ledger = Ledger.open(file)
    sync = ledger.acquire([A, B, "sync:a"], Holder.here("a sync"), 600)
    lease = ledger.acquire_before([A, B], Holder.here("a rollback"), 600, "sync:a")
    with pytest.raises(LeaseLost):
        ledger.check(sync.token, A)
    with pytest.raises(LeaseLost):
        ledger.renew(sync)
    ledger.check(lease.token, A)
    kept = ledger.holder("sync:a")
    assert kept is not None
    assert kept.token == sync.token
    ledger.release(sync)
    assert ledger.holder("sync:a") is None
    ledger.check(lease.token, B)


def test_nobody_else_gives_way(file: Path) -> None:
    """S6: a run without that resource is not displaced, whoever holds the resource itself."""
    ledger = Ledger.open(file)
    ledger.acquire(["sync:a"], Holder.here("a sync"), 600)
    other = ledger.acquire([A], Holder.here("a switch"), 600)
    with pytest.raises(LockHeld):
        ledger.acquire_before([A, B], Holder.here("a rollback"), 600, "sync:a")
    ledger.check(other.token, A)
