"""The flows of the demo, there and back, against the server that the environment names."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from deployments.console import say, table
from deployments.records import steps_sheet, table_sheet
from flows.blue_green import blue_green
from flows.rollback import rollback_blue_green
from vecferry.transfer import progress
from vecferry.transfer.progress import Progress

__all__ = ["there_and_back"]

STEPS = "Steps, as the server recorded them"


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a flow run ended: its id on the server, and what it returned (nothing, if it failed)."""

    flow_run_id: Any
    result: Mapping[str, Any]


def there_and_back(source: str, target: str, route: str) -> bool:
    """Move, show what the server has of it, roll back; whether the route led to the new store and back."""
    with progress.listening(_Lines()):
        moved = _run(blue_green, source=source, target=target, route=route, metric="cosine", approve="auto")
    table(steps_sheet(moved.flow_run_id, STEPS))
    if not moved.result:
        return False
    table(table_sheet(moved.flow_run_id, "plan"))
    table(table_sheet(moved.flow_run_id, "verdict"))
    say(f"   route {route!r} serves {moved.result['serves']}")
    say("3. The rollback flow")
    back = _run(rollback_blue_green, migration_id=moved.result["migration"])
    table(steps_sheet(back.flow_run_id, STEPS))
    say(f"   route {route!r} serves {back.result.get('serves')}; the new store stays as it is")
    return bool(moved.result["serves"] == target and back.result.get("serves") == source)


def _run(flow: Callable[..., Any], **parameters: Any) -> _Ended:
    state = flow(**parameters, return_state=True)
    say(f"   the flow run is {state.name}" + (f": {state.message}" if state.message else ""))
    return _Ended(state.state_details.flow_run_id, state.result() if state.is_completed() else {})


class _Lines:
    """A line for each phase that has counted all its records."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, found: Progress) -> None:
        """Told of every change, from any thread."""
        if found.total is not None and found.done >= found.total and found.phase not in self._told:
            self._told.add(found.phase)
            say(f"   {found.phase}: {found.done:,} of {found.total:,} records")


if __name__ == "__main__":
    sys.exit(0 if there_and_back(*sys.argv[1:]) else 1)
