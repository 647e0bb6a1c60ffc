"""Makes `archive-v1-1/` and `archive-v1-1.expected.json`: the golden archive of 1.0 with what version 1.1 added.

It ran once, for format version 1.1. What it made is never edited or made again: every later version of vecferry has to
read those very bytes. A new format version gets a script and a folder of its own.

    python -m tests.golden.make_archive_v1_1 FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.golden.make_archive_v1 import FIRST, SCHEMA, SECOND, VECTORS, Record, batch_of, expected
from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive import Archive, Changes, DeltaEntry, DeltaHashRows, DeltaRows, HashRows
from vecferry.archive.conflicts import loser_rows, read_losers, write_losers
from vecferry.archive.delta_rows import Before
from vecferry.model import IdKind

COLLECTION = "gólden/1.1"
HASH = pa.binary(columns.HASHES_BYTES)
CHANGED: list[Record] = [
    ("12", IdKind.UINT64, "changed", {"city": "Hamburg"}, {"": [1.0, 2.0, 3.0, 4.0], "tokens": [[5.0, 6.0]]}),
    ("new", IdKind.STRING, None, {}, {"sparse": ([1], [2.0])}),
]
FROM_TARGET: list[Record] = [
    ("new", IdKind.STRING, "written in the new store", {"n": 1.5}, {"": [0.0, -0.0, 1.0, 2.0]}),
]


def main(folder: Path) -> None:
    """Write the archive and what must be read from it."""
    archive = Archive.create(folder / "archive-v1-1", COLLECTION, {"version": 1, "slices": 2})
    types = columns.arrow_schema(VECTORS)
    batches = [batch_of(FIRST), batch_of(SECOND)]
    parts = [archive.write_part(number, types, [batch]) for number, batch in enumerate(batches)]
    hashes = [archive.write_hashes(number, [_as_found(batch)]) for number, batch in enumerate(batches)]
    archive.commit(Changes(schema=SCHEMA, parts=tuple(parts), hashes=tuple(hashes), complete=True))
    archive.commit(Changes(deltas=(_forward(archive),)))
    archive.commit(Changes(deltas=(_reverse(archive),)))
    lost = pa.array(['{"document":"old"}'], pa.string())
    write_losers(archive.storage, 2, VECTORS, [loser_rows(batch_of(SECOND[:1]), lost)])
    statement = {"version": 1, "migration": "m-1", "route": "docs", "route_epoch": 2}
    cutover = archive.write_cutover(statement, [rows.batch for rows in archive.target_rows()])
    archive.commit(Changes(cutover=cutover))
    text = json.dumps(found_in(archive), indent=1, ensure_ascii=False) + "\n"
    (folder / "archive-v1-1.expected.json").write_text(text)


def _as_found(batch: pa.RecordBatch) -> HashRows:
    """Under other ids in the target, with other hashes there."""
    sealed = sealing.seal(batch)
    hashes = columns.stored_hashes(sealed)
    names = [f"t-{row}-{text}" for row, text in enumerate(sealed.column("id").to_pylist())]
    targets = columns.make(names, IdKind.STRING)
    return HashRows(sealed, targets, hashes, 255 - hashes, np.ones(len(hashes), dtype=bool))


def _forward(archive: Archive) -> DeltaEntry:
    """The source's changes: one record changed, one new, one gone."""
    records, gone = batch_of(CHANGED), columns.ids_of(batch_of(FIRST[2:3]))
    known = columns.stored_hashes(sealing.seal(batch_of([FIRST[0], FIRST[2]])))
    before = Before(_texts("t-0-12", "t-new"), _kinds(2), _hashes(known[0], None), _hashes(255 - known[0], None))
    before_gone = Before(_texts("t-2--5"), _kinds(1), _hashes(known[1]), _hashes(255 - known[1]))
    rows = [DeltaRows.upserts(0, records, before), DeltaRows.tombstones(2, VECTORS, gone, before_gone)]
    return _written(archive, 1, "forward", rows)


def _reverse(archive: Archive) -> DeltaEntry:
    """A record that came from the target; of its document the old store was ahead."""
    records = batch_of(FROM_TARGET)
    known = columns.stored_hashes(sealing.seal(batch_of(CHANGED[1:])))
    before = Before(_texts("t-new"), _kinds(1), _hashes(known[0]), _hashes(255 - known[0]))
    kept = np.zeros((1, columns.HASHES_BYTES), dtype=np.uint8)
    kept[:, 32:] = 7
    found = columns.stored_hashes(sealing.seal(records))
    rows = [DeltaRows.upserts(0, records, before, _hashes(254 - found[0]), _hashes(kept[0]))]
    return _written(archive, 2, "reverse", rows)


def _written(archive: Archive, number: int, direction: str, rows: list[DeltaRows]) -> DeltaEntry:
    delta = archive.write_delta(number, VECTORS, rows)
    hashes = []
    for item in archive.read_delta(number):
        there = pa.array(np.arange(len(item)), mask=item.gone())
        found = item.column("source_hash").take(there)
        back = direction == "reverse"
        target = item.column("target_hash") if back else found
        hashes.append(DeltaHashRows.of(item, target, item.column("kept_hash") if back else None))
    receipt = archive.write_delta_hashes(number, hashes)
    return DeltaEntry(delta.receipt, receipt, direction, number, delta.shift.added, delta.shift.removed)


def _texts(*values: str) -> pa.StringArray:
    return pa.array(values, pa.string())


def _kinds(rows: int) -> pa.DictionaryArray:
    return columns.kind_array(IdKind.STRING, rows)


def _hashes(*values: np.ndarray[Any, np.dtype[np.uint8]] | None) -> pa.Array:
    return pa.array([None if value is None else value.tobytes() for value in values], HASH)


def found_in(archive: Archive) -> dict[str, Any]:
    """What a reader has to find, as JSON."""
    numbers = [delta.rows.number for delta in archive.manifest().deltas]
    ids = columns.ids_of(batch_of([*FIRST, *SECOND, *CHANGED[1:]]))
    return {
        "deltas": {number: _rows(item.batch for item in archive.read_delta(number)) for number in numbers},
        "hashes": {number: _rows(archive.read_delta_hashes(number)) for number in numbers},
        "losers": _rows(read_losers(archive.storage, 2)),
        "cutover": _rows(archive.read_cutover()),
        "statement": dict(archive.cutover_statement()),
        "collection": sorted(expected([columns.drop_hashes(archive.fetch(ids))]), key=lambda row: str(row["id_hash"])),
    }


def _rows(batches: Any) -> list[dict[str, Any]]:
    rows = [row for batch in batches for row in batch.to_pylist()]
    return [{name: _plain(name, value) for name, value in row.items()} for row in rows]


def _plain(name: str, value: Any) -> Any:
    if name.startswith("vector"):
        return repr(value)
    return value.hex() if isinstance(value, bytes) else value


if __name__ == "__main__":
    main(Path(sys.argv[1]))
