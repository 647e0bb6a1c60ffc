from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.archive.support import SCHEMA, TYPES, as_found, filled, hash_rows, path_of, rows
from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive import Archive, Changes, DamageKind, verify
from vecferry.archive.verifier import Verifier
from vecferry.errors import ArchiveDamaged
from vecferry.model import IdKind, VectorField

PART, HASHES = "parts/00000.parquet", "hashes/00001.parquet"


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return filled(tmp_path, [rows(0, 50), rows(50, 80)])


def kinds(archive: Archive, *, deep: bool = True) -> set[tuple[DamageKind, str]]:
    """What is found, and where."""
    return {(item.kind, item.path) for item in verify(archive, deep).damages}


@pytest.mark.parametrize("deep", [False, True])
def test_a_whole_archive_is_sound(archive: Archive, deep: bool) -> None:
    """Nothing is found, and the answer says how much was looked at."""
    found = verify(archive, deep)
    assert found.sound
    assert (found.files, found.rows) == (5, 80 if deep else 0)
    sizes = archive.storage.files()
    assert found.size_bytes == sum(sizes.values()) - sizes["manifest.json"]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


@pytest.mark.parametrize("path", [PART, HASHES, "plan.json"])
@pytest.mark.parametrize(
    ("harm", "kind"),
    [
        (Path.unlink, DamageKind.MISSING),
        (flip, DamageKind.CHANGED),
        (cut, DamageKind.CHANGED),
        (grow, DamageKind.CHANGED),
    ],
    ids=["missing", "flipped", "cut", "grown"],
)
def test_a_harmed_file_is_named_without_reading_a_row(
    archive: Archive, path: str, harm: Callable[[Path], None], kind: DamageKind
) -> None:
    """Missing, changed, cut and grown files are told apart from whole ones, and no other file is blamed."""
    harm(path_of(archive, path))
    found = kinds(archive, deep=False)
    assert (kind, path) in found
    assert {place for _, place in found} == {path}
    assert {place for _, place in kinds(archive, deep=True)} == {path}


def test_a_cut_file_is_told_from_a_grown_one(archive: Archive) -> None:
    """The detail says which of the two happened, with both sizes."""
    cut(path_of(archive, PART))
    grow(path_of(archive, HASHES))
    details = {item.path: item.detail for item in verify(archive, False).damages if item.kind is DamageKind.SIZE}
    assert "was cut" in details[PART]
    assert "grew" in details[HASHES]


def test_a_page_that_fails_its_checksum_is_unreadable(archive: Archive) -> None:
    """A flipped bit in the rows is seen by Parquet itself when they are read."""
    flip(path_of(archive, PART))
    assert (DamageKind.UNREADABLE, PART) in kinds(archive)


def test_files_that_nobody_listed_are_found_and_reserved_or_hidden_ones_are_not(archive: Archive) -> None:
    """A stray part is reported; what a later version or a killed run left is not."""
    for path in ("parts/00007.parquet", "notes.txt", "deltas/00000.parquet", "cutover.parquet", "parts/.x.tmp"):
        path_of(archive, path).parent.mkdir(exist_ok=True)
        path_of(archive, path).write_bytes(b"")
    assert kinds(archive) == {(DamageKind.EXTRA, "parts/00007.parquet"), (DamageKind.EXTRA, "notes.txt")}


def test_an_incomplete_archive_is_not_sound(tmp_path: Path) -> None:
    """What was not finished is never "ok"."""
    archive = filled(tmp_path, [rows(0, 5)], complete=False)
    assert kinds(archive) == {(DamageKind.INCOMPLETE, "manifest.json")}


def rewrite(archive: Archive, change: Callable[[pa.Table], pa.Table]) -> None:
    """Replace the first part's rows by hand, its footer kept as far as Parquet lets it."""
    path = path_of(archive, PART)
    table = change(pq.read_table(path))
    pq.write_table(table.replace_schema_metadata(pq.read_metadata(path).metadata), path)


def test_a_record_that_was_changed_by_hand_is_named(archive: Archive) -> None:
    """A value without its hash is found row by row, and the digest of hashes that were kept still holds."""

    def change(table: pa.Table) -> pa.Table:
        texts = table.column("payload").to_pylist()
        texts[7] = '{"n":8}'
        return table.set_column(table.schema.get_field_index("payload"), table.schema.field("payload"), pa.array(texts))

    rewrite(archive, change)
    damages = [item for item in verify(archive, True).damages if item.kind is DamageKind.RECORD]
    assert [(item.path, item.record_id) for item in damages] == [(PART, "7")]
    assert (DamageKind.DIGEST, PART) not in kinds(archive)


def test_a_hash_that_was_changed_with_its_record_breaks_the_digest(archive: Archive) -> None:
    """Who forges a record and its hash still has to forge the digest."""
    other = pa.Table.from_batches([sealing.seal(rows(0, 50, seed=9))])
    rewrite(archive, lambda table: other.cast(table.schema))
    found = kinds(archive)
    assert (DamageKind.DIGEST, PART) in found
    assert (DamageKind.RECORD, PART) not in found


def test_a_file_of_other_records_has_another_count_and_other_borders(archive: Archive) -> None:
    """A sound part of another archive in this one's place is found on every count."""
    stranger = Archive.create(Path(archive.place).parent / "elsewhere", "docs", {})
    stranger.write_part(0, TYPES, [rows(100, 120)])
    path_of(stranger, PART).replace(path_of(archive, PART))
    found = {kind for kind, path in kinds(archive) if path == PART}
    assert {DamageKind.CHANGED, DamageKind.ROWS, DamageKind.DIGEST, DamageKind.BORDERS} <= found


def test_an_id_in_two_parts_is_named(tmp_path: Path) -> None:
    """Ids are unique over all parts of a collection."""
    archive = filled(tmp_path, [rows(0, 50), rows(48, 60, seed=1)])
    damages = verify(archive, True).damages
    assert {(item.kind, item.path, item.record_id) for item in damages} == {
        (DamageKind.REPEATED_ID, "parts/00001.parquet", "48"),
        (DamageKind.REPEATED_ID, "parts/00001.parquet", "49"),
    }


def test_a_thousand_repeated_ids_give_a_short_list(tmp_path: Path) -> None:
    """The first ones are named and the rest counted."""
    archive = filled(tmp_path, [rows(0, 1000), rows(0, 1000, seed=1)])
    damages = verify(archive, True).damages
    assert len(damages) == 11
    assert "990 more" in damages[-1].detail


def test_parts_of_another_schema_are_found(tmp_path: Path) -> None:
    """A part whose vectors are not those of the collection does not pass."""
    archive = Archive.create(tmp_path, "docs", {})
    fields = [VectorField("", dimension=3), VectorField("second", dimension=4)]
    batch = columns.empty(fields)
    receipt = archive.write_part(0, columns.arrow_schema(fields), [batch])
    receipts = [receipt, archive.write_part(1, columns.arrow_schema(fields), [one_row(fields)])]
    archive.commit(Changes(schema=SCHEMA, parts=tuple(receipts), complete=True))
    found = [item for item in verify(archive, True).damages if item.kind is DamageKind.SCHEMA]
    assert [(item.path, item.detail.split("'")[1]) for item in found] == [
        ("parts/00001.parquet", ""),
        ("parts/00001.parquet", "second"),
    ]


def one_row(fields: list[VectorField]) -> pa.RecordBatch:
    """A record without vectors."""
    vectors = {item.name: pa.nulls(1, columns.arrow_type(item)) for item in fields}
    return columns.make(["1"], IdKind.UINT64, vectors=vectors, documents=[None], payloads=[b"{}"])


@pytest.mark.parametrize("deep", [False, True])
def test_hashes_of_other_records_are_found(tmp_path: Path, deep: bool) -> None:
    """A hashes file must be about the records of its part."""
    archive = filled(tmp_path, [rows(0, 5), rows(5, 10)], hashes=False)
    receipt = archive.write_hashes(0, hash_rows(archive, 1))
    archive.commit(Changes(hashes=(receipt,)))
    assert kinds(archive, deep=deep) == {(DamageKind.STRANGERS, "hashes/00000.parquet")}


def test_hashes_may_leave_out_records_that_did_not_move_and_add_none(tmp_path: Path) -> None:
    """Fewer rows than the part is sound; a row that the part does not hold is named, also among few."""
    archive = filled(tmp_path, [rows(0, 50), rows(50, 100)], hashes=False)
    one, other = (pa.concat_batches(list(archive.read_part(number))) for number in (0, 1))
    few = archive.write_hashes(0, [as_found(one.slice(0, 10)), as_found(one.slice(30, 5))])
    archive.commit(Changes(hashes=(few,)))
    assert verify(archive, deep=True).sound
    mixed = archive.write_hashes(0, [as_found(one.slice(0, 10)), as_found(other.slice(7, 1))])
    archive.commit(Changes(hashes=(mixed,)))
    damages = verify(archive, deep=True).damages
    assert [(item.kind, item.path, item.record_id) for item in damages] == [
        (DamageKind.STRANGERS, "hashes/00000.parquet", "57")
    ]


def test_a_damaged_manifest_is_an_error_and_not_a_finding(archive: Archive) -> None:
    """Without a manifest there is nothing to hold files against."""
    flip(path_of(archive, "manifest.json"))
    with pytest.raises(ArchiveDamaged, match=r"manifest\.json"):
        verify(archive, False)


def test_the_verifier_refuses_to_be_fed_out_of_order(archive: Archive) -> None:
    """A caller that forgets a file, a batch's file or an end is told so: nothing unread passes for checked."""
    manifest, files = archive.manifest(), archive.storage.files()
    verifier = Verifier(manifest, files)
    with pytest.raises(ValueError, match="not fed"):
        verifier.result()
    with pytest.raises(ValueError, match="out of order"):
        verifier.rows(PART, rows(0, 1))
    verifier.checksum(PART, manifest.parts[0].rows.sha256)
    with pytest.raises(ValueError, match="out of order"):
        verifier.checksum("plan.json", manifest.plan_sha256)
    with pytest.raises(ValueError, match="out of order"):
        verifier.end(HASHES)
