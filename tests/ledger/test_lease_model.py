"""Leases against a model of five lines: any order of calls gives what the model says."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from tests.ledger.conftest import SetClock, elsewhere
from tests.support.examples import examples
from vecferry.errors import LeaseLost, LockHeld
from vecferry.ledger import Lease, Ledger

RESOURCES = ["migration:a", "target:b", "target:c"]


class Leases(RuleBasedStateMachine):
    """`held` maps a resource to the token and end that count; nothing else decides."""

    leases = Bundle("leases")

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = SetClock()
        self.ledger = Ledger.open(Path(self.folder.name) / "ledger.db", self.clock)
        self.held: dict[str, tuple[int, datetime]] = {}
        self.newest = 0

    @rule(target=leases, names=st.sets(st.sampled_from(RESOURCES), min_size=1), forced=st.booleans())
    def take(self, names: set[str], forced: bool) -> Lease | None:
        free = all(name not in self.held or self.held[name][1] <= self.clock.now for name in names)
        call = self.ledger.take_over if forced else self.ledger.acquire
        try:
            lease = call(sorted(names), elsewhere("h"), 10)
        except LockHeld:
            assert not free
            assert not forced
            return None
        assert free or forced
        assert lease.token > self.newest
        self.newest = lease.token
        self.held |= dict.fromkeys(names, (lease.token, lease.expires_at))
        return lease

    @rule(lease=leases)
    def renew(self, lease: Lease | None) -> None:
        if lease is None:
            return
        mine = all(self.held.get(name, (0, None))[0] == lease.token for name in lease.resources)
        try:
            renewed = self.ledger.renew(lease)
        except LeaseLost:
            assert not mine
        else:
            assert mine
            self.held |= dict.fromkeys(lease.resources, (lease.token, renewed.expires_at))

    @rule(lease=leases)
    def release(self, lease: Lease | None) -> None:
        if lease is not None:
            self.ledger.release(lease)
            self.held = {name: held for name, held in self.held.items() if held[0] != lease.token}

    @rule(lease=leases, name=st.sampled_from(RESOURCES))
    def check(self, lease: Lease | None, name: str) -> None:
        if lease is None:
            return
        token, ends_at = self.held.get(name, (0, self.clock.now))
        try:
            self.ledger.check(lease.token, name)
        except LeaseLost:
            assert token != lease.token or ends_at <= self.clock.now
        else:
            assert token == lease.token
            assert ends_at > self.clock.now

    @rule(seconds=st.sampled_from([1, 9, 10]))
    def wait(self, seconds: int) -> None:
        self.clock.forward(seconds)

    @invariant()
    def the_database_holds_what_the_model_holds(self) -> None:
        if hasattr(self, "held"):
            found = {name: self.ledger.holder(name) for name in RESOURCES}
            assert {name: (lease.token, lease.expires_at) for name, lease in found.items() if lease} == self.held

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()


Leases.TestCase.settings = settings(
    max_examples=examples(25), stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLeases = Leases.TestCase
TestLeases.__doc__ = "Any order of taking, forcing, renewing, giving back, checking and waiting is what the model says."
