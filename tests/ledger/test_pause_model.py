"""Pauses against a model of four values: any order of calls gives what the model says, and two runs see the same."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.ledger.conftest import NEW, OLD, SetClock, create
from tests.support.examples import examples
from vecferry.errors import UnsafeRoute
from vecferry.ledger import Ledger, State

BEFORE = {State.READY, State.READS_NEW}


class Pauses(RuleBasedStateMachine):
    """`token` is the newest pause's, `until` its end (None: released), `state` and `switches` those of the migration.

    Two connections take turns: what one did, the other goes on from.
    """

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.clock = SetClock()
        file = Path(self.folder.name) / "ledger.db"
        self.ledgers = [Ledger.open(file, self.clock, busy_timeout_s=timeout_s) for timeout_s in (10.0, 11.0)]
        self.name = create(self.ledgers[0]).id
        self.ledgers[0].claim_route("docs", OLD, self.name)
        self.ledgers[0].transition(self.name, [State.PLANNED], State.READY, event="verified")
        self.token, self.switches, self.state = 0, 0, State.READY
        self.until: datetime | None = None

    def on(self, who: int) -> Ledger:
        return self.ledgers[who]

    @property
    def left_s(self) -> float:
        return 0.0 if self.until is None else (self.until - self.clock.now).total_seconds()

    @rule(who=st.integers(0, 1), ttl_s=st.sampled_from([5, 20]), with_state=st.booleans())
    def pause(self, who: int, ttl_s: int, with_state: bool) -> None:
        allowed = not with_state or self.state in BEFORE
        try:
            made = self.on(who).pause_writes(
                "docs", self.name, ttl_s, None, state_to=State.FROZEN if with_state else None
            )
        except UnsafeRoute:
            assert not allowed
            return
        assert allowed
        assert made.token > self.token
        self.token, self.until = made.token, self.clock.now + timedelta(seconds=ttl_s)
        if with_state:
            self.state = State.FROZEN

    @rule(who=st.integers(0, 1), back=st.integers(0, 1))
    def extend(self, who: int, back: int) -> None:
        try:
            self.on(who).extend_pause("docs", self.token - back, 5, None)
        except UnsafeRoute:
            assert back or self.left_s <= 0
        else:
            assert self.left_s > 0
            self.until = self.clock.now + timedelta(seconds=5)

    @rule(who=st.integers(0, 1), back=st.integers(0, 1))
    def release(self, who: int, back: int) -> None:
        done = self.on(who).release_writes("docs", self.token - back)
        assert done == (not back and self.until is not None)
        self.until = None if done else self.until

    @rule(who=st.integers(0, 1))
    def unpause(self, who: int) -> None:
        assert bool(self.on(who).unpause(self.name, "ann")) == (self.until is not None)
        self.until = None

    @rule(who=st.integers(0, 1), step=st.sampled_from([(State.FROZEN, State.READY), (State.FROZEN, State.SWITCHING)]))
    def go(self, who: int, step: tuple[State, State]) -> None:
        try:
            self.on(who).transition(self.name, [step[0]], step[1], event="on")
        except UnsafeRoute:
            assert self.state is not step[0]
            return
        assert self.state is step[0]
        self.state = step[1]
        if self.state is State.READY:
            self.until = None

    @rule(who=st.integers(0, 1), back=st.integers(0, 1), needs_s=st.sampled_from([0, 5, 6]))
    def commit(self, who: int, back: int, needs_s: int) -> None:
        left_s = self.left_s
        allowed = not back and left_s > 0 and left_s >= needs_s and self.state is State.SWITCHING
        try:
            self.on(who).switch_route(
                self.name, "docs", expected_epoch=self.switches + 1, to_url=NEW, state_from=State.SWITCHING,
                state_to=State.READY, event="committed", token=None, pause_token=self.token - back, needs_s=needs_s,
            )  # fmt: skip
        except UnsafeRoute:
            assert not allowed
        else:
            assert allowed
            self.state, self.switches = State.READY, self.switches + 1

    @rule(seconds=st.sampled_from([1, 5, 20]))
    def wait(self, seconds: int) -> None:
        self.clock.forward(seconds)

    @invariant()
    def both_runs_and_the_application_see_what_the_model_says(self) -> None:
        if not hasattr(self, "ledgers"):
            return
        for ledger in self.ledgers:
            asked = ledger.ask_route("docs")
            assert asked is not None
            assert (asked.writes == "paused") == (self.left_s > 0)
            assert (asked.epoch, ledger.migration(self.name).state) == (self.switches + 1, self.state)

    def teardown(self) -> None:
        if hasattr(self, "ledgers"):
            assert self.ledgers[0].verify_audit() == len(self.ledgers[0].audit())
            for ledger in self.ledgers:
                ledger.close()
            self.folder.cleanup()


Pauses.TestCase.settings = settings(
    max_examples=examples(8), stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestPauses = Pauses.TestCase
TestPauses.__doc__ = (
    "Any order of pausing, extending, releasing, moving, committing and waiting is what the model says."
)
