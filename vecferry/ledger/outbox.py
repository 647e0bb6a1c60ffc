"""The outbox: every step of a state is told to the outside at least once, because it is stored with the step."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

from sqlalchemy import Row, insert, select, update

from vecferry.ledger import audit
from vecferry.ledger.database import Database, Write
from vecferry.ledger.rows import Event
from vecferry.ledger.schema import moment_text, outbox
from vecferry.ledger.states import State
from vecferry.model import JsonObject

__all__ = ["Outbox", "event_name", "tell"]

_NAMESPACE = uuid.UUID("6f0a1d1e-6d0b-5a53-9d0c-3f4f4f1c7a52")


def event_name(subject: str, state: State) -> str:
    """Like `vecferry.migration.rolled-back`; the subject is `migration` or `workspace`."""
    return f"vecferry.{subject}.{state.value.lower().replace('_', '-')}"


def tell(write: Write, name: str, migration_id: str, event: str, detail: JsonObject) -> None:
    """Add one entry to the audit trail and the event `name` to the outbox, within a transaction.

    The event's id is made from the entry's hash, so it names this step in this ledger and no other.
    """
    entry = audit.append(write, event, migration_id, detail)
    rest = {key: value for key, value in detail.items() if key not in ("from", "to")}
    step = {"from": detail.get("from"), "to": detail.get("to"), "detail": rest}
    payload = {"migration": migration_id, "event": event, "at": moment_text(write.now), **step}
    values = {"number": entry.number, "id": str(uuid.uuid5(_NAMESPACE, entry.hash)), "event": name, "payload": payload}
    write.connection.execute(insert(outbox).values(migration=migration_id, at=write.now, **values))


class Outbox(Database):
    """Sending what is in the outbox. Whoever sends may die after it: then an event goes out twice, with one id."""

    def unsent_events(self, limit: int = 100) -> list[Event]:
        """Events that were not marked as sent, the oldest first."""
        query = select(outbox).where(outbox.c.sent_at.is_(None)).order_by(outbox.c.number).limit(limit)
        with self._read() as connection:
            return [_event(row) for row in connection.execute(query)]

    def mark_sent(self, ids: Collection[str]) -> None:
        """These were sent. A second time changes nothing."""
        with self._write() as write:
            unsent = outbox.c.id.in_(list(ids)) & outbox.c.sent_at.is_(None)
            write.connection.execute(update(outbox).where(unsent).values(sent_at=write.now))


def _event(row: Row[Any]) -> Event:
    return Event(**row._asdict())
