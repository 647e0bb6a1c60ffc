from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pyarrow as pa
import pytest

from tests.golden import make_archive_v1 as golden
from vecferry import sealing
from vecferry.archive import Archive, verify

FOLDER = Path(golden.__file__).parent
MANIFEST_SHA256 = "9cc596211d0ea6c937940cb0f83c0d8c7a4e85c906974b4ae826c09025717b7a"
EXPECTED_SHA256 = "9d4857f7dc309ab89ddf0c4263fa9ec7521fe0c13a6ec1c9b5670caaf4d229c7"


@pytest.fixture
def archive() -> Archive:
    return Archive.open(FOLDER / "archive-v1", golden.COLLECTION)


def test_the_golden_archive_was_never_edited(archive: Archive) -> None:
    """The manifest, which holds the checksums of all other files, and the expected records are as on the first day."""
    assert hashlib.sha256(archive.storage.read("manifest.json")).hexdigest() == MANIFEST_SHA256
    assert hashlib.sha256((FOLDER / "archive-v1.expected.json").read_bytes()).hexdigest() == EXPECTED_SHA256


def test_the_golden_archive_is_sound(archive: Archive) -> None:
    """An archive of format version 1.0 verifies in full."""
    found = verify(archive, deep=True)
    assert found.damages == ()
    assert (found.rows, found.files) == (7, 5)


def test_the_golden_archive_gives_the_records_that_went_in(archive: Archive) -> None:
    """Ids, vectors, documents, payloads and hashes of every kind are read as they were written."""
    batches = [batch for number in archive.part_numbers() for batch in archive.read_part(number)]
    assert golden.expected(batches) == json.loads((FOLDER / "archive-v1.expected.json").read_text())


def test_the_golden_manifest_gives_the_collection_that_went_in(archive: Archive) -> None:
    """Schema, mapping, plan and digest are read as they were written."""
    manifest = archive.manifest()
    assert manifest.schema == golden.SCHEMA
    assert (manifest.generation, manifest.complete, manifest.fingerprint) == (2, True, "f-1")
    assert manifest.mapping == [{"feature": "metric", "outcome": "exact"}]
    assert str(manifest.digest) == "7-384798428cc3afb47903dd12f2a4e51a"
    assert archive.plan() == {"slices": 3, "version": 1}


def test_reading_and_writing_the_golden_manifest_changes_nothing(archive: Archive) -> None:
    """The text of a manifest survives being read and written."""
    assert archive.manifest().to_bytes() == archive.storage.read("manifest.json")


def test_the_golden_hashes_tell_what_was_found_in_the_target(archive: Archive) -> None:
    """One record of the first part was not in the target."""
    rows = archive.read_hashes(0)
    assert (len(rows), len(rows.target_hashes())) == (5, 4)
    sealed = pa.concat_batches(list(archive.read_part(0)))
    assert (rows.id_hashes() == sealing.hash_ids(sealed)).all()


def test_todays_code_writes_the_same_records_as_on_the_first_day(archive: Archive) -> None:
    """The golden records, sealed now, have the digests of the golden parts: no hash has drifted."""
    digests = [str(sealing.digest(sealing.seal(golden.batch_of(part)))) for part in (golden.FIRST, golden.SECOND)]
    assert digests == [part.rows.digest for part in archive.manifest().parts[:2]]


def test_the_golden_collection_is_found_by_its_name() -> None:
    """A name with a slash and an accent is one folder."""
    assert Archive.collections(FOLDER / "archive-v1") == [golden.COLLECTION]
