"""Approvals: a person's answer to one form, bound to what it showed, and used once."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from vecferry import plain
from vecferry.errors import ConfigError, NotFound, UnsafeRoute
from vecferry.ledger import audit
from vecferry.ledger.database import Database, Write
from vecferry.ledger.known import known
from vecferry.ledger.leases import require
from vecferry.ledger.rows import Answer, Approval, Kind
from vecferry.ledger.schema import approvals, facts, routes
from vecferry.ledger.states import State
from vecferry.model import JsonObject

__all__ = ["Approvals", "kind_for", "use"]

_VERDICT = "verdict"

_ROLLBACK = frozenset({State.ROLLBACK_FROZEN, State.ROLLBACK_SWITCHING, State.ROLLED_BACK, State.ROLLED_BACK_UNMERGED})


def kind_for(state_to: State | None, workspace: str | None) -> Kind:
    """The kind of yes that a step to this state needs."""
    if state_to in _ROLLBACK:
        return Kind.ROLLBACK
    return Kind.SWITCH if workspace is None else Kind.WORKSPACES


class Approvals(Database):
    """Asking, answering and using approvals. Only the newest form of a migration counts."""

    def ask_approval(
        self,
        migration_id: str,
        form: JsonObject,
        token: int | None = None,
        *,
        kind: Kind = Kind.SWITCH,
        largest_delta_rows: int | None = None,
        valid_for_s: float | None = None,
    ) -> int:
        """Put a form before a person; its number. It is bound to the route's epoch and the fact `verdict` of now.

        The yes is worth nothing after `valid_for_s` seconds, nor for a last delta of more than `largest_delta_rows`.

        The same form again has the same number while it waits for its answer, or was approved and not
        used: a run that starts anew finds what was answered meanwhile. After a rejection, a use or its end, and
        for any other form, limit, epoch or verdict, the number is a new one, so that no old yes is taken for it.
        """
        with self._write() as write:
            known(write.connection, migration_id)
            require(write, token, migration_id)
            epoch, verdict = _subject(write.connection, migration_id)
            bound = {"epoch": epoch, "verdict": verdict, "kind": kind.value, "largest_delta_rows": largest_delta_rows}
            last = _last(write.connection, migration_id)
            if last is not None and _same(last, form, bound) and _open(last, write):
                return int(last.number)
            number = 1 if last is None else int(last.number) + 1
            ends_at = None if valid_for_s is None else write.now + timedelta(seconds=valid_for_s)
            content = {"migration": migration_id, "number": number, "form": form, "asked_at": write.now, **bound}
            write.connection.execute(insert(approvals).values(**content, expires_at=ends_at))
            told = {"form": form, "number": number, **bound, "valid_for_s": valid_for_s}
            audit.append(write, "approval asked", migration_id, told)
            return number

    def answer_approval(self, migration_id: str, number: int, decision: Answer, by: str, note: str = "") -> Approval:
        """Record the decision.

        Raises ConfigError if the form was replaced by a newer one or has another answer, UnsafeRoute for a yes that
        comes after the form's end.
        """
        with self._write() as write:
            row = _newest(write.connection, migration_id, number)
            if row.answer not in (None, decision.value):
                advice = f"`vecferry resume {migration_id}` asks again"
                raise ConfigError(f"approval {number} of {migration_id} was {row.answer} already", advice=advice)
            if row.answer is None:
                if decision is Answer.APPROVED and _ended(row, write):
                    raise _refused(row, f"ended at {row.expires_at:%Y-%m-%d %H:%M:%S} UTC")
                given = {"answer": decision.value, "answered_by": by, "note": note}
                _change(write, row, answered_at=write.now, **given)
                audit.append(write, f"approval {decision}", migration_id, {"number": number, **given})
            return _approval(_newest(write.connection, migration_id, number))

    def approval(self, migration_id: str, number: int | None = None) -> Approval | None:
        """One approval, by default the newest of this migration."""
        with self._read() as connection:
            row = _last(connection, migration_id) if number is None else _row(connection, migration_id, number)
            return None if row is None else _approval(row)

    def approvals(self, migration_id: str) -> list[Approval]:
        """Every approval of this migration, by number."""
        mine = select(approvals).where(approvals.c.migration == migration_id)
        with self._read() as connection:
            return [_approval(row) for row in connection.execute(mine.order_by(approvals.c.number))]

    def use_approval(
        self,
        migration_id: str,
        number: int,
        token: int | None = None,
        *,
        kind: Kind = Kind.SWITCH,
    ) -> Approval:
        """Take the yes for what follows; `pause_writes` and `switch_route` do it in their own transactions.

        Raises UnsafeRoute unless it is an unused yes of this kind to the route's epoch and the verdict of now.
        """
        with self._write() as write:
            require(write, token, migration_id)
            use(write, migration_id, number, kind)
            return _approval(_newest(write.connection, migration_id, number))


def use(
    write: Write,
    migration_id: str,
    number: int,
    kind: Kind,
    *,
    delta_rows: int | None = None,
    used_before: bool = False,
    last: bool = False,
) -> None:
    """Use an approval within a transaction. Raises UnsafeRoute, NotFound, ConfigError.

    `used_before`: the pause that this step is taken under used it. `last`: no delta can follow, so that the size of the
    last one is known and held against what was allowed.
    """
    row = _newest(write.connection, migration_id, number)
    reason = _reason_against(row, kind) or _too_large(row, delta_rows, last)
    reason = reason or _void(row, *_subject(write.connection, migration_id))
    if not used_before:
        reason = reason or _spent(row, write)
    if reason:
        raise _refused(row, reason)
    if not used_before:
        _change(write, row, used_at=write.now)
        told = {"number": number, "epoch": row.epoch, "verdict": row.verdict}
        audit.append(write, "approval used", migration_id, told)


def _refused(row: Row[Any], reason: str) -> UnsafeRoute:
    return UnsafeRoute(
        f"approval {row.number} of migration {row.migration} {reason}",
        advice=f"nothing was switched; `vecferry resume {row.migration}` asks again",
    )


def _subject(connection: Connection, migration_id: str) -> tuple[int, str]:
    """What a yes is bound to: the route's epoch (0 while it is not registered) and the digest of the verdict."""
    name = known(connection, migration_id).route
    epoch = connection.scalar(select(routes.c.epoch).where(routes.c.name == name)) or 0
    verdict = _fact(connection, migration_id, _VERDICT)
    return int(epoch), hashlib.sha256(plain.to_json(verdict).encode()).hexdigest()


def _fact(connection: Connection, migration_id: str, name: str) -> JsonObject | None:
    mine = (facts.c.migration == migration_id) & (facts.c.name == name)
    value: JsonObject | None = connection.scalar(select(facts.c.value).where(mine))
    return value


def _reason_against(row: Row[Any], kind: Kind) -> str:
    """Why it is no yes to this at all; empty if it is."""
    if row.answer != Answer.APPROVED.value:
        return f"was {row.answer}" if row.answer else "was not answered"
    return "" if row.kind == kind.value else f"is of the kind {row.kind}, not {kind}"


def _too_large(row: Row[Any], delta_rows: int | None, last: bool) -> str:
    """Why the last delta is not allowed; empty if it is. One whose size nobody tells is not."""
    allowed = row.largest_delta_rows
    if not last or allowed is None or (delta_rows is not None and delta_rows <= allowed):
        return ""
    return f"allows a last delta of {allowed} rows, not {'an unknown number' if delta_rows is None else delta_rows}"


def _void(row: Row[Any], epoch: int, verdict: str) -> str:
    if row.epoch != epoch:
        return f"was given for epoch {row.epoch} of the route, which is at {epoch} now"
    return "" if row.verdict == verdict else "was given for another verdict"


def _spent(row: Row[Any], write: Write) -> str:
    if row.used_at is not None:
        return f"was used at {row.used_at:%Y-%m-%d %H:%M:%S} UTC"
    return f"ended at {row.expires_at:%Y-%m-%d %H:%M:%S} UTC" if _ended(row, write) else ""


def _same(row: Row[Any], form: JsonObject, bound: JsonObject) -> bool:
    found = {key: getattr(row, key) for key in bound}
    return plain.to_json([row.form, found]) == plain.to_json([form, bound])


def _open(row: Row[Any], write: Write) -> bool:
    waits = row.answer is None or (row.answer == Answer.APPROVED.value and row.used_at is None)
    return waits and not _ended(row, write)


def _ended(row: Row[Any], write: Write) -> bool:
    return row.expires_at is not None and bool(row.expires_at <= write.now)


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
    return Approval(**row._asdict() | {"answer": answer, "kind": Kind(row.kind)})
