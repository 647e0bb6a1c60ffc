"""The table layouts of Chroma 0.4 to today, shown to the reader as today's.

Every version adds columns and tables by numbered migrations, which it applies in place to whatever folder it opens.
Nothing may be applied here: temporary views, which live beside the file in this connection alone, bear the names of
today's tables and fill in what an older layout lacks. So every query is written once, for today's layout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from vecferry.errors import StoreRefused
from vecferry.stores.chroma.folder_access import Database

__all__ = ["Layout", "Replay", "check_current", "show_as_current"]

_ONE_DATABASE = "00000000-0000-0000-0000-000000000000"
_READABLE = "Chroma 0.4.3 to 1.5"


class Replay(Enum):
    """Who takes up the rest of the log when the folder is opened, which decides some last bits.

    `PYTHON_BY_ID`: Chroma 0.4 and up to 0.5.5, which buffers changes of `batch_size` ids before it gives them to the
    index. `PYTHON_BY_ENTRY`: 0.5.6 to 0.6, which buffers that many log entries. `RUST`: 1.0 and later, no buffer, and
    an inexact parser of decimal text.
    """

    PYTHON_BY_ID = "0.4"
    PYTHON_BY_ENTRY = "0.5.6"
    RUST = "1.0"


@dataclass(frozen=True, slots=True)
class Layout:
    """The number of the last migration of each kind that was applied."""

    sysdb: int
    metadb: int
    embeddings_queue: int

    @property
    def replay(self) -> Replay:
        """How a Chroma that knows this layout and no later one replays its log."""
        if self.metadb >= 5:
            return Replay.RUST
        return Replay.PYTHON_BY_ENTRY if self.embeddings_queue >= 2 else Replay.PYTHON_BY_ID

    def is_within(self, other: Layout) -> bool:
        """Whether no number is above the other's."""
        pairs = (
            (self.sysdb, other.sysdb),
            (self.metadb, other.metadb),
            (self.embeddings_queue, other.embeddings_queue),
        )
        return all(mine <= theirs for mine, theirs in pairs)


_OLDEST = Layout(sysdb=3, metadb=1, embeddings_queue=1)  # Chroma 0.4.3, and earlier 0.4 by their migrations
_CURRENT = Layout(sysdb=10, metadb=6, embeddings_queue=2)  # Chroma 1.5


def show_as_current(database: Database, place: str) -> Layout:
    """Make the views of this connection. Raises StoreRefused for what is no Chroma database, and for newer layouts."""
    found = _found(database, place)
    if not found.is_within(_CURRENT):
        raise StoreRefused(
            f"{place} was written by a newer Chroma than 1.5", advice="Read it through its server (chroma://)."
        )
    if not _OLDEST.is_within(found):
        raise StoreRefused(
            f"{place} was written by an older Chroma than 0.4.3, or its making was interrupted",
            advice=f"Open a copy of it with a newer Chroma, and read the copy: {_READABLE} are known here.",
        )
    for statement in _views(found):
        database.rows(statement)
    return found


def check_current(database: Database, place: str) -> None:
    """Raises StoreRefused unless Chroma 1.5 opens the folder without changing its tables."""
    found = _found(database, place)
    if found == _CURRENT:
        return
    is_older = found.is_within(_CURRENT)
    raise StoreRefused(
        f"{place} was written by {'an older' if is_older else 'a newer'} Chroma than 1.5"
        + (
            ": opening it for writing would upgrade it in place, and its own version could not read it again" * is_older
        ),
        advice="Name a new folder as the target; as a source the old one is read as it is."
        if is_older
        else "Write through its server (chroma://), or name a new folder.",
    )


def _found(database: Database, place: str) -> Layout:
    if not database.rows("SELECT 1 FROM sqlite_master WHERE name = 'migrations'"):
        raise StoreRefused(f"{place} is not a Chroma database", advice="Check the path.")
    numbers = dict(database.rows("SELECT dir, max(version) FROM migrations GROUP BY dir"))
    return Layout(*(int(numbers.get(name, 0)) for name in ("sysdb", "metadb", "embeddings_queue")))


def _views(found: Layout) -> Iterator[str]:
    """One statement for each table that has not today's columns."""
    if found.sysdb < 4:
        names = "'default_database' AS name, 'default_tenant' AS tenant_id"
        yield f"CREATE TEMP VIEW databases AS SELECT '{_ONE_DATABASE}' AS id, {names}"
    if found.sysdb < _CURRENT.sysdb:
        yield f"CREATE TEMP VIEW collections AS SELECT id, name, dimension, {_collection_columns(found)}"
    if found.sysdb < 6:
        for table in ("collection_metadata", "segment_metadata"):
            yield f"CREATE TEMP VIEW {table} AS SELECT *, NULL AS bool_value FROM main.{table}"
    if found.metadb < 2:
        yield "CREATE TEMP VIEW embedding_metadata AS SELECT *, NULL AS bool_value FROM main.embedding_metadata"
    if found.metadb < 6:
        columns = ("id", "key", "string_value", "int_value", "float_value", "bool_value", "rowid")
        nulls = ", ".join(f"NULL AS {name}" for name in columns)
        yield f"CREATE TEMP VIEW embedding_metadata_array AS SELECT {nulls} WHERE 0"


def _collection_columns(found: Layout) -> str:
    database = "database_id" if found.sysdb >= 4 else f"'{_ONE_DATABASE}' AS database_id"
    # Until 0.6 the configuration says l2 and defaults, whatever the index was built with.
    configuration = "config_json_str" if found.replay is Replay.RUST else "NULL AS config_json_str"
    return f"{database}, {configuration}, NULL AS schema_str FROM main.collections"
