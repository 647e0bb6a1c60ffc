"""Tables of ids and hashes that need not fit into memory: the one module that knows DuckDB.

DuckDB gets everything as Arrow and gives Arrow back. It reads no file of its own, loads no extension and never asks
the network; what does not fit into its memory goes to a folder that the caller gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pyarrow as pa

from vecferry.errors import Stopped, VecferryError

if TYPE_CHECKING:
    import duckdb

__all__ = ["HashTables"]

_BATCH_ROWS = 20_000
_THREADS = 2


class HashTables:
    """Tables of one comparison; gone when it is closed. For one thread."""

    def __init__(self, folder: Path, memory_mb: int) -> None:
        """`folder` exists and takes what does not fit into `memory_mb`."""
        import duckdb

        self._errors = duckdb.Error
        self._full = (duckdb.OutOfMemoryException, duckdb.IOException)
        self._failed: BaseException | None = None
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": f"{memory_mb}MB",
            "temp_directory": str(folder),
            "threads": _THREADS,
            "preserve_insertion_order": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        self._connection: duckdb.DuckDBPyConnection = duckdb.connect(":memory:", config=settings)
        # Afterwards not even the folder above could be changed any more.
        self.run("SET enable_external_access = false")

    def load(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Make a table of these batches."""
        self.offer(name, schema, batches)
        self.run(f"CREATE TEMP TABLE {name}_table AS SELECT * FROM {name}")
        self._connection.unregister(name)
        self.run(f"CREATE TEMP VIEW {name} AS SELECT * FROM {name}_table")

    def offer(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Let the next query that names `name` read these batches, once, as they come. Their errors pass through."""
        reader = pa.RecordBatchReader.from_batches(schema, self._watched(batches))
        self._connection.register(name, reader)

    def _watched(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # DuckDB would tell of an error in the stream in words of its own; what was raised is kept for the caller.
        try:
            yield from batches
        except VecferryError as error:
            self._failed = error
            raise

    def run(self, sql: str) -> None:
        """Run a statement. Raises what the batches that it read raised, Stopped where memory or disk are too small."""
        try:
            self._connection.execute(sql)
        except self._errors as error:
            raise self._understood(error) from error

    def one(self, sql: str) -> tuple[int, ...]:
        """The one row of numbers that a query gives. Errors as for `run`."""
        try:
            (row,) = self._connection.execute(sql).fetchall()
        except self._errors as error:
            raise self._understood(error) from error
        return tuple(map(int, row))

    def batches(self, sql: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        """What a query gives, with the columns of `schema` in that order. Errors as for `run`."""
        try:
            for batch in self._connection.sql(sql).to_arrow_reader(_BATCH_ROWS):
                yield batch.cast(schema)
        except self._errors as error:
            raise self._understood(error) from error

    def _understood(self, error: Exception) -> BaseException:
        if self._failed is not None:
            return self._failed
        if isinstance(error, self._full):
            return Stopped(
                f"comparing ids and hashes needs more room: {str(error).partition(chr(10))[0]}",
                advice="free some space beside the archive; `sync: memory_mb` of the migration file bounds the memory",
            )
        return error

    def close(self) -> None:
        """Forget all tables."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
