"""Passes: when a store was last read as a whole, and whether two passes in a row saw the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, delete, insert, select, update

from vecferry.errors import NotFound
from vecferry.ledger import audit
from vecferry.ledger.counting import after_last
from vecferry.ledger.database import Database, Write
from vecferry.ledger.known import known
from vecferry.ledger.leases import require
from vecferry.ledger.rows import Direction, Pass
from vecferry.ledger.schema import passes
from vecferry.model import JsonObject

__all__ = ["KEPT", "Passes", "settled"]

KEPT = 10
"""Ended passes that stay in the table, of each direction; the audit trail has all of them."""


def settled(found: Sequence[Pass], since: datetime) -> bool:
    """Whether the last two passes, both whole and begun after `since`, found nothing and saw the same. Pure."""
    last = [one for one in found if one.ended_at is not None][-2:]
    quiet = all(one.whole and one.differences == 0 and one.started_at >= since for one in last)
    return len(last) == 2 and quiet and last[0].digest == last[1].digest is not None


class Passes(Database):
    """Beginning and ending passes. The lag of a target is the age of the last whole pass's start."""

    def begin_pass(
        self,
        migration_id: str,
        direction: Direction,
        token: int | None = None,
        *,
        whole: bool = True,
    ) -> Pass:
        """A pass begins now, by the ledger's clock: nothing was read for it yet."""
        with self._write() as write:
            known(write.connection, migration_id)
            require(write, token, migration_id)
            number = after_last(write.connection, passes.c.number, migration_id)
            begun = Pass(migration_id, number, direction, whole, write.now, None, None, None, {})
            values = {"number": number, "direction": direction.value, "whole": int(whole)}
            write.connection.execute(insert(passes).values(migration=migration_id, started_at=write.now, **values))
            audit.append(write, "pass begun", migration_id, values | {"whole": whole})
            return begun

    def end_pass(
        self,
        migration_id: str,
        number: int,
        differences: int,
        digest: str,
        token: int | None = None,
        *,
        note: JsonObject | None = None,
    ) -> Pass:
        """Everything was read: the number of `differences` to the known state, and the digest of what was read."""
        with self._write() as write:
            known(write.connection, migration_id)
            require(write, token, migration_id)
            mine = (passes.c.migration == migration_id) & (passes.c.number == number)
            if write.connection.execute(select(passes.c.number).where(mine)).one_or_none() is None:
                raise NotFound(f"migration {migration_id} has no pass {number}")
            values = {"differences": differences, "digest": digest, "note": note or {}}
            write.connection.execute(update(passes).where(mine).values(ended_at=write.now, **values))
            audit.append(write, "pass ended", migration_id, {"number": number, **values})
            row = write.connection.execute(select(passes).where(mine)).one()
            _forget_old(write, row)
            return _pass(row)

    def passes(self, migration_id: str, direction: Direction) -> list[Pass]:
        """The newest passes of a direction, ended or not, the oldest of them first."""
        query = select(passes).where(_series(migration_id, direction.value)).order_by(passes.c.number)
        with self._read() as connection:
            return [_pass(row) for row in connection.execute(query)]

    def last_pass(self, migration_id: str, direction: Direction) -> Pass | None:
        """The last whole pass that ended."""
        found = self.passes(migration_id, direction)
        return next((one for one in reversed(found) if one.whole and one.ended_at is not None), None)

    def lag_s(self, migration_id: str, direction: Direction) -> float | None:
        """How old the start of the last whole pass is, in seconds; None while there was none."""
        last = self.last_pass(migration_id, direction)
        with self._read() as connection:
            return None if last is None else (self._now(connection) - last.started_at).total_seconds()


def _series(migration_id: str, direction: str) -> ColumnElement[bool]:
    return (passes.c.migration == migration_id) & (passes.c.direction == direction)


def _forget_old(write: Write, row: Row[Any]) -> None:
    """Keep the last ones of a series, and the last whole one, however many came after it."""
    mine = _series(row.migration, row.direction) & (passes.c.number <= row.number)
    query = select(passes.c.number).where(mine).order_by(passes.c.number.desc())
    kept = set(write.connection.scalars(query.limit(KEPT)))
    whole = query.where(passes.c.whole == 1, passes.c.ended_at.is_not(None)).limit(1)
    kept |= set(write.connection.scalars(whole))
    write.connection.execute(delete(passes).where(mine, passes.c.number.not_in(kept)))


def _pass(row: Row[Any]) -> Pass:
    content = {"direction": Direction(row.direction), "whole": bool(row.whole), "note": row.note or {}}
    return Pass(**row._asdict() | content)
