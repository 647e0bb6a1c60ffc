"""The scenarios: each a small world, so that all orders of steps in it can be walked."""

from __future__ import annotations

from tests.protocol import outside
from tests.protocol.actions import RUN
from tests.protocol.explore import Action, Scenario
from tests.protocol.invariants import INVARIANTS, PROMISES
from tests.protocol.world import App, Owed, Sent, Side, World
from vecferry.ledger.states import State

PLANNED = World(State.PLANNED)
EMPTY = World(State.PLANNED, old=0, owed=())
READY = World(State.READY, new=1, known=1)
SWITCHED = World(State.SWITCHED, new=1, known=1, route=Side.NEW, reads=Side.NEW, app=App.NEW)
WRITTEN = SWITCHED._replace(new=2, owed=(Owed(2, False),), next_write=3)
LATE_UNDER_WAY = SWITCHED._replace(sent=Sent(Side.OLD, 2, late=True), next_write=3, faults_left=0)


def _scenario(name: str, starts: tuple[World, ...], *more: tuple[Action[World], ...]) -> Scenario[World]:
    actions = (*RUN, *outside.APPLICATION, *outside.NATURE, *(one for some in more for one in some))
    return Scenario(name, starts, actions, INVARIANTS, PROMISES)


CUTOVER = _scenario("cutover", (PLANNED, EMPTY), outside.SWITCHING, outside.ABORTING)
TWO_STEPS = _scenario("two steps", (READY,), outside.SWITCHING, outside.TWO_STEPS)
ROLLBACK = _scenario("rollback", (SWITCHED, WRITTEN, LATE_UNDER_WAY), outside.ROLLING_BACK)
ROUTE_ONLY = _scenario("route only", (SWITCHED, WRITTEN, LATE_UNDER_WAY), outside.ROUTE_ONLY)
