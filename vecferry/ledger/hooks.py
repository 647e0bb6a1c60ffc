"""Calls to the application: what is about to be called is recorded before, what came of it after."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, insert, select, update

from vecferry import plain
from vecferry.errors import DataDiffer, NotFound
from vecferry.failpoints import reached
from vecferry.ledger import audit, gates
from vecferry.ledger.counting import after_last
from vecferry.ledger.database import Database
from vecferry.ledger.known import known
from vecferry.ledger.leases import require
from vecferry.ledger.rows import Hook
from vecferry.ledger.schema import hooks
from vecferry.model import JsonObject

__all__ = ["Hooks"]


class Hooks(Database):
    """Intents and outcomes. An intent without an outcome is a call of unknown fate: read back before going on."""

    def record_hook_intent(
        self,
        migration_id: str,
        action: str,
        request: JsonObject,
        *,
        epoch: int,
        token: int | None,
        workspace: str | None = None,
        pause_token: int | None = None,
        needs_s: float = 0.0,
    ) -> Hook:
        """A call is about to be made. The same call, while it has no outcome, is the same intent with its number.

        With `pause_token` the pause must hold for `needs_s` seconds yet, or UnsafeRoute is raised and nothing recorded.
        """
        with self._write() as write:
            route = known(write.connection, migration_id).route
            require(write, token, migration_id)
            if pause_token is not None:
                gates.require_pause(write.connection, write.now, route, workspace, pause_token, needs_s)
            values = {"action": action, "workspace": workspace, "epoch": epoch, "request": request}
            query = select(hooks).where(hooks.c.migration == migration_id, hooks.c.outcome.is_(None))
            for row in write.connection.execute(query.order_by(hooks.c.number)):
                if plain.to_json({key: getattr(row, key) for key in values}) == plain.to_json(values):
                    return _hook(row)
            number = after_last(write.connection, hooks.c.number, migration_id)
            content = {"migration": migration_id, "number": number, "intended_at": write.now, **values}
            write.connection.execute(insert(hooks).values(**content))
            audit.append(write, "hook intended", migration_id, {"number": number, **values})
            recorded = Hook(migration_id, number, action, workspace, epoch, request, write.now, None, None)
        reached("ledger.hook_intended")
        return recorded

    def record_hook_outcome(
        self, migration_id: str, number: int, outcome: JsonObject, token: int | None = None
    ) -> None:
        """What came of a call. The same again changes nothing; raises DataDiffer for another outcome, NotFound."""
        with self._write() as write:
            known(write.connection, migration_id)
            require(write, token, migration_id)
            mine = (hooks.c.migration == migration_id) & (hooks.c.number == number)
            row = write.connection.execute(select(hooks).where(mine)).one_or_none()
            if row is None:
                raise NotFound(f"migration {migration_id} has no hook call {number}")
            if row.outcome is not None:
                if plain.to_json(row.outcome) != plain.to_json(outcome):
                    raise DataDiffer(f"hook call {number} of migration {migration_id} has another outcome already")
                return
            write.connection.execute(update(hooks).where(mine).values(outcome=outcome, ended_at=write.now))
            audit.append(write, "hook ended", migration_id, {"number": number, "outcome": outcome})

    def hooks(self, migration_id: str, action: str | None = None, *, epoch: int | None = None) -> list[Hook]:
        """All calls of a migration in order, or those of one action, or of one epoch of the route."""
        query = select(hooks).where(hooks.c.migration == migration_id).order_by(hooks.c.number)
        if action is not None:
            query = query.where(hooks.c.action == action)
        if epoch is not None:
            query = query.where(hooks.c.epoch == epoch)
        with self._read() as connection:
            return [_hook(row) for row in connection.execute(query)]

    def open_hook_intents(self, migration_id: str) -> list[Hook]:
        """Calls of unknown fate."""
        return [one for one in self.hooks(migration_id) if one.outcome is None]


def _hook(row: Row[Any]) -> Hook:
    return Hook(**row._asdict())
