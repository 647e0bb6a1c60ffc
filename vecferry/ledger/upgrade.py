"""The tables' DDL as ordered steps: an empty database takes them all, an older one those that it lacks.

A step, once released, is never edited. TEXT, INTEGER and BIGINT mean the same in SQLite and PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, insert, inspect, select, text

from vecferry.errors import ConfigError
from vecferry.ledger.schema import schema_version

__all__ = ["STEPS", "Step", "found_version", "upgrade"]


@dataclass(frozen=True, slots=True)
class Step:
    """What leads from the version before to `version`."""

    version: int
    statements: tuple[str, ...]


def _made_anew(table: str, columns: str, kept: str) -> tuple[str, ...]:
    """A table with fewer columns. SQLite before 3.35, which systems with a Python of today still have, drops none."""
    return (
        f"CREATE TABLE {table}_anew ({columns})",
        f"INSERT INTO {table}_anew ({kept}) SELECT {kept} FROM {table}",
        f"DROP TABLE {table}",
        f"ALTER TABLE {table}_anew RENAME TO {table}",
    )


STEPS = (
    Step(
        1,
        (
            """CREATE TABLE vecferry_migrations (
                id TEXT PRIMARY KEY, name TEXT NOT NULL, strategy TEXT NOT NULL,
                source_url TEXT NOT NULL, target_url TEXT NOT NULL, route TEXT NOT NULL,
                archive TEXT NOT NULL, config TEXT NOT NULL, row_limit BIGINT,
                state TEXT NOT NULL, created_at TEXT NOT NULL, changed_at TEXT NOT NULL,
                plan TEXT, planned_at TEXT)""",
            """CREATE TABLE vecferry_slices (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                bounds TEXT NOT NULL, row_count BIGINT, receipt TEXT, copied_at TEXT, loaded_at TEXT,
                verified TEXT, verified_at TEXT,
                PRIMARY KEY (migration, number))""",
            """CREATE TABLE vecferry_facts (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), name TEXT NOT NULL,
                value TEXT NOT NULL, set_at TEXT NOT NULL,
                PRIMARY KEY (migration, name))""",
            """CREATE TABLE vecferry_routes (
                name TEXT PRIMARY KEY, url TEXT NOT NULL, epoch BIGINT NOT NULL, previous_url TEXT,
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), changed_at TEXT NOT NULL,
                alias TEXT, alias_confirmed_at TEXT)""",
            """CREATE TABLE vecferry_leases (
                resource TEXT PRIMARY KEY, token BIGINT NOT NULL, holder TEXT NOT NULL,
                acquired_at TEXT NOT NULL, expires_at TEXT NOT NULL)""",
            "CREATE TABLE vecferry_counters (name TEXT PRIMARY KEY, value BIGINT NOT NULL)",
            "INSERT INTO vecferry_counters (name, value) VALUES ('lease token', 0)",
            """CREATE TABLE vecferry_approvals (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                epoch BIGINT NOT NULL, verdict TEXT NOT NULL, form TEXT NOT NULL, asked_at TEXT NOT NULL,
                answer TEXT, answered_by TEXT, note TEXT, answered_at TEXT, used_at TEXT,
                PRIMARY KEY (migration, number))""",
            """CREATE TABLE vecferry_audit (
                number BIGINT PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, migration TEXT,
                event TEXT NOT NULL, detail TEXT NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL)""",
            "CREATE INDEX vecferry_audit_migration ON vecferry_audit (migration, number)",
            "CREATE TABLE vecferry_audit_head (number BIGINT NOT NULL, hash TEXT NOT NULL)",
            "INSERT INTO vecferry_audit_head (number, hash) VALUES (0, '')",
        ),
    ),
    Step(
        2,
        (
            """CREATE TABLE vecferry_groups (
                id TEXT PRIMARY KEY, identity TEXT NOT NULL, strategy TEXT NOT NULL,
                source_url TEXT NOT NULL, target_url TEXT NOT NULL, request TEXT NOT NULL, created_at TEXT NOT NULL)""",
            "ALTER TABLE vecferry_migrations ADD COLUMN group_id TEXT",
            "ALTER TABLE vecferry_migrations ADD COLUMN member INTEGER",
            "CREATE INDEX vecferry_migrations_group ON vecferry_migrations (group_id, member)",
        ),
    ),
    Step(
        3,
        (
            "ALTER TABLE vecferry_routes ADD COLUMN reads_url TEXT",
            "ALTER TABLE vecferry_approvals ADD COLUMN kind TEXT NOT NULL DEFAULT 'switch'",
            "ALTER TABLE vecferry_approvals ADD COLUMN workspaces TEXT",
            "ALTER TABLE vecferry_approvals ADD COLUMN largest_delta_rows BIGINT",
            "ALTER TABLE vecferry_approvals ADD COLUMN expires_at TEXT",
            """CREATE TABLE vecferry_workspace_routes (
                route TEXT NOT NULL REFERENCES vecferry_routes (name), workspace TEXT NOT NULL,
                url TEXT NOT NULL, epoch BIGINT NOT NULL, previous_url TEXT,
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), changed_at TEXT NOT NULL,
                reads_url TEXT,
                PRIMARY KEY (route, workspace))""",
            """CREATE TABLE vecferry_pauses (
                route TEXT NOT NULL REFERENCES vecferry_routes (name), workspace TEXT NOT NULL,
                token BIGINT NOT NULL, migration TEXT NOT NULL REFERENCES vecferry_migrations (id),
                approval INTEGER, returns_to TEXT, paused_at TEXT NOT NULL, paused_until TEXT NOT NULL,
                released_at TEXT, released_by TEXT,
                PRIMARY KEY (route, workspace))""",
            "INSERT INTO vecferry_counters (name, value) VALUES ('pause token', 0)",
            """CREATE TABLE vecferry_workspaces (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                key TEXT NOT NULL, row_count BIGINT NOT NULL, position INTEGER NOT NULL, state TEXT NOT NULL,
                attempts INTEGER NOT NULL, hold TEXT, note TEXT NOT NULL, approval INTEGER, changed_at TEXT NOT NULL,
                PRIMARY KEY (migration, number))""",
            "CREATE UNIQUE INDEX vecferry_workspaces_key ON vecferry_workspaces (migration, key)",
            """CREATE TABLE vecferry_deltas (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                direction TEXT NOT NULL, workspace TEXT, receipt TEXT, counts TEXT, note TEXT, recorded_at TEXT,
                loaded_at TEXT, hashes TEXT, closing INTEGER, closed_at TEXT,
                PRIMARY KEY (migration, number))""",
            """CREATE TABLE vecferry_passes (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                direction TEXT NOT NULL, workspace TEXT, whole INTEGER NOT NULL, started_at TEXT NOT NULL,
                ended_at TEXT, differences BIGINT, digest TEXT, note TEXT,
                PRIMARY KEY (migration, number))""",
            """CREATE TABLE vecferry_hooks (
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                action TEXT NOT NULL, workspace TEXT, epoch BIGINT NOT NULL, request TEXT NOT NULL,
                intended_at TEXT NOT NULL, outcome TEXT, ended_at TEXT,
                PRIMARY KEY (migration, number))""",
            """CREATE TABLE vecferry_outbox (
                number BIGINT PRIMARY KEY, id TEXT NOT NULL, event TEXT NOT NULL, migration TEXT,
                payload TEXT NOT NULL, at TEXT NOT NULL, sent_at TEXT)""",
            "CREATE INDEX vecferry_outbox_unsent ON vecferry_outbox (number) WHERE sent_at IS NULL",
        ),
    ),
    Step(
        4,
        (
            "ALTER TABLE vecferry_migrations ADD COLUMN parent TEXT",
            "ALTER TABLE vecferry_migrations ADD COLUMN workspace TEXT",
            "CREATE INDEX vecferry_migrations_parent ON vecferry_migrations (parent)",
            "ALTER TABLE vecferry_workspaces ADD COLUMN condition TEXT",
        ),
    ),
    # A workspace is a migration of its own: its deltas, passes and approvals need not name it.
    Step(
        5,
        (
            *_made_anew(
                "vecferry_approvals",
                """
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                epoch BIGINT NOT NULL, verdict TEXT NOT NULL, form TEXT NOT NULL, asked_at TEXT NOT NULL,
                answer TEXT, answered_by TEXT, note TEXT, answered_at TEXT, used_at TEXT,
                kind TEXT NOT NULL, largest_delta_rows BIGINT, expires_at TEXT,
                PRIMARY KEY (migration, number)""",
                """migration, number, epoch, verdict, form, asked_at, answer, answered_by, note, answered_at, used_at,
                kind, largest_delta_rows, expires_at""",
            ),
            *_made_anew(
                "vecferry_deltas",
                """
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                direction TEXT NOT NULL, receipt TEXT, counts TEXT, note TEXT, recorded_at TEXT,
                loaded_at TEXT, hashes TEXT, closing INTEGER, closed_at TEXT,
                PRIMARY KEY (migration, number)""",
                """migration, number, direction, receipt, counts, note, recorded_at, loaded_at, hashes, closing,
                closed_at""",
            ),
            *_made_anew(
                "vecferry_passes",
                """
                migration TEXT NOT NULL REFERENCES vecferry_migrations (id), number INTEGER NOT NULL,
                direction TEXT NOT NULL, whole INTEGER NOT NULL, started_at TEXT NOT NULL,
                ended_at TEXT, differences BIGINT, digest TEXT, note TEXT,
                PRIMARY KEY (migration, number)""",
                "migration, number, direction, whole, started_at, ended_at, differences, digest, note",
            ),
        ),
    ),
)


def found_version(connection: Connection, where: str, steps: Sequence[Step]) -> int:
    """The database's version, 0 for an empty one. Raises ConfigError for a newer one or something else's database."""
    tables = inspect(connection).get_table_names()
    if schema_version.name not in tables:
        if tables and connection.dialect.name == "sqlite":
            advice = "set VECFERRY_LEDGER to another path; nothing was changed"
            raise ConfigError(f"{where} is the database of something else", advice=advice)
        return 0
    version = connection.scalar(select(func.max(schema_version.c.version))) or 0
    newest = steps[-1].version
    if version > newest:
        raise ConfigError(
            f"{where} has version {version}; this vecferry knows versions up to {newest}",
            advice="upgrade vecferry, or name another ledger by VECFERRY_LEDGER; nothing was changed",
        )
    return version


def upgrade(connection: Connection, where: str, now: datetime, steps: Sequence[Step]) -> None:
    """Run the steps that the database lacks, within the caller's transaction: all or none."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(8317064)"))
    version = found_version(connection, where, steps)
    if not version:
        schema_version.create(connection, checkfirst=True)
    for step in steps:
        if step.version > version:
            for statement in step.statements:
                connection.execute(text(statement))
            connection.execute(insert(schema_version).values(version=step.version, applied_at=now))
