"""The cutover file: what a switch stands on, kept in the archive."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.archive.support import filled, path_of, rows
from vecferry.archive import Archive, Changes, DamageKind, verify
from vecferry.errors import ArchiveDamaged, BadRecord
from vecferry.model import Receipt

STATEMENT = {"migration": "docs-1", "epoch": 2, "config": {"text": "\ud800 ü", "n": 2**70}}


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return filled(tmp_path, [rows(0, 50), rows(50, 80)])


def write(archive: Archive) -> Receipt:
    receipt = archive.write_cutover(STATEMENT, [archive.read_hashes(number).batch for number in (0, 1)])
    archive.commit(Changes(cutover=receipt))
    return receipt


def test_rows_and_statement_come_back_as_they_were_written(archive: Archive) -> None:
    """What a switch stands on can be read from the archive alone."""
    receipt = write(archive)
    again = Archive.open(Path(archive.place).parent, "docs")
    assert again.cutover_statement() == STATEMENT
    found = pa.Table.from_batches(again.read_cutover())
    assert found.num_rows == receipt.rows == 80
    assert found.equals(
        pa.Table.from_batches([archive.read_hashes(number).batch for number in (0, 1)]).select(found.schema.names)
    )
    assert again.manifest().cutover == receipt
    assert verify(again, deep=True).sound


def test_a_later_switch_replaces_the_file(archive: Archive) -> None:
    """The manifest lists the last one."""
    write(archive)
    receipt = archive.write_cutover({"epoch": 4}, [archive.read_hashes(0).batch])
    archive.commit(Changes(cutover=receipt))
    assert archive.cutover_statement() == {"epoch": 4}
    assert archive.manifest().cutover == receipt
    assert verify(archive, deep=True).sound


def test_a_file_that_no_manifest_lists_yet_is_no_damage(archive: Archive) -> None:
    """A run that died between the file and the manifest leaves a sound archive."""
    archive.write_cutover(STATEMENT, [archive.read_hashes(0).batch])
    assert verify(archive, deep=True).sound
    assert archive.manifest().cutover is None


def test_a_changed_file_is_found(archive: Archive) -> None:
    """A flipped bit is damage, and reading it says so."""
    write(archive)
    path = path_of(archive, "cutover.parquet")
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0x40
    path.write_bytes(data)
    found = {(item.kind, item.path) for item in verify(archive, deep=True).damages}
    assert (DamageKind.CHANGED, "cutover.parquet") in found
    with pytest.raises(ArchiveDamaged):
        list(archive.read_cutover())


def test_a_missing_file_is_found(archive: Archive) -> None:
    """A manifest that lists one stands on it."""
    write(archive)
    path_of(archive, "cutover.parquet").unlink()
    assert [item.kind for item in verify(archive, deep=True).damages] == [DamageKind.MISSING]
    with pytest.raises(ArchiveDamaged):
        archive.cutover_statement()


def test_an_id_may_stand_there_once(archive: Archive) -> None:
    """Two rows of one record would be two ways back."""
    block = archive.read_hashes(0).batch
    with pytest.raises(BadRecord, match="comes twice"):
        archive.write_cutover(STATEMENT, [block, block])
