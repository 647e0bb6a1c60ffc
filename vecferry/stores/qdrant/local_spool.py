"""Points of a local-mode database as plain columns: a limited process reads them once, here they lie in a file.

What that process gives is checked as data from outside: its schema is the one that was asked for, every buffer is
validated, and it says itself that it came to the end.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

import vecferry
from vecferry import batch as columns
from vecferry import sealing
from vecferry.errors import BadRecord, StoreRefused
from vecferry.model import DType, IdKind, VectorField
from vecferry.stores.file_store import IdIndex

__all__ = ["Spooled", "spool"]

# `-I`: nothing of the caller's environment, folder or home decides what is imported; the core goes last.
_START = "import sys; sys.path.append(sys.argv[1]); from vecferry.stores.qdrant.local_reader import main; main()"
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"}
_SAID_BYTES = 4096
_KIND_ORDER = (IdKind.UINT64, IdKind.INT64, IdKind.UUID, IdKind.STRING)


@dataclass(frozen=True, slots=True)
class Spooled:
    """All records of a collection. `fields` have the narrowest number type that holds every number.

    `rows`: the table's rows in the order of their ids, `index` where an id is in that order.
    `outdated`: older copies of records that were left out.
    """

    table: pa.Table
    fields: tuple[VectorField, ...]
    rows: npt.NDArray[np.int64]
    index: IdIndex
    outdated: int

    def take(self, rows: npt.NDArray[np.int64], names: Sequence[str]) -> pa.RecordBatch:
        """These rows of the order, with these columns, float64 as stored."""
        taken = self.table.select(list(names)).take(pa.array(self.rows[rows])).combine_chunks()
        batches = taken.to_batches()
        return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=taken.schema)


def spool(database: Path, fields: Sequence[VectorField], url: str) -> Spooled:
    """Read a database. Raises BadRecord, naming the record, for what local mode does not store."""
    wide = [replace(field, dtype=DType.FLOAT64) for field in fields]
    with tempfile.NamedTemporaryFile(prefix="vecferry-") as file:
        status, said = _read_into(file, database, wide, url)
        last = _last_line(said)
        if status or "outdated" not in last:
            raise _failure(status, last, url)
        table = _checked(Path(file.name), columns.arrow_schema(wide), url)
    exact = tuple(replace(field, dtype=_narrowest(table, field)) for field in fields)
    ids = _ids(table)
    rows = _order(ids)
    index = IdIndex([sealing.hash_ids(ids)[rows]])
    return Spooled(table, exact, rows, index, int(last["outdated"]))


def _read_into(file: IO[bytes], database: Path, fields: Sequence[VectorField], url: str) -> tuple[int, bytes]:
    """Run the reader; its exit status, and what it said at last."""
    request = {
        "database": str(database.absolute()),
        "vectors": [[field.name, field.kind.value, field.dimension] for field in fields],
    }
    root = str(Path(vecferry.__file__).parent.parent)
    command = [sys.executable, "-I", "-c", _START, root]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=_ENVIRONMENT, cwd="/") as reader:
        said: list[bytes] = []
        listener = threading.Thread(target=_listen, args=(reader.stderr, said), daemon=True)
        listener.start()
        try:
            _exchange(reader, json.dumps(request).encode(), file)
        except OSError as error:
            reader.kill()
            raise StoreRefused(
                f"{url} cannot be spooled to {tempfile.gettempdir()}: {error}",
                advice="make room there, or name another folder with TMPDIR",
            ) from error
        listener.join()
        return reader.wait(), b"".join(said)


def _exchange(reader: subprocess.Popen[bytes], request: bytes, file: IO[bytes]) -> None:
    assert reader.stdin is not None
    assert reader.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it ended early, and its status says why
        reader.stdin.write(request)
        reader.stdin.close()
    shutil.copyfileobj(reader.stdout, file, 1 << 20)
    file.flush()


def _listen(pipe: IO[bytes], said: list[bytes]) -> None:
    """Keep the end of what the reader says."""
    for chunk in iter(lambda: pipe.read1(_SAID_BYTES), b""):  # type: ignore[attr-defined]
        said[:] = [b"".join([*said, chunk])[-_SAID_BYTES:]]


def _last_line(said: bytes) -> dict[str, Any]:
    try:
        found = json.loads(said.splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": said.decode(errors="replace").strip()[-500:]}
    return found if isinstance(found, dict) else {}


def _failure(status: int, last: dict[str, Any], url: str) -> BadRecord:
    if status < 0:
        return BadRecord(
            f"{url}: the process that reads it was ended by signal {-status}: beyond its limits, or damaged data",
            advice="open the folder with qdrant_client where you trust it, and copy it to a server from there",
        )
    return BadRecord(f"{url}: {last.get('error', 'the process that reads it did not come to the end')}")


def _checked(file: Path, schema: pa.Schema, url: str) -> pa.Table:
    """The stream in a file, mapped and not copied. It stays readable when the file's name is gone."""
    try:
        with pa.ipc.open_stream(pa.memory_map(str(file))) as stream:
            if stream.schema != schema:
                raise BadRecord(f"{url}: the process that reads it gave other columns than were asked for")
            table = stream.read_all()
        table.validate(full=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadRecord(f"{url}: the process that reads it gave damaged columns: {error}") from error
    return table


def _narrowest(table: pa.Table, field: VectorField) -> DType:
    """Local mode stores what it was given, as doubles: float32 where that holds every one of them."""
    for piece in table.column(columns.column_name(field.name)).chunks:
        values = _numbers(piece)
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = values.astype(np.float32)
        if not np.array_equal(rounded.astype(np.float64), values, equal_nan=True):
            return DType.FLOAT64
    return DType.FLOAT32


def _numbers(piece: pa.Array) -> npt.NDArray[np.float64]:
    """Every number of a vector column."""
    if pa.types.is_struct(piece.type):
        piece = piece.field("values")
    while pa.types.is_list(piece.type) or pa.types.is_fixed_size_list(piece.type):
        piece = piece.flatten()
    numbers: npt.NDArray[np.float64] = piece.to_numpy(zero_copy_only=False)
    return numbers


def _ids(table: pa.Table) -> pa.RecordBatch:
    whole = table.select([columns.ID, columns.ID_KIND]).combine_chunks().to_batches()
    return whole[0] if whole else columns.ids_batch(())


def _order(ids: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """Rows by id: integers ascending, then UUIDs, then texts; a fixed order for slices."""
    rank = {kind: at for at, kind in enumerate(_KIND_ORDER)}
    numbers = {IdKind.UINT64, IdKind.INT64}
    keys = [
        (rank[item.kind], int(item.text) if item.kind in numbers else 0, item.text) for item in columns.record_ids(ids)
    ]
    return np.array(sorted(range(len(keys)), key=keys.__getitem__), dtype=np.int64)
