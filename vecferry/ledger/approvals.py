"""Approvals: a person's answer to one form, bound to what it showed, and used once."""

from __future__ import annotations

import hashlib
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from vecferry import plain
from vecferry.errors import ConfigError, NotFound, UnsafeRoute
from vecferry.ledger import audit
from vecferry.ledger.database import Database, Write
from vecferry.ledger.leases import require
from vecferry.ledger.migrations import known
from vecferry.ledger.rows import Answer, Approval
from vecferry.ledger.schema import approvals, facts, routes
from vecferry.model import JsonObject

__all__ = ["Approvals", "use"]


class Approvals(Database):
    """Asking, answering and using approvals. Only the newest form of a migration counts."""

    def ask_approval(self, migration_id: str, form: JsonObject, token: int | None = None) -> int:
        """Put a form before a person; its number. It is bound to the route's epoch and the fact `verdict` of now.

        The same form again has the same number while it waits for its answer, or was approved and not
        used: a run that starts anew finds what was answered meanwhile. After a rejection or a use, and
        for any other form, epoch or verdict, the number is a new one, so that no old yes is taken for it.
        """
        with self._write() as write:
            known(write.connection, migration_id)
            require(write, token, migration_id)
            last = _last(write.connection, migration_id)
            epoch, verdict = _subject(write.connection, migration_id)
            if last is not None and _same(last, form, epoch, verdict) and _open(last):
                return int(last.number)
            number = 1 if last is None else int(last.number) + 1
            bound = {"number": number, "epoch": epoch, "verdict": verdict}
            content = {"migration": migration_id, "form": form, "asked_at": write.now, **bound}
            write.connection.execute(insert(approvals).values(**content))
            audit.append(write, "approval asked", migration_id, {"form": form, **bound})
            return number

    def answer_approval(self, migration_id: str, number: int, decision: Answer, by: str, note: str = "") -> Approval:
        """Record the decision. Raises ConfigError if the form was replaced by a newer one or has another answer."""
        with self._write() as write:
            row = _newest(write.connection, migration_id, number)
            if row.answer not in (None, decision.value):
                advice = f"`vecferry resume {migration_id}` asks again"
                raise ConfigError(f"approval {number} of {migration_id} was {row.answer} already", advice=advice)
            if row.answer is None:
                given = {"answer": decision.value, "answered_by": by, "note": note}
                _change(write, row, answered_at=write.now, **given)
                audit.append(write, f"approval {decision}", migration_id, {"number": number, **given})
            return _approval(_newest(write.connection, migration_id, number))

    def approval(self, migration_id: str, number: int | None = None) -> Approval | None:
        """One approval, by default the newest of this migration."""
        with self._read() as connection:
            row = _last(connection, migration_id) if number is None else _row(connection, migration_id, number)
            return None if row is None else _approval(row)

    def use_approval(self, migration_id: str, number: int, token: int | None = None) -> Approval:
        """Take the yes for what follows; `switch_route` does it in its own transaction.

        Raises UnsafeRoute unless it is an unused yes to the route's epoch and the verdict of now.
        """
        with self._write() as write:
            require(write, token, migration_id)
            use(write, migration_id, number)
            return _approval(_newest(write.connection, migration_id, number))


def use(write: Write, migration_id: str, number: int) -> None:
    """Use an approval within a transaction. Raises UnsafeRoute, NotFound, ConfigError."""
    row = _newest(write.connection, migration_id, number)
    reason = _reason_against(row, *_subject(write.connection, migration_id))
    if reason:
        raise UnsafeRoute(
            f"approval {number} of migration {migration_id} {reason}",
            advice=f"nothing was switched; `vecferry resume {migration_id}` asks again",
        )
    _change(write, row, used_at=write.now)
    detail = {"number": number, "epoch": row.epoch, "verdict": row.verdict}
    audit.append(write, "approval used", migration_id, detail)


def _subject(connection: Connection, migration_id: str) -> tuple[int, str]:
    """What a yes is bound to: the route's epoch (0 while it is not registered) and the verdict's digest."""
    name = known(connection, migration_id).route
    epoch = connection.scalar(select(routes.c.epoch).where(routes.c.name == name)) or 0
    mine = (facts.c.migration == migration_id) & (facts.c.name == "verdict")
    verdict = connection.scalar(select(facts.c.value).where(mine))
    return int(epoch), hashlib.sha256(plain.to_json(verdict).encode()).hexdigest()


def _reason_against(row: Row[Any], epoch: int, verdict: str) -> str:
    if row.used_at is not None:
        return f"was used at {row.used_at:%Y-%m-%d %H:%M:%S} UTC"
    if row.answer != Answer.APPROVED.value:
        return f"was {row.answer}" if row.answer else "was not answered"
    if row.epoch != epoch:
        return f"was given for epoch {row.epoch} of the route, which is at {epoch} now"
    return "" if row.verdict == verdict else "was given for another verdict"


def _same(row: Row[Any], form: JsonObject, epoch: int, verdict: str) -> bool:
    return bool(row.epoch == epoch and row.verdict == verdict and plain.to_json(row.form) == plain.to_json(form))


def _open(row: Row[Any]) -> bool:
    return row.answer is None or (row.answer == Answer.APPROVED.value and row.used_at is None)


def _last(connection: Connection, migration_id: str) -> Row[Any] | None:
    mine = select(approvals).where(approvals.c.migration == migration_id)
    return connection.execute(mine.order_by(approvals.c.number.desc()).limit(1)).one_or_none()


def _newest(connection: Connection, migration_id: str, number: int) -> Row[Any]:
    """The row of an approval that no newer one replaces. Raises NotFound, ConfigError."""
    row, last = _row(connection, migration_id, number), _last(connection, migration_id)
    if row is None or last is None:
        advice = f"`vecferry status {migration_id}` shows what waits for an answer"
        raise NotFound(f"migration {migration_id} has no approval {number}", advice=advice)
    if last.number != number:
        raise ConfigError(
            f"approval {number} of migration {migration_id} was replaced by {last.number}",
            advice=f"look at the newest form: `vecferry approve {migration_id}`",
        )
    return row


def _row(connection: Connection, migration_id: str, number: int) -> Row[Any] | None:
    mine = (approvals.c.migration == migration_id) & (approvals.c.number == number)
    return connection.execute(select(approvals).where(mine)).one_or_none()


def _change(write: Write, row: Row[Any], **values: Any) -> None:
    mine = (approvals.c.migration == row.migration) & (approvals.c.number == row.number)
    write.connection.execute(update(approvals).where(mine).values(**values))


def _approval(row: Row[Any]) -> Approval:
    answer = None if row.answer is None else Answer(row.answer)
    return Approval(**row._asdict() | {"answer": answer})
