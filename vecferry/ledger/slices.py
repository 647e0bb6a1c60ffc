"""How far each slice of a plan is. What is recorded here is never done again."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select, update

from vecferry import plain
from vecferry.errors import DataDiffer, NotFound
from vecferry.ledger import audit
from vecferry.ledger.database import Database, Write
from vecferry.ledger.known import known
from vecferry.ledger.leases import require
from vecferry.ledger.rows import SliceRow
from vecferry.ledger.schema import slices
from vecferry.model import JsonObject, Receipt, Slice

__all__ = ["Slices"]


class Slices(Database):
    """Progress of a plan's slices. With a `token`, a change is made only while it holds the migration (LeaseLost)."""

    def slices(self, migration_id: str) -> list[SliceRow]:
        """Every slice of the stored plan, by number; empty while there is no plan. Raises NotFound."""
        query = select(slices).where(slices.c.migration == migration_id).order_by(slices.c.number)
        with self._read() as connection:
            known(connection, migration_id)
            return [_slice_row(row) for row in connection.execute(query)]

    def slice(self, migration_id: str, number: int) -> SliceRow:
        """One slice. Raises NotFound."""
        with self._read() as connection:
            known(connection, migration_id)
            return _slice_row(_row(connection, migration_id, number))

    def record_copied(self, migration_id: str, number: int, receipt: Receipt, token: int | None = None) -> None:
        """The part is whole in the archive. Raises DataDiffer if another receipt was recorded for this slice."""
        with self._write() as write:
            row = _found(write, migration_id, number, token)
            if row.receipt is not None:
                _refuse_other(migration_id, row, receipt)
                return
            content = plain.to_json(receipt)
            _change(write, row, receipt=content, copied_at=write.now)
            audit.append(write, "slice copied", migration_id, plain.to_plain(receipt))

    def record_loaded(self, migration_id: str, number: int, token: int | None = None) -> None:
        """Every row of the slice was acknowledged by the target. A second time changes nothing."""
        with self._write() as write:
            row = _found(write, migration_id, number, token)
            if row.loaded_at is None:
                _change(write, row, loaded_at=write.now)
                audit.append(write, "slice loaded", migration_id, {"number": number})

    def record_verified(self, migration_id: str, number: int, result: JsonObject, token: int | None = None) -> None:
        """What the comparison of this slice with what was read back gave; a later one replaces it."""
        with self._write() as write:
            row = _found(write, migration_id, number, token)
            _change(write, row, verified=result, verified_at=write.now)
            audit.append(write, "slice verified", migration_id, {"number": number, "result": result})

    def forget_load(self, migration_id: str, number: int, token: int | None = None) -> None:
        """Take back that a slice was loaded, so that its part is loaded again (the target was lost)."""
        with self._write() as write:
            row = _found(write, migration_id, number, token)
            _change(write, row, loaded_at=None, verified=None, verified_at=None)
            audit.append(write, "load forgotten", migration_id, {"number": number})

    def forget_slice(self, migration_id: str, number: int, token: int | None = None) -> None:
        """Take back all that was recorded of a slice, so that it is done anew (its part was damaged or lost)."""
        with self._write() as write:
            row = _found(write, migration_id, number, token)
            _change(write, row, receipt=None, copied_at=None, loaded_at=None, verified=None, verified_at=None)
            audit.append(write, "slice forgotten", migration_id, {"number": number})


def _found(write: Write, migration_id: str, number: int, token: int | None) -> Row[Any]:
    """The slice's row, the lease checked. Raises NotFound, LeaseLost."""
    known(write.connection, migration_id)
    require(write, token, migration_id)
    return _row(write.connection, migration_id, number)


def _row(connection: Connection, migration_id: str, number: int) -> Row[Any]:
    row = connection.execute(select(slices).where(_is(migration_id, number))).one_or_none()
    if row is None:
        advice = "the number comes from the stored plan: `vecferry status ID`"
        raise NotFound(f"the plan of migration {migration_id} has no slice {number}", advice=advice)
    return row


def _change(write: Write, row: Row[Any], **values: Any) -> None:
    write.connection.execute(update(slices).where(_is(row.migration, row.number)).values(**values))


def _is(migration_id: str, number: int) -> Any:
    return (slices.c.migration == migration_id) & (slices.c.number == number)


def _refuse_other(migration_id: str, row: Row[Any], receipt: Receipt) -> None:
    if row.receipt != plain.to_json(receipt):
        raise DataDiffer(
            f"slice {row.number} of migration {migration_id} was copied before, with other content",
            advice="two runs copied it, or the source changed: the recorded part counts",
        )


def _slice_row(row: Row[Any]) -> SliceRow:
    receipt = None if row.receipt is None else plain.from_json(Receipt, row.receipt)
    return SliceRow(Slice(row.number, row.bounds, row.row_count), receipt, row.loaded_at, row.verified)
