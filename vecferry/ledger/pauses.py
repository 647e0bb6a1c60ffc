"""Pauses: the application's writes wait, until a switch or an end by the ledger's clock, whichever comes first.

What says whether writes wait is the row here. Hooks tell an application of it; others ask.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, insert, select, update

from vecferry.errors import ConfigError, UnsafeRoute
from vecferry.failpoints import reached
from vecferry.ledger import audit, gates, moves
from vecferry.ledger.approvals import kind_for, use
from vecferry.ledger.counting import next_number
from vecferry.ledger.database import Database, Write
from vecferry.ledger.known import known, within
from vecferry.ledger.leases import require
from vecferry.ledger.placed import known_route
from vecferry.ledger.rows import Pause
from vecferry.ledger.schema import pauses
from vecferry.ledger.states import State
from vecferry.model import JsonObject

__all__ = ["Pauses"]

_TOKEN = "pause token"
_BEFORE = frozenset({State.READY, State.READS_NEW})


class Pauses(Database):
    """Pausing and releasing. Releasing needs no lease, because nothing may stand in its way."""

    def pause_writes(
        self,
        name: str,
        migration_id: str,
        ttl_s: float,
        token: int | None,
        *,
        workspace: str | None = None,
        state_from: Collection[State] = _BEFORE,
        state_to: State | None = State.FROZEN,
        approval: int | None = None,
        event: str = "writes paused",
        detail: JsonObject | None = None,
    ) -> Pause:
        """Let the writes of a route (or of one workspace, by its key) wait for `ttl_s` seconds, and set the state.

        All in one transaction, the use of the approval too. `state_to` None pauses in whatever state it is. A pause
        of this migration that is there is replaced: its token is worth nothing from now on.

        Raises LeaseLost, NotFound, and UnsafeRoute if the state is another, the route is another migration's, or the
        approval is no unused yes. Then nothing was changed.
        """
        if not (math.isfinite(ttl_s) and ttl_s > 0):
            raise ConfigError(f"a pause of {ttl_s} s is none", advice="give a number of seconds above 0")
        with self._write() as write:
            known(write.connection, migration_id)
            require(write, token, migration_id)
            _refuse_foreign(write, name, migration_id, workspace)
            subject = within(write.connection, migration_id, workspace)
            if approval is not None:
                use(write, migration_id, approval, kind_for(state_to, subject))
            pause = _stored(write, name, migration_id, workspace, ttl_s, approval)
            told = {**(detail or {}), "route": name, "pause": pause.token, "ttl_s": ttl_s}
            if state_to is None:
                told["workspace"] = pause.workspace
                audit.append(write, event, migration_id, told)
            else:
                numbers = moves.number_of(write.connection, migration_id, workspace)
                found = moves.take(write, moves.Move(migration_id, state_from, state_to, event, told, numbers))
                if found is not state_to:
                    pause = _begun(write, pause, found, approval)
            reached("ledger.pausing")
        reached("ledger.paused")
        return pause

    def extend_pause(
        self, name: str, pause_token: int, ttl_s: float, token: int | None, *, workspace: str | None = None
    ) -> Pause:
        """Let a pause that holds last until `ttl_s` seconds from now. Raises UnsafeRoute if it is over or replaced."""
        with self._write() as write:
            pause = gates.require_pause(write.connection, write.now, name, workspace, pause_token, 0)
            require(write, token, pause.migration)
            until = write.now + timedelta(seconds=ttl_s)
            _change(write, pause, paused_until=until)
            detail = {"route": name, "workspace": pause.workspace, "pause": pause_token, "ttl_s": ttl_s}
            audit.append(write, "pause extended", pause.migration, detail)
            return replace(pause, paused_until=until)

    def release_writes(self, name: str, pause_token: int, *, workspace: str | None = None, by: str = "the run") -> bool:
        """Let writes go on; whether this call did it. A pause that is released or was replaced stays as it is."""
        with self._write() as write:
            mine = (pauses.c.route == name) & (pauses.c.workspace == gates.scope(workspace))
            return bool(gates.end(write, mine & (pauses.c.token == pause_token), by))

    def unpause(self, migration_id: str, by: str) -> list[Pause]:
        """Release every pause of a migration by hand; those released. A switch under one of them is refused then."""
        with self._write() as write:
            known(write.connection, migration_id)
            return gates.end(write, gates.of_subject(migration_id, None), by)

    def pause(self, name: str, workspace: str | None = None) -> Pause | None:
        """The last pause of a route, or of one workspace of it, whether it holds or not."""
        with self._read() as connection:
            row = gates.find(connection, name, workspace)
            return None if row is None else gates.pause_of(row)

    def pauses(self, migration_id: str) -> list[Pause]:
        """The last pause of each part of a migration's route that it paused."""
        query = select(pauses).where(gates.of_subject(migration_id, None)).order_by(pauses.c.token)
        with self._read() as connection:
            return [gates.pause_of(row) for row in connection.execute(query)]

    def require_pause(
        self, name: str, pause_token: int, *, workspace: str | None = None, needs_s: float = 0.0
    ) -> Pause:
        """The pause of this token, if it holds for `needs_s` seconds yet. Raises UnsafeRoute."""
        with self._read() as connection:
            return gates.require_pause(connection, self._now(connection), name, workspace, pause_token, needs_s)


def _refuse_foreign(write: Write, name: str, migration_id: str, workspace: str | None) -> None:
    owner, row = known_route(write.connection, name).migration, known(write.connection, migration_id)
    if owner != (row.parent or row.id):
        raise UnsafeRoute(
            f"route {name} belongs to migration {owner}, not {migration_id}",
            advice=f"nothing was paused; `vecferry route {name}` shows where it leads",
        )


def _stored(
    write: Write, name: str, migration_id: str, workspace: str | None, ttl_s: float, approval: int | None
) -> Pause:
    """Put a new pause in the place of the last one. One that was not released leaves its yes and its way back."""
    last = _unreleased(write, name, migration_id, workspace)
    pause = Pause(
        route=name,
        workspace=gates.scope(workspace) or None,
        token=next_number(write.connection, _TOKEN),
        migration=migration_id,
        approval=last.approval if last is not None and approval is None else approval,
        returns_to=None if last is None else last.returns_to,
        paused_at=write.now,
        paused_until=write.now + timedelta(seconds=ttl_s),
    )
    same = (pauses.c.route == name) & (pauses.c.workspace == gates.scope(workspace))
    write.connection.execute(delete(pauses).where(same))
    values = {key: getattr(pause, key) for key in Pause.__slots__} | {"workspace": gates.scope(workspace)}
    write.connection.execute(insert(pauses).values(**values))
    return pause


def _unreleased(write: Write, name: str, migration_id: str, workspace: str | None) -> Pause | None:
    row = gates.find(write.connection, name, workspace)
    mine = row is not None and row.released_at is None and row.migration == migration_id
    return gates.pause_of(row) if row is not None and mine else None


def _begun(write: Write, pause: Pause, found: State, approval: int | None) -> Pause:
    """A pause that comes with a new state takes neither the yes nor the way back of the one before it."""
    _change(write, pause, returns_to=found.value, approval=approval)
    return replace(pause, returns_to=found, approval=approval)


def _change(write: Write, pause: Pause, **values: Any) -> None:
    write.connection.execute(update(pauses).where(pauses.c.token == pause.token).values(**values))
