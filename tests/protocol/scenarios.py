"""The scenarios: each a small world, so that all orders of steps in it can be walked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.protocol import outside
from tests.protocol.absence import ABSENCE
from tests.protocol.actions import RUN
from tests.protocol.braking import BRAKES
from tests.protocol.ending import DISCARD, DROP
from tests.protocol.explore import Action, Scenario
from tests.protocol.guards import Guard
from tests.protocol.invariants import INVARIANTS, PROMISES
from tests.protocol.linking import LINKS
from tests.protocol.rolling import ROLLING
from tests.protocol.syncing import SYNC
from tests.protocol.world import Answer, App, At, Hook, Owed, Sent, Side, World
from vecferry.ledger.states import State

__all__ = ["LONG", "SHORT", "SHOWS"]

PLANNED = World(State.PLANNED)
EMPTY = World(State.PLANNED, old=0, owed=())
READY = World(State.READY, new=1, known=1)
SWITCHED = World(State.SWITCHED, new=1, known=1, route=Side.NEW, reads=Side.NEW, app=App.NEW, probed=True)
WRITTEN = SWITCHED._replace(new=2, owed=(Owed(2, False),), next_write=3)
LATE_UNDER_WAY = WRITTEN._replace(sent=Sent(Side.OLD, 3, late=True), writes_left=0, faults_left=0)
CALLING = SWITCHED._replace(
    state=State.SWITCHING, at=At.DOWN, app=App.OLD, hook=Hook.INTENDED, calling=Side.NEW, paused=True,
    answer=Answer.SWITCH, crashes_left=0, faults_left=0,
)  # fmt: skip


def _scenario(name: str, starts: tuple[World, ...], *more: tuple[Action[World], ...]) -> Scenario[World]:
    around = (*outside.APPLICATION, *outside.NATURE, *outside.PERSON, *(one for some in more for one in some))
    return Scenario(name, starts, (*RUN, *around), INVARIANTS, PROMISES)


def _longer(scenario: Scenario[World], writes: int = 1, crashes: int = 1) -> Scenario[World]:
    starts = tuple(world._replace(writes_left=writes, crashes_left=crashes) for world in scenario.starts)
    return replace(scenario, name=f"{scenario.name}, writes {writes}, crashes {crashes}", starts=starts)


_CUTOVER = _scenario("cutover", (PLANNED, EMPTY), outside.SWITCHING, outside.ABORTING)
_TWO_STEPS = _scenario("two steps", (READY,), outside.SWITCHING, outside.TWO_STEPS)
_ROLLBACK = _scenario("rollback", (SWITCHED, WRITTEN, LATE_UNDER_WAY), outside.ROLLING_BACK)
_ROUTE_ONLY = _scenario("route only", (SWITCHED, WRITTEN, LATE_UNDER_WAY), outside.ROUTE_ONLY)
_THERE_AND_BACK = _scenario(
    "there and back", (CALLING,), outside.SWITCHING, outside.ROLLING_BACK, outside.FORWARD_AGAIN
)

SHORT: tuple[Scenario[Any], ...] = (
    _CUTOVER, _TWO_STEPS, _ROLLBACK, _ROUTE_ONLY, _THERE_AND_BACK, ROLLING, SYNC, ABSENCE, BRAKES, LINKS, DROP, DISCARD,
)  # fmt: skip
"""Those that every run of the tests walks: one write of the application, one fault, one crash."""

LONG: tuple[Scenario[Any], ...] = (
    _longer(_CUTOVER, writes=2),
    _longer(_CUTOVER, crashes=2),
    _longer(_TWO_STEPS, writes=2),
    _longer(_ROLLBACK, crashes=2),
    _longer(_ROUTE_ONLY, writes=2, crashes=2),
    replace(_longer(_THERE_AND_BACK), starts=(READY,)),
)
"""The same worlds with two writes or two crashes, and a whole way there, back, and there again."""

SHOWS: dict[Guard, Scenario[Any]] = {
    Guard.WAIT_AFTER_PAUSE: _CUTOVER,
    Guard.READ_TARGET_LAST: _CUTOVER,
    Guard.FENCE_LATE_UPSERTS: _CUTOVER,
    Guard.READ_BACK_BEFORE_HOOK: _CUTOVER,
    Guard.PAUSE_HAS_AN_END: _TWO_STEPS,
    Guard.PROBE_AFTER_APPROVAL: _TWO_STEPS,
    Guard.COMMIT_WITHIN_PAUSE: _TWO_STEPS,
    Guard.PASSES_AGAIN_AFTER_CRASH: _TWO_STEPS,
    Guard.UNDO_ONLY_BEFORE_COMMIT: _TWO_STEPS,
    Guard.LOOK_BEFORE_GOING_ON: _TWO_STEPS,
    Guard.RELEASE_ON_UNDO: _TWO_STEPS,
    Guard.LATE_PASS_AFTER_SWITCH: _TWO_STEPS,
    Guard.LATE_PASS_AFTER_ROLLBACK: _ROLLBACK,
    Guard.OPEN_INTENT_IS_OURS: _ROLLBACK,
    Guard.CHECK_BEFORE_OVERWRITE: _ROLLBACK,
    Guard.MERGE_UNDER_PAUSE: _ROUTE_ONLY,
    Guard.WRITE_WITHIN_PAUSE: _ROUTE_ONLY,
    Guard.EXPIRED_TOKEN_REFUSED: _THERE_AND_BACK,
    Guard.LEDGER_IDS_IN_PASS: ROLLING,
    Guard.PAUSE_COVERS_MOVERS: ROLLING,
    Guard.CARRIED_ACROSS_SIDES: ROLLING,
    Guard.FOREIGN_ROWS_STAY: ROLLING,
    Guard.SYNC_STOPS_AT_SWITCH: SYNC,
    Guard.TOKEN_BEFORE_EACH_WRITE: SYNC,
    Guard.POINT_READS_BEFORE_DELETE: ABSENCE,
    Guard.SECOND_POINT_READ: ABSENCE,
    Guard.ABSENT_IN_TWO_PASSES: ABSENCE,
    Guard.BRAKES_SINCE_APPROVAL: BRAKES,
    Guard.COUNT_BEFORE_WRITE: BRAKES,
    Guard.ALLOWANCE_BOUND_TO_DIGEST: BRAKES,
    Guard.RECORDED_LINK_WINS: LINKS,
    Guard.LAST_LOOK_BEFORE_DROP: DROP,
    Guard.OBSERVED_ROUTE_AT_COMPLETE: DROP,
    Guard.DISCARD_WAITS: DISCARD,
}
"""The world in which the failure that a guard keeps away shows itself."""
