"""Counters that only grow: tokens, and numbers within one migration."""

from __future__ import annotations

from sqlalchemy import Column, Connection, func, select, update

from vecferry.ledger.schema import counters

__all__ = ["after_last", "next_number"]


def next_number(connection: Connection, name: str) -> int:
    """The next value of a counter, within a transaction."""
    mine = counters.c.name == name
    connection.execute(update(counters).where(mine).values(value=counters.c.value + 1))
    return int(connection.execute(select(counters.c.value).where(mine)).scalar_one())


def after_last(connection: Connection, column: Column[int], migration_id: str) -> int:
    """One more than the greatest value of a table's column for this migration, from 1."""
    query = select(func.max(column)).where(column.table.c.migration == migration_id)
    return int(connection.scalar(query) or 0) + 1
