"""The way back: originals from the archive where nobody wrote, what stands there now where somebody did."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.support.migrating import Harness, fill, mixed_batch
from tests.transfer.support import name, one
from vecferry import address
from vecferry import batch as columns
from vecferry.contract import Source, Target
from vecferry.mapping import Mapping
from vecferry.model import ALL_PARTS, IDS_ONLY, Part
from vecferry.stores import registry
from vecferry.testing.rows import Row, read_all, rows_of
from vecferry.transfer.decoded import DecodedSource, mapping_of
from vecferry.transfer.originals import OriginalSource, in_original_terms

ROWS = 260
ORIGINALS = rows_of([mixed_batch(ROWS)])


class Migrated:
    """A collection moved into an engine that rounds payload floats and knows neither string ids nor documents."""

    def __init__(self, folder: Path, source: str) -> None:
        fill(source, [mixed_batch(ROWS)])
        self.source, self.harness = source, Harness(folder)
        self.url = f"qdrant+edge://{folder}/edge/docs"
        self.archive = folder / "archive"
        self.harness.migrate(source, self.url, slice_rows=100, archive=str(self.archive))

    def folder(self) -> Path:
        """The collection's folder in the archive."""
        return next(path.parent for path in self.archive.rglob("manifest.json"))

    def target(self) -> Target:
        return registry.open_target(address.parse(self.url))

    def mapping(self) -> Mapping:
        with self.target() as target:
            mapping = mapping_of(target.describe().mark)
        assert mapping is not None
        return mapping

    def write(self, *records: pa.RecordBatch) -> None:
        """What an application would write: records in the target's own terms."""
        mapping = self.mapping()
        with self.target() as target:
            for record in records:
                target.write(mapping.forward(record))

    def rows(self, parts: frozenset[Part] = ALL_PARTS, slices: int = 2) -> dict[object, Row]:
        with in_original_terms(registry.open_source(address.parse(self.url))) as source:
            return dict(read_all(source, parts, slices, batch_rows=37))


@pytest.fixture
def migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Migrated:
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    return Migrated(tmp_path, f"memory:///{request.node.name}")


def opened_once(url: str) -> Source:
    """The source as it is opened, closed again."""
    with in_original_terms(registry.open_source(address.parse(url))) as source:
        return source


def test_untouched_records_come_back_bit_for_bit_in_any_slices_and_parts(migrated: Migrated) -> None:
    """The engine keeps unit vectors and other floats; vecferry gives what was there before."""
    with migrated.target() as target:
        stored = read_all(target)
    assert not {row.payload for row in stored.values()} & {row.payload for row in ORIGINALS.values()}
    for slices in (1, 2, 5):
        assert migrated.rows(slices=slices) == ORIGINALS
    ids_alone = migrated.rows(IDS_ONLY)
    assert ids_alone.keys() == ORIGINALS.keys()
    texts = migrated.rows(frozenset({Part.PAYLOAD, Part.DOCUMENT}))
    assert {key: (row.document, row.payload) for key, row in texts.items()} == {
        key: (row.document, row.payload) for key, row in ORIGINALS.items()
    }


def test_a_record_that_was_written_since_shows_what_stands_there_now(migrated: Migrated) -> None:
    """The new payload and text come back; the vector, which nobody touched, is the original."""
    migrated.write(one(8, payload='{"price":1.5}', document="New words"))
    found = migrated.rows()
    changed = found.pop(name(8))
    assert (changed.payload, changed.document) == (b'{"price":1.5}', "New words")
    assert changed.vectors == ORIGINALS[name(8)].vectors
    assert found == {key: row for key, row in ORIGINALS.items() if key != name(8)}


def test_a_new_vector_comes_back_as_stored_and_the_payload_as_it_was(migrated: Migrated) -> None:
    """Each part is judged by itself: the vector is the engine's unit vector, the payload's floats are the originals."""
    vector = np.arange(1, 9, dtype=np.float32)
    migrated.write(one(8, vector=vector.tolist()))
    changed = migrated.rows()[name(8)]
    assert changed.payload == ORIGINALS[name(8)].payload
    assert changed.document == ORIGINALS[name(8)].document
    dtype, shape, content = changed.vectors[""]
    assert (dtype, shape) == ("float32", (8,))
    assert np.allclose(np.frombuffer(content, np.float32), vector / np.linalg.norm(vector), rtol=1e-6)


@pytest.mark.slow
def test_deleted_records_stay_deleted_and_new_ones_come(migrated: Migrated) -> None:
    """The archive brings nothing back that the application removed, and hides nothing that it added."""
    with migrated.target() as target:
        target.delete(migrated.mapping().forward(columns.ids_batch([name(5), name(150)])))
    migrated.write(mixed_batch(3, first=ROWS, documents=False))
    found = migrated.rows()
    assert ORIGINALS.keys() - found.keys() == {name(5), name(150)}
    assert found.keys() - ORIGINALS.keys() == {name(ROWS + number) for number in range(3)}
    assert all(found[key] == ORIGINALS[key] for key in found.keys() & ORIGINALS.keys())
    assert found[name(ROWS)].document is None


def test_a_point_read_gives_the_bits_that_a_read_gives(migrated: Migrated) -> None:
    """Asked for by id, records are as they are among all: originals where untouched, what stands there elsewhere."""
    migrated.write(one(3, payload='{"price":0.1}'), one(5, document="Other"), mixed_batch(4, first=ROWS))
    with migrated.target() as target:
        target.delete(migrated.mapping().forward(columns.ids_batch([name(7)])))
    whole = migrated.rows()
    assert {item for item, row in whole.items() if row != ORIGINALS.get(item)} >= {name(3), name(5), name(ROWS)}
    with opened_once(migrated.url) as source:
        found = source.fetch(columns.ids_batch([*whole, name(7), name(9999)]))  # type: ignore[list-item]
        assert rows_of([found]) == whole
        (vectors,) = [source.fetch(columns.ids_batch([name(3), name(4)]), frozenset({Part.VECTORS}))]
        assert {item: row.vectors for item, row in rows_of([vectors]).items()} == {
            item: whole[item].vectors for item in (name(3), name(4))
        }


def _is_gone(migrated: Migrated) -> None:
    shutil.rmtree(migrated.archive)


def _is_not_whole(migrated: Migrated) -> None:
    (migrated.folder() / "manifest.json").unlink()


def _is_of_another_run(migrated: Migrated) -> None:
    """The folder holds a whole archive of a collection of that name, made by a later migration."""
    _is_gone(migrated)
    parent = migrated.archive.parent
    migrated.harness.migrate(
        migrated.source, f"qdrant+edge://{parent}/edge/again", archive=str(migrated.archive), route="again"
    )


@pytest.mark.slow
@pytest.mark.parametrize("archive", [_is_gone, _is_not_whole, _is_of_another_run])
def test_without_its_archive_a_collection_is_decoded_and_says_so(
    migrated: Migrated, archive: Callable[[Migrated], None]
) -> None:
    """Ids, texts and types come back by the mark alone; floats and lengths stay as the engine keeps them."""
    archive(migrated)
    with in_original_terms(registry.open_source(address.parse(migrated.url))) as source:
        assert type(source) is DecodedSource
        assert any("is not here: values stay as stored" in note for note in source.describe().notes)
    found = migrated.rows()
    assert found.keys() == ORIGINALS.keys()
    assert {key: row.document for key, row in found.items()} == {key: row.document for key, row in ORIGINALS.items()}
    assert found != ORIGINALS


def test_a_collection_that_vecferry_did_not_make_is_read_as_it_is(request: pytest.FixtureRequest) -> None:
    """Without a mark there is nothing to undo."""
    url = f"memory:///{request.node.name}"
    fill(url, [mixed_batch(5)])
    source = opened_once(url)
    assert not isinstance(source, DecodedSource)


@pytest.mark.slow
def test_records_that_stayed_behind_do_not_shift_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Records without a vector stay in the archive; all others come back under their own ids, in whichever parts."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    source, url = f"memory:///{request.node.name}", f"numpy://{tmp_path}/target/docs.npy"
    behind = (0, 7, 100, 199)
    fill(source, [mixed_batch(200), *(one(number, vector=None) for number in behind)])
    harness = Harness(tmp_path)
    ref = harness.migrate(source, url, slice_rows=70, consent=["missing_vectors"])
    assert harness.route(ref).url == url
    assert isinstance(opened_once(url), OriginalSource)
    wanted = rows_of([mixed_batch(200)])
    for number in behind:
        del wanted[name(number)]
    for parts in (ALL_PARTS, frozenset({Part.PAYLOAD, Part.DOCUMENT}), IDS_ONLY):
        with in_original_terms(registry.open_source(address.parse(url))) as again:
            found = read_all(again, parts, batch_rows=30)
        assert found.keys() == wanted.keys()
        if Part.PAYLOAD in parts:
            assert all(row.payload == wanted[key].payload for key, row in found.items())
            assert all(row.document == wanted[key].document for key, row in found.items())
        if Part.VECTORS in parts:
            assert found == wanted
