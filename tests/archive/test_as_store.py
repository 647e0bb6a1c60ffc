from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest

from tests.archive.support import SCHEMA, TYPES, commit, filled, rows
from vecferry import address
from vecferry import batch as columns
from vecferry.archive.as_store import ArchiveSource
from vecferry.contract import Source
from vecferry.errors import ArchiveDamaged, BadOption, DataDiffer, NotFound, StoreRefused
from vecferry.model import ALL_PARTS, IDS_ONLY, IdKind, Part, RecordId
from vecferry.stores import registry

PARTS = [rows(0, 10), rows(10, 15), rows(15, 15), rows(15, 40)]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    filled(tmp_path, PARTS)
    return opened(tmp_path)


def opened(folder: Path, collection: str = "docs") -> Source:
    return registry.open_source(address.parse(f"archive://{folder}/{quote(collection, safe='')}"))


def test_an_archive_describes_the_collection_that_it_holds(source: Source) -> None:
    """The registry opens it by its URL; schema and count are the collection's own."""
    assert isinstance(source, ArchiveSource)
    assert source.describe() == SCHEMA
    assert source.count() == 40
    assert not source.capabilities().takes_writes


@pytest.mark.parametrize("n", [1, 2, 3, 4, 100])
def test_slices_cover_every_record_once(source: Source, n: int) -> None:
    """Any number of slices reads all parts in order, in the contract's schema."""
    slices = source.slices(n)
    assert len(slices) == min(n, 4)
    assert [part.number for part in slices] == list(range(len(slices)))
    assert [part.rows for part in slices] == [sum(b.num_rows for b in source.read(part)) for part in slices]
    found = [batch for part in slices for batch in source.read(part, ALL_PARTS, 7)]
    assert all(batch.num_rows <= 7 for batch in found)
    assert pa.concat_batches(found) == pa.concat_batches(PARTS)


@pytest.mark.parametrize("parts", [IDS_ONLY, {Part.VECTORS}, {Part.PAYLOAD, Part.DOCUMENT}, ALL_PARTS])
def test_reading_and_fetching_give_the_contracts_schema(source: Source, parts: frozenset[Part]) -> None:
    """Batches have no hash column and the columns that were asked for."""
    wanted = columns.arrow_schema(SCHEMA.vectors, frozenset(parts))
    ids = columns.ids_batch([RecordId(IdKind.UINT64, "3"), RecordId(IdKind.STRING, "3")])
    fetched = source.fetch(ids, frozenset(parts))
    assert fetched.schema == next(source.read(source.slices(1)[0], frozenset(parts))).schema == wanted
    assert columns.record_ids(fetched) == [RecordId(IdKind.UINT64, "3")]


def test_a_slice_of_an_archive_that_was_written_again_is_refused(source: Source, tmp_path: Path) -> None:
    """A plan reads the records that it was made for, or none."""
    old, before = source.slices(4), source.fingerprint()
    archive = filled(tmp_path, PARTS)
    commit(archive, [archive.write_part(1, TYPES, [rows(10, 15, seed=1)])], [])
    again = opened(tmp_path)
    assert again.fingerprint() != before
    with pytest.raises(DataDiffer, match="part 1"):
        list(again.read(old[1]))
    assert sum(batch.num_rows for batch in again.read(old[0])) == 10


def test_an_archive_without_records_has_a_slice_without_rows(tmp_path: Path) -> None:
    """An empty collection is a collection."""
    filled(tmp_path, [])
    source = opened(tmp_path)
    assert source.count() == 0
    assert [list(source.read(part)) for part in source.slices(3)] == [[]]


def test_an_incomplete_archive_is_not_a_source(tmp_path: Path) -> None:
    """A restore from half an archive would lose the other half in silence."""
    filled(tmp_path, PARTS, complete=False)
    with pytest.raises(ArchiveDamaged, match="not complete") as caught:
        opened(tmp_path)
    assert "resume" in caught.value.advice


def test_an_unknown_collection_or_option_is_named(tmp_path: Path) -> None:
    """Opening a wrong archive creates nothing and says what is there."""
    filled(tmp_path, PARTS)
    with pytest.raises(NotFound, match="'dogs'"):
        opened(tmp_path, "dogs")
    with pytest.raises(BadOption, match="'colour'"):
        registry.open_source(address.parse(f"archive://{tmp_path}/docs?colour=blue"))
    assert [path.name for path in tmp_path.iterdir()] == ["docs"]


def test_an_archive_is_filled_by_an_export_and_not_as_a_target(tmp_path: Path) -> None:
    """Record by record writing is refused with the command that does it."""
    with pytest.raises(StoreRefused, match="written once") as caught:
        registry.open_target(address.parse(f"archive://{tmp_path}/docs"))
    assert "vecferry export" in caught.value.advice
