"""Deltas: what a pass found changed, as parts of the archive. A recorded delta is the open intent of its writes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from vecferry import plain
from vecferry.errors import DataDiffer, NotFound, UnsafeRoute
from vecferry.failpoints import reached
from vecferry.ledger import audit
from vecferry.ledger.counting import after_last
from vecferry.ledger.database import Database, Write
from vecferry.ledger.known import known
from vecferry.ledger.leases import require
from vecferry.ledger.rows import Delta, Direction
from vecferry.ledger.schema import deltas
from vecferry.model import JsonObject, Receipt

__all__ = ["Deltas"]


class Deltas(Database):
    """A delta's life: reserved (a number alone), recorded (before its first write), loaded, closed by its read-back.

    Numbers go from 1 over both directions of a migration. With a `token`, a change is made only while it holds the
    migration (LeaseLost).
    """

    def reserve_delta(self, migration_id: str, direction: Direction, token: int | None = None) -> int:
        """The number for a delta whose file is about to be written.

        One that was reserved for this direction and not recorded (its run died) is given again.
        """
        with self._write() as write:
            known(write.connection, migration_id)
            require(write, token, migration_id)
            mine = (deltas.c.migration == migration_id) & (deltas.c.direction == direction.value)
            reserved = select(func.min(deltas.c.number)).where(mine, deltas.c.receipt.is_(None))
            number: int | None = write.connection.scalar(reserved)
            if number is None:
                number = after_last(write.connection, deltas.c.number, migration_id)
                values = {"number": number, "direction": direction.value}
                write.connection.execute(insert(deltas).values(migration=migration_id, **values))
                audit.append(write, "delta reserved", migration_id, values)
            return number

    def record_delta(
        self,
        migration_id: str,
        direction: Direction,
        number: int,
        receipt: Receipt,
        counts: JsonObject,
        token: int | None = None,
        *,
        note: JsonObject | None = None,
    ) -> None:
        """The delta's file is whole in the archive, and its writes may begin.

        Raises NotFound for a number that was not reserved for this direction, DataDiffer if another receipt was
        recorded for it, UnsafeRoute while a delta of the other direction is open.
        """
        with self._write() as write:
            row = _found(write, migration_id, number, token)
            _refuse_direction(row, direction)
            if row.receipt is not None:
                _refuse_other(row, "recorded", row.receipt, receipt)
                return
            _refuse_opposite(write.connection, row)
            values = {"receipt": plain.to_json(receipt), "counts": counts, "note": note or {}}
            _change(write, row, **values, recorded_at=write.now)
            told = {"direction": direction.value, "counts": counts, "note": note or {}}
            audit.append(write, "delta recorded", migration_id, {"receipt": plain.to_plain(receipt), **told})
        reached("ledger.delta_recorded")

    def record_delta_loaded(self, migration_id: str, number: int, token: int | None = None) -> None:
        """Every write of the delta was acknowledged. A second time changes nothing."""
        with self._write() as write:
            row = _recorded(write, migration_id, number, token)
            if row.loaded_at is None:
                _change(write, row, loaded_at=write.now)
                audit.append(write, "delta loaded", migration_id, {"number": number})
        reached("ledger.delta_loaded")

    def close_delta(self, migration_id: str, number: int, hashes: Receipt, token: int | None = None) -> None:
        """What the delta wrote was read back after the fence, and the hashes of that are in the archive.

        Raises UnsafeRoute if it is not loaded, DataDiffer if it was closed with other hashes.
        """
        with self._write() as write:
            row = _recorded(write, migration_id, number, token)
            if row.closing is not None:
                _refuse_other(row, "closed", row.hashes, hashes)
                return
            if row.loaded_at is None:
                raise UnsafeRoute(f"delta {number} of migration {migration_id} is not loaded: it cannot be closed")
            closing = after_last(write.connection, deltas.c.closing, migration_id)
            _change(write, row, hashes=plain.to_json(hashes), closing=closing, closed_at=write.now)
            told = {"number": number, "closing": closing, "hashes": plain.to_plain(hashes)}
            audit.append(write, "delta closed", migration_id, told)
        reached("ledger.delta_closed")

    def deltas(
        self,
        migration_id: str,
        direction: Direction | None = None,
        *,
        open_only: bool = False,
    ) -> list[Delta]:
        """The recorded deltas by number, or those of one direction, or those not closed yet."""
        query = select(deltas).where(deltas.c.migration == migration_id, deltas.c.receipt.is_not(None))
        if direction is not None:
            query = query.where(deltas.c.direction == direction.value)
        if open_only:
            query = query.where(deltas.c.closing.is_(None))
        with self._read() as connection:
            known(connection, migration_id)
            return [_delta(row) for row in connection.execute(query.order_by(deltas.c.number))]

    def forget_delta_load(self, migration_id: str, number: int, token: int | None = None) -> None:
        """Take back that a delta was loaded and closed, so that it is loaded again (the store was lost)."""
        with self._write() as write:
            row = _recorded(write, migration_id, number, token)
            _change(write, row, loaded_at=None, hashes=None, closing=None, closed_at=None)
            audit.append(write, "delta load forgotten", migration_id, {"number": number})

    def forget_delta(self, migration_id: str, number: int, token: int | None = None) -> None:
        """Take back an open delta whose file was damaged or lost; its number is given again.

        Some of it may have been written: only a validation of every record says what the store holds now. Raises
        UnsafeRoute for a closed one, since what is known of its records stands on it.
        """
        with self._write() as write:
            row = _recorded(write, migration_id, number, token)
            if row.closing is not None:
                raise UnsafeRoute(f"delta {number} of migration {migration_id} is closed: it cannot be forgotten")
            _change(write, row, receipt=None, counts=None, note=None, recorded_at=None, loaded_at=None)
            audit.append(write, "delta forgotten", migration_id, {"number": number})


def _found(write: Write, migration_id: str, number: int, token: int | None) -> Row[Any]:
    known(write.connection, migration_id)
    require(write, token, migration_id)
    mine = (deltas.c.migration == migration_id) & (deltas.c.number == number)
    row = write.connection.execute(select(deltas).where(mine)).one_or_none()
    if row is None:
        raise NotFound(f"migration {migration_id} has no delta {number}", advice=f"`vecferry status {migration_id}`")
    return row


def _recorded(write: Write, migration_id: str, number: int, token: int | None) -> Row[Any]:
    row = _found(write, migration_id, number, token)
    if row.receipt is None:
        raise NotFound(f"delta {number} of migration {migration_id} was reserved, but never recorded")
    return row


def _change(write: Write, row: Row[Any], **values: Any) -> None:
    mine = (deltas.c.migration == row.migration) & (deltas.c.number == row.number)
    write.connection.execute(update(deltas).where(mine).values(**values))


def _refuse_direction(row: Row[Any], direction: Direction) -> None:
    if row.direction != direction.value:
        raise NotFound(f"delta {row.number} of migration {row.migration} was reserved as {row.direction}")


def _refuse_other(row: Row[Any], what: str, stored: str, given: Receipt) -> None:
    if stored != plain.to_json(given):
        raise DataDiffer(
            f"delta {row.number} of migration {row.migration} was {what} before, with other content",
            advice="two runs wrote it, or the store changed in between: what was recorded first counts",
        )


def _refuse_opposite(connection: Connection, row: Row[Any]) -> None:
    """Two directions at once over the same records would each undo the other."""
    unlike = (deltas.c.migration == row.migration) & (deltas.c.direction != row.direction)
    query = select(deltas.c.number).where(unlike, deltas.c.receipt.is_not(None), deltas.c.closing.is_(None))
    other = connection.scalar(query.limit(1))
    if other is not None:
        raise UnsafeRoute(
            f"delta {other} of migration {row.migration} leads the other way and is open",
            advice=f"`vecferry resume {row.migration}` loads it and reads it back first",
        )


def _delta(row: Row[Any]) -> Delta:
    hashes = None if row.hashes is None else plain.from_json(Receipt, row.hashes)
    receipt = plain.from_json(Receipt, row.receipt)
    return Delta(**row._asdict() | {"direction": Direction(row.direction), "receipt": receipt, "hashes": hashes})
