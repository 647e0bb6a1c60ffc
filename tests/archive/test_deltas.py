"""Deltas in the archive: what they say comes back, what is damaged is named, and the last word on a record counts."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.archive.support import FIELDS, SCHEMA, filled, path_of, rows
from tests.golden import make_archive_v1 as golden
from vecferry import address, sealing
from vecferry import batch as columns
from vecferry.archive import Archive, Changes, DamageKind, DeltaEntry, DeltaHashRows, DeltaRows, as_store, verify
from vecferry.archive.delta_rows import Before
from vecferry.contract import Reader
from vecferry.errors import ArchiveDamaged, BadRecord, DataDiffer
from vecferry.model import Digest

HASH = pa.binary(48)


def before(records: pa.RecordBatch, hashes: np.ndarray | None = None) -> Before:
    """Records that have the same ids in the target, and were known with these hashes (None: were not known)."""
    known = pa.nulls(records.num_rows, HASH) if hashes is None else columns.fixed_binary_array(hashes)
    return Before(records.column("id"), records.column("id_kind"), known, known)


def add_delta(archive: Archive, number: int, closing: int, parts: list[DeltaRows]) -> DeltaEntry:
    """Write a delta with hashes, as if the target had given back the same bits, and list it."""
    written = archive.write_delta(number, archive.manifest().schema.vectors, parts)
    hashes = []
    for item in archive.read_delta(number):
        there = pa.array(np.arange(len(item)), mask=item.gone())
        hashes.append(DeltaHashRows.of(item, item.column("source_hash").take(there)))
    read_back = archive.write_delta_hashes(number, hashes)
    shift = written.shift
    entry = DeltaEntry(written.receipt, read_back, "forward", closing, shift.added, shift.removed)
    archive.commit(Changes(deltas=(entry,)))
    return entry


def hashes_of(archive: Archive, ids: pa.RecordBatch) -> np.ndarray:
    """What the archive has of these ids now, in their order."""
    found = archive.fetch(ids)
    order = {name: row for row, name in enumerate(found.column("id").to_pylist())}
    return columns.stored_hashes(found)[[order[name] for name in ids.column("id").to_pylist()]]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Ids 0 to 69 in two parts. Delta 1 changes 0 to 4, deletes 5 to 7 and adds 70 to 74; delta 2 deletes 0 and
    brings 5 back."""
    found = filled(tmp_path, [rows(0, 50), rows(50, 70)])
    changed, gone, new = rows(0, 5, seed=1), rows(5, 8), rows(70, 75)
    first = [
        DeltaRows.upserts(0, changed, before(changed, hashes_of(found, columns.ids_of(changed)))),
        DeltaRows.upserts(5, new, before(new)),
        DeltaRows.tombstones(10, FIELDS, columns.ids_of(gone), before(gone, hashes_of(found, columns.ids_of(gone)))),
    ]
    add_delta(found, 1, 1, first)
    zero, five = rows(0, 1), rows(5, 6, seed=2)
    second = [
        DeltaRows.upserts(0, five, before(five)),
        DeltaRows.tombstones(1, FIELDS, columns.ids_of(zero), before(zero, hashes_of(found, columns.ids_of(zero)))),
    ]
    add_delta(found, 2, 2, second)
    return found


def now() -> dict[str, bytes]:
    """What the collection is by then: hashes by id."""
    parts = [rows(1, 5, seed=1), rows(5, 6, seed=2), rows(8, 70), rows(70, 75)]
    # Records of a seed are made by their first id.
    parts[0] = rows(0, 5, seed=1).slice(1)
    parts[2] = pa.concat_batches([rows(0, 50).slice(8), rows(50, 70)])
    sealed = pa.concat_batches(list(map(sealing.seal, parts)))
    return dict(zip(sealed.column("id").to_pylist(), sealed.column("source_hash").to_pylist(), strict=True))


def test_a_delta_comes_back_as_it_was_written(archive: Archive) -> None:
    """Order, operations, records, links and what was there before are read as they went in."""
    found = pa.concat_batches([item.batch for item in archive.read_delta(1, batch_rows=4)])
    assert found.column("seq").to_pylist() == list(range(13))
    assert found.column("op").to_pylist() == ["upsert"] * 10 + ["tombstone"] * 3
    assert found.column("id").to_pylist() == found.column("target_id").to_pylist()
    assert found.column("before_hash").null_count == 5
    records = DeltaRows(found).records().slice(0, 5)
    assert records.equals(sealing.seal(rows(0, 5, seed=1)))
    gone = found.slice(10)
    assert not columns.stored_hashes(gone).any()
    assert gone.column("payload").to_pylist() == ["{}"] * 3
    assert gone.column("vector").null_count == gone.column("document").null_count == 3


def test_an_archive_with_deltas_is_sound_and_knows_what_the_collection_is_now(archive: Archive) -> None:
    """It verifies in full, and its current digest is that of the records as they are by the deltas."""
    assert verify(archive, deep=True).damages == ()
    wanted = now()
    ids = columns.make(list(wanted), columns.single_kind(rows(0, 1)) or "")
    hashes = np.frombuffer(b"".join(wanted.values()), dtype=np.uint8).reshape(-1, 48)
    manifest = archive.manifest()
    assert manifest.current == sealing.digest(columns.with_hashes(ids, hashes))
    assert manifest.digest != manifest.current
    assert manifest.raw["format_version"] == "1.1"


def test_the_last_delta_that_names_an_id_says_what_it_is(archive: Archive) -> None:
    """`fetch` gives changed, new and returned records, and neither deleted ones."""
    everything = columns.make([str(number) for number in range(80)], columns.single_kind(rows(0, 1)) or "")
    found = archive.fetch(everything)
    pairs = zip(found.column("id").to_pylist(), found.column("source_hash").to_pylist(), strict=True)
    assert dict(pairs) == now()


@pytest.mark.parametrize("pieces", [1, 2])
def test_an_archive_as_a_store_has_its_deltas_applied(archive: Archive, pieces: int) -> None:
    """Whoever loads it gets the collection as it was caught up, each record once."""
    store = as_store.ArchiveSource(archive, "archive:///x/docs")
    found = [batch for part in store.slices(pieces) for batch in store.read(part, batch_rows=7)]
    sealed = pa.concat_batches(list(map(sealing.seal, found)))
    assert sealed.num_rows == store.count() == len(now())
    pairs = zip(sealed.column("id").to_pylist(), sealed.column("source_hash").to_pylist(), strict=True)
    assert dict(pairs) == now()


def test_slices_of_an_archive_are_refused_after_a_further_delta(archive: Archive) -> None:
    """A plan that was made before the archive was caught up would leave records out: it has to be made anew."""
    place = address.parse(f"archive://{Path(archive.place).parent}/docs")
    parts = as_store.open_source(place, Reader.FAST).slices(1)
    new = rows(90, 91)
    add_delta(archive, 3, 3, [DeltaRows.upserts(0, new, before(new))])
    with pytest.raises(DataDiffer, match="other deltas"):
        list(as_store.open_source(place, Reader.FAST).read(parts[0]))


def test_target_rows_are_those_of_the_last_word(archive: Archive) -> None:
    """What is known to be in the target leaves out what a later delta changed or deleted."""
    found = {name for block in archive.target_rows() for name in block.target_ids().column("id").to_pylist()}
    assert found == set(now())
    assert sum(len(block.target_ids()) for block in archive.target_rows()) == len(now())


def test_an_id_that_comes_twice_in_a_delta_is_refused(archive: Archive) -> None:
    """Two words on one record would be none."""
    one = rows(80, 81)
    twice = [DeltaRows.upserts(0, one, before(one)), DeltaRows.upserts(1, one, before(one))]
    with pytest.raises(BadRecord, match="80 comes twice"):
        archive.write_delta(3, FIELDS, twice)


def test_an_archive_of_the_first_version_is_caught_up(tmp_path: Path) -> None:
    """One that an earlier vecferry wrote is gone on with, takes deltas of vectors of every kind, and is 1.1 then."""
    shutil.copytree(Path(golden.__file__).parent / "archive-v1", tmp_path / "archive")
    old = Archive.create(tmp_path / "archive", golden.COLLECTION, {"version": 1, "slices": 3})
    assert old.manifest().raw["format_version"] == "1.0"
    records = golden.batch_of(golden.SECOND)
    known = before(records, hashes_of(old, columns.ids_of(records)))
    first = golden.batch_of(golden.FIRST).slice(0, 1)
    gone = before(first, hashes_of(old, columns.ids_of(first)))
    delta = [
        DeltaRows.upserts(0, records, known),
        DeltaRows.tombstones(2, golden.VECTORS, columns.ids_of(first), gone),
    ]
    add_delta(old, 1, 1, delta)
    assert verify(old, deep=True).damages == ()
    assert old.manifest().raw["format_version"] == "1.1"
    assert old.manifest().current.count == 6
    again = [item.filter(~item.gone()).records() for item in old.read_delta(1)]
    assert pa.concat_batches(again).equals(sealing.seal(records))


def flip(path: Path, at: float) -> None:
    """Change one bit of a file."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * at)] ^= 4
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["deltas/00001.parquet", "deltas/00001.hashes.parquet"])
@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_a_changed_delta_is_found(archive: Archive, name: str, at: float) -> None:
    """One flipped bit anywhere in a delta or its hashes is seen, and the file named."""
    flip(path_of(archive, name), at)
    found = verify(archive, deep=True)
    assert {damage.path for damage in found.damages} == {name}


def test_a_delta_that_is_missing_or_cut_is_found(archive: Archive) -> None:
    """A listed delta belongs to the archive like a part."""
    path_of(archive, "deltas/00002.parquet").unlink()
    assert [damage.kind for damage in verify(archive, deep=False).damages] == [DamageKind.MISSING]
    with pytest.raises(ArchiveDamaged):
        list(archive.read_delta(2))


def test_a_delta_that_nobody_closed_is_no_damage(archive: Archive) -> None:
    """It is written before it is recorded, so it may be there without the manifest's knowledge."""
    new = rows(90, 91)
    archive.write_delta(3, FIELDS, [DeltaRows.upserts(0, new, before(new))])
    assert verify(archive, deep=True).sound
    assert archive.manifest().current.count == len(now())


def test_a_manifest_whose_deltas_are_out_of_order_is_refused(archive: Archive) -> None:
    """Two deltas cannot have been closed at once."""
    entry = archive.manifest().deltas[0]
    again = DeltaEntry(entry.rows, entry.hashes, "forward", 2, Digest(), Digest())
    with pytest.raises(ValueError, match="order of closing"):
        archive.manifest().changed(Changes(schema=SCHEMA, deltas=(again,)))
