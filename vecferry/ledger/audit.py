"""The audit trail: a chain of hashes, so that a changed, cut out or added entry is seen."""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

from sqlalchemy import Row, bindparam, insert, select, update

from vecferry import plain
from vecferry.errors import DataError
from vecferry.ledger.database import Database, Write
from vecferry.ledger.holder import Holder
from vecferry.ledger.rows import AuditEntry
from vecferry.ledger.schema import audit, audit_head, moment_text
from vecferry.model import JsonObject

__all__ = ["Appended", "Audit", "append"]

_ADVICE = "someone changed the ledger by hand, or it is damaged: compare it with a backup before you switch anything"


_HEAD = select(audit_head.c.number, audit_head.c.hash)
_ADD = insert(audit)
_MOVE_HEAD = update(audit_head).values(number=bindparam("new_number"), hash=bindparam("new_hash"))


class Appended(NamedTuple):
    """Where an entry is in the chain."""

    number: int
    hash: str


def append(write: Write, event: str, migration_id: str | None, detail: JsonObject) -> Appended:
    """Add an entry within a transaction."""
    number, previous = write.connection.execute(_HEAD).one()
    content = {
        "number": number + 1,
        "at": write.now,
        "actor": Holder.here().actor,
        "migration": migration_id,
        "event": event,
        "detail": detail,
    }
    digest = _hash(previous, content)
    write.connection.execute(_ADD, {"previous": previous, "hash": digest, **content})
    write.connection.execute(_MOVE_HEAD, {"new_number": number + 1, "new_hash": digest})
    return Appended(int(number) + 1, digest)


def _hash(previous: str, content: dict[str, Any]) -> str:
    """SHA-256 over the previous hash and the content as JSON with sorted keys, a line feed between."""
    line = plain.to_json(content | {"at": moment_text(content["at"])})
    return hashlib.sha256(f"{previous}\n{line}".encode()).hexdigest()


class Audit(Database):
    """Reading the trail. Writing it is part of each change."""

    def audit(self, migration_id: str | None = None) -> list[AuditEntry]:
        """What happened to one migration (or to all), in order."""
        query = select(audit).order_by(audit.c.number)
        if migration_id is not None:
            query = query.where(audit.c.migration == migration_id)
        with self._read() as connection:
            return [_entry(row) for row in connection.execute(query)]

    def verify_audit(self) -> int:
        """Check the whole chain; the number of entries. Raises DataError naming the first that does not fit."""
        number, previous = 0, ""
        with self._read() as connection:
            for row in connection.execute(select(audit).order_by(audit.c.number)):
                number += 1
                if not _follows(_entry(row), number, previous):
                    raise DataError(f"the audit trail of {self.url} is broken at entry {number}", advice=_ADVICE)
                previous = row.hash
            head = connection.execute(select(audit_head.c.number, audit_head.c.hash)).one()
        if (head.number, head.hash) != (number, previous):
            raise DataError(
                f"the audit trail of {self.url} ends at entry {number}, but {head.number} were written", advice=_ADVICE
            )
        return number


def _follows(entry: AuditEntry, number: int, previous: str) -> bool:
    content = {name: getattr(entry, name) for name in ("number", "at", "actor", "migration", "event", "detail")}
    return entry.number == number and entry.previous == previous and entry.hash == _hash(previous, content)


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(**row._asdict())
