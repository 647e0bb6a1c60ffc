"""The golden archive of format version 1.1: deltas both ways, a lost conflict, a cutover file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.golden import make_archive_v1_1 as golden
from vecferry.archive import Archive, verify

FOLDER = Path(golden.__file__).parent
MANIFEST_SHA256 = "8e868d35ef65da5ec234608029077cd0e54c51e0a3590cfc8ddb1f8a2128b6d5"
EXPECTED_SHA256 = "d03033ad9adbb285d75edaaefbe1996ec3ae42d6dc7738358a1361ba8ce62a53"
CONFLICTS_SHA256 = "c33a65dffd4e3cd4668b82c2b53d30624be0265a49da7b95eecd085299b08764"
"""No manifest lists the conflicts."""


@pytest.fixture
def archive() -> Archive:
    return Archive.open(FOLDER / "archive-v1-1", golden.COLLECTION)


def test_the_golden_archive_was_never_edited(archive: Archive) -> None:
    """The manifest, which holds the checksums of the other files, and what is expected are as on the first day."""
    assert hashlib.sha256(archive.storage.read("manifest.json")).hexdigest() == MANIFEST_SHA256
    assert hashlib.sha256(archive.storage.read("conflicts/00002.parquet")).hexdigest() == CONFLICTS_SHA256
    assert hashlib.sha256((FOLDER / "archive-v1-1.expected.json").read_bytes()).hexdigest() == EXPECTED_SHA256


def test_the_golden_archive_is_sound(archive: Archive) -> None:
    """An archive of format version 1.1 verifies in full, deltas and cutover file included."""
    found = verify(archive, deep=True)
    assert found.damages == ()
    assert (found.rows, found.files) == (11, 10)


def test_the_golden_archive_gives_what_went_in(archive: Archive) -> None:
    """Deltas, their hashes, the lost version, the cutover file, and the collection as it is by all of them."""
    wanted = json.loads((FOLDER / "archive-v1-1.expected.json").read_text())
    assert json.loads(json.dumps(golden.found_in(archive))) == wanted


def test_the_golden_manifest_knows_what_the_collection_became(archive: Archive) -> None:
    """The digest of the parts is that of version 1.0's golden archive; the current one counts the deltas."""
    manifest = archive.manifest()
    assert str(manifest.digest) == "7-384798428cc3afb47903dd12f2a4e51a"
    assert str(manifest.current) == "7-75e0882c609fbc1a4f8518aefb037811"
    assert [(delta.direction, delta.closing) for delta in manifest.deltas] == [("forward", 1), ("reverse", 2)]
    assert manifest.to_bytes() == archive.storage.read("manifest.json")
