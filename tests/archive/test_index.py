from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.archive.support import TYPES, commit, filled, rows, same_bits
from vecferry import batch as columns
from vecferry import sealing
from vecferry.archive import Archive
from vecferry.archive.index import IdIndex
from vecferry.model import IDS_ONLY, IdKind, Part, RecordId

# Few distinct bytes at both ends, so that whole hashes and their first halves collide.
HASH = st.tuples(st.sampled_from([0, 1, 255]), st.sampled_from([0, 1])).map(
    lambda ends: bytes([ends[0]]) + bytes(14) + bytes([ends[1]])
)


def array_of(hashes: list[bytes]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.frombuffer(b"".join(hashes), dtype=np.uint8).reshape(-1, 16)


@given(st.lists(st.lists(HASH, max_size=4), max_size=4), st.lists(HASH, max_size=6))
def test_an_index_finds_what_a_dictionary_finds(parts: list[list[bytes]], wanted: list[bytes]) -> None:
    """Each id is found at the first place that it has, and an absent one nowhere."""
    index = IdIndex((number, [array_of(part)]) for number, part in enumerate(parts))
    places: dict[bytes, tuple[int, int]] = {}
    for number, part in enumerate(parts):
        for row, item in enumerate(part):
            places.setdefault(item, (number, row))
    found = {(number, row) for number, rows_ in index.find(array_of(wanted)).items() for row in rows_}
    assert found == {places[item] for item in wanted if item in places}
    assert len(index) == sum(map(len, parts))


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return filled(tmp_path, [rows(0, 12_000), rows(12_000, 12_000), rows(12_000, 20_000)], hashes=False)


def test_a_thousand_records_are_fetched_by_id_from_all_parts(archive: Archive) -> None:
    """The records asked for come, each once and bit for bit, and absent ids do not."""
    wanted = np.random.default_rng(1).permutation(20_000)[:1000].tolist()
    ids = [RecordId(IdKind.UINT64, str(number)) for number in wanted]
    absent = [RecordId(IdKind.UINT64, "20000"), RecordId(IdKind.STRING, str(wanted[0]))]
    found = archive.fetch(columns.ids_batch([*ids, *absent, ids[0]]))
    assert sorted(columns.record_ids(found)) == sorted(ids)
    everything = pa.concat_batches([sealing.seal(rows(0, 12_000)), sealing.seal(rows(12_000, 20_000))])
    order = [int(text) for text in columns.id_texts(found).to_pylist()]
    assert same_bits(found, everything.take(pa.array(order)))


def test_a_fetch_gives_only_the_parts_that_were_asked_for(archive: Archive) -> None:
    """Columns that nobody wants are not read."""
    ids = columns.ids_batch([RecordId(IdKind.UINT64, "13000")])
    for parts in (IDS_ONLY, frozenset({Part.PAYLOAD})):
        found = archive.fetch(ids, parts)
        assert found.num_rows == 1
        assert found.schema == columns.arrow_schema(columns.fields_of(TYPES), parts, sealed=True)


def test_fetching_nothing_gives_an_empty_batch_of_the_collections_schema(archive: Archive) -> None:
    """No ids, or none that are here, are not an error."""
    for ids in ([], [RecordId(IdKind.UUID, "00000000-0000-0000-0000-000000000000")]):
        found = archive.fetch(columns.ids_batch(ids))
        assert found.num_rows == 0
        assert found.schema == columns.arrow_schema(columns.fields_of(TYPES), sealed=True)


def test_a_fetch_sees_the_parts_of_the_newest_commit(archive: Archive) -> None:
    """The index does not outlive the manifest that it was made from."""
    ids = columns.ids_batch([RecordId(IdKind.UINT64, "20000")])
    assert archive.fetch(ids).num_rows == 0
    commit(archive, [archive.write_part(3, TYPES, [rows(20_000, 20_001)])], [])
    assert archive.fetch(ids).num_rows == 1
