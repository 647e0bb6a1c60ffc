"""The ledger's tables as queries see them. Their DDL, version by version, is in `upgrade`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import BigInteger, Column, Dialect, Integer, MetaData, Table, Text
from sqlalchemy.types import TypeDecorator

from vecferry import plain
from vecferry.model import JsonObject

__all__ = [
    "METADATA",
    "Json",
    "Moment",
    "approvals",
    "audit",
    "audit_head",
    "counters",
    "deltas",
    "facts",
    "groups",
    "hooks",
    "leases",
    "migrations",
    "moment_text",
    "outbox",
    "passes",
    "pauses",
    "routes",
    "schema_version",
    "slices",
    "workspace_routes",
    "workspaces",
]


def moment_text(moment: datetime) -> str:
    """UTC with microseconds, always as wide, so that text sorts as time does."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


class Moment(TypeDecorator[datetime]):
    """A time with its zone, as text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """To text."""
        return None if value is None else moment_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """From text."""
        return None if value is None else datetime.fromisoformat(value)


class Json(TypeDecorator[JsonObject]):
    """A JSON object as text with sorted keys: equal objects are equal text."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """To text. Raises as `plain.to_json` does."""
        return None if value is None else plain.to_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """From text."""
        return None if value is None else json.loads(value)


METADATA = MetaData()


def _table(name: str, *columns: Column[Any]) -> Table:
    """The prefix keeps the tables apart from an application's own in one PostgreSQL database."""
    return Table(f"vecferry_{name}", METADATA, *columns)


schema_version = _table(
    "schema_version",
    Column("version", Integer, primary_key=True),
    Column("applied_at", Moment, nullable=False),
)

migrations = _table(
    "migrations",
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("source_url", Text, nullable=False),
    Column("target_url", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("archive", Text, nullable=False),
    Column("config", Json, nullable=False),
    Column("row_limit", BigInteger),
    Column("state", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("plan", Json),
    Column("planned_at", Moment),
    Column("group_id", Text),
    Column("member", Integer),
    Column("parent", Text),
    Column("workspace", Text),
)

groups = _table(
    "groups",
    Column("id", Text, primary_key=True),
    Column("identity", Text, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("source_url", Text, nullable=False),
    Column("target_url", Text, nullable=False),
    Column("request", Json, nullable=False),
    Column("created_at", Moment, nullable=False),
)

slices = _table(
    "slices",
    Column("migration", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("bounds", Json, nullable=False),
    Column("row_count", BigInteger),
    Column("receipt", Text),
    Column("copied_at", Moment),
    Column("loaded_at", Moment),
    Column("verified", Json),
    Column("verified_at", Moment),
)

facts = _table(
    "facts",
    Column("migration", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("value", Json, nullable=False),
    Column("set_at", Moment, nullable=False),
)

routes = _table(
    "routes",
    Column("name", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("previous_url", Text),
    Column("migration", Text, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("alias", Json),
    Column("alias_confirmed_at", Moment),
    Column("reads_url", Text),
)

workspace_routes = _table(
    "workspace_routes",
    Column("route", Text, primary_key=True),
    Column("workspace", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("previous_url", Text),
    Column("migration", Text, nullable=False),
    Column("changed_at", Moment, nullable=False),
    Column("reads_url", Text),
)

# `workspace` is '' for the whole collection. A released pause stays, for whoever asks what became of its token.
pauses = _table(
    "pauses",
    Column("route", Text, primary_key=True),
    Column("workspace", Text, primary_key=True),
    Column("token", BigInteger, nullable=False),
    Column("migration", Text, nullable=False),
    Column("approval", Integer),
    Column("returns_to", Text),
    Column("paused_at", Moment, nullable=False),
    Column("paused_until", Moment, nullable=False),
    Column("released_at", Moment),
    Column("released_by", Text),
)

leases = _table(
    "leases",
    Column("resource", Text, primary_key=True),
    Column("token", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("acquired_at", Moment, nullable=False),  # or renewed, so that the end tells the time to live
    Column("expires_at", Moment, nullable=False),
)

counters = _table(
    "counters",
    Column("name", Text, primary_key=True),
    Column("value", BigInteger, nullable=False),
)

approvals = _table(
    "approvals",
    Column("migration", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("form", Json, nullable=False),
    Column("asked_at", Moment, nullable=False),
    Column("answer", Text),
    Column("answered_by", Text),
    Column("note", Text),
    Column("answered_at", Moment),
    Column("used_at", Moment),
    Column("kind", Text, nullable=False),
    Column("largest_delta_rows", BigInteger),
    Column("expires_at", Moment),
)

workspaces = _table(
    "workspaces",
    Column("migration", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("key", Text, nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("position", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("hold", Text),
    Column("note", Text, nullable=False),
    Column("approval", Integer),
    Column("changed_at", Moment, nullable=False),
    Column("condition", Json),
)

# A row without a receipt is a number that was reserved for a delta.
deltas = _table(
    "deltas",
    Column("migration", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("direction", Text, nullable=False),
    Column("receipt", Text),
    Column("counts", Json),
    Column("note", Json),
    Column("recorded_at", Moment),
    Column("loaded_at", Moment),
    Column("hashes", Text),
    Column("closing", Integer),
    Column("closed_at", Moment),
)

passes = _table(
    "passes",
    Column("migration", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("direction", Text, nullable=False),
    Column("whole", Integer, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("differences", BigInteger),
    Column("digest", Text),
    Column("note", Json),
)

hooks = _table(
    "hooks",
    Column("migration", Text, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("action", Text, nullable=False),
    Column("workspace", Text),
    Column("epoch", BigInteger, nullable=False),
    Column("request", Json, nullable=False),
    Column("intended_at", Moment, nullable=False),
    Column("outcome", Json),
    Column("ended_at", Moment),
)

outbox = _table(
    "outbox",
    Column("number", BigInteger, primary_key=True),
    Column("id", Text, nullable=False),
    Column("event", Text, nullable=False),
    Column("migration", Text),
    Column("payload", Json, nullable=False),
    Column("at", Moment, nullable=False),
    Column("sent_at", Moment),
)

audit = _table(
    "audit",
    Column("number", BigInteger, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("migration", Text),
    Column("event", Text, nullable=False),
    Column("detail", Json, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

audit_head = _table(
    "audit_head",
    Column("number", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)
