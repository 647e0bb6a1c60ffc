"""Indexes of every kind, made by FAISS alone: ids and vectors as they were added, or the loss told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from tests.stores.faiss_index import raw
from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import parse
from vecferry.config import make_config
from vecferry.contract import Reader, Source
from vecferry.errors import BadRecord, NotFound, StoreRefused
from vecferry.model import IdKind, Metric, Part, RecordId
from vecferry.operations import look
from vecferry.stores import registry
from vecferry.testing.conformance import Place, SourceConformance

pytestmark = pytest.mark.slow

ROWS = 120
VECTORS = raw.numbers(ROWS)
OWN = np.random.default_rng(5).permutation(np.arange(ROWS) * 7 - 300)
"""Ids of an index's own, some negative, in no order."""

PLAIN = ("Flat", "HNSW8", "IVF4,Flat", "IVF60,Flat", "IVF4_HNSW8,Flat")
OTHER_EXACT = ("PQ4x4,RFlat", "IVF4,Flat,RFlat", "FlatL2Panorama2", "IVF4,FlatPanorama2")
LOSSY = ("SQfp16", "SQ8", "PQ4x4", "HNSW8,SQ8", "IVF4,SQfp16", "IVF4,PQ4x4", "PCA4,Flat", "PCA4,IVF4,SQ8", "LSH")
MAPPED = ("IDMap,Flat", "IDMap2,Flat", "IDMap,HNSW8", "IDMap2,HNSW8", "IDMap2,IVF4,Flat", "IVF4,Flat")


def opened(path: Path, options: str = "", reader: Reader = Reader.FAST) -> Source:
    return registry.open_source(parse(f"faiss://{path}{options}"), reader)


def vectors_of(source: Source) -> dict[int, Any]:
    """Each vector by its integer id."""
    parts = frozenset({Part.VECTORS})
    found = [batch for part in source.slices(3) for batch in source.read(part, parts, batch_rows=17)]
    pairs = (
        (int(item.text), row)
        for batch in found
        for item, row in zip(batches.record_ids(batch), batches.dense_column(batch).values, strict=True)
    )
    return dict(pairs)


def assert_same(source: Source, ids: Any, vectors: raw.Numbers) -> None:
    found = vectors_of(source)
    assert sorted(found) == sorted(int(number) for number in ids)
    assert np.stack([found[int(number)] for number in ids]).tobytes() == vectors.tobytes()


class _Foreign(SourceConformance):
    """The reading half of the suite, over files that FAISS and `json` wrote."""

    words: str
    keys = OWN.tolist()

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"faiss://{tmp_path}/{name.replace(' ', '_')}.index")

    @pytest.fixture
    def expected(self, address):  # type: ignore[no-untyped-def]
        raw.build(address.file, self.words, VECTORS, self.keys)
        payloads = {
            str(key): {"n": row, "text": f'quo"te {row}', "deep": {"id": [None]}} for row, key in enumerate(self.keys)
        }
        address.file.with_suffix(".json").write_text(json.dumps(payloads, indent=1))
        return batches.make(
            list(payloads),
            [IdKind.INT64 if key < 0 else IdKind.UINT64 for key in self.keys],
            vectors={"": batches.dense_array(VECTORS)},
            documents=[None] * ROWS,
            payloads=[canonical.encode(payload) for payload in payloads.values()],
        )

    def test_capabilities_agree_with_the_records(self, source: Source, expected: Any) -> None:
        """A source may have negative ids, which no target of this kind takes."""
        kinds = {IdKind(kind) for kind in batches.id_kinds(expected)}
        assert source.describe().id_kinds == kinds
        assert kinds - source.capabilities().id_kinds <= {IdKind.INT64}


class TestOwnIds(_Foreign):
    """An IDMap2 with ids of the user's own."""

    words = "IDMap2,Flat"


class TestLists(_Foreign):
    """Inverted lists with ids of the user's own."""

    words = "IVF4,Flat"


@pytest.mark.parametrize("reader", Reader)
@pytest.mark.parametrize("words", PLAIN + OTHER_EXACT)
def test_vectors_come_out_bit_for_bit(tmp_path: Path, words: str, reader: Reader) -> None:
    """Indexes that keep vectors give them as they were added, by the row number as the id, to both readers."""
    raw.build(tmp_path / "i.index", words, VECTORS)
    source = opened(tmp_path / "i.index", reader=reader)
    assert_same(source, range(ROWS), VECTORS)
    assert not any("not exact" in note for note in source.describe().notes)
    assert source.describe().losses == ()


def test_a_graph_of_another_kind_gives_its_vectors(tmp_path: Path) -> None:
    """NSG needs some more rows to be built."""
    vectors = raw.numbers(1000)
    raw.build(tmp_path / "i.index", "NSG8,Flat", vectors)
    assert_same(opened(tmp_path / "i.index"), range(1000), vectors)


@pytest.mark.parametrize("reader", Reader)
@pytest.mark.parametrize("words", MAPPED)
def test_own_ids_stay_with_their_vectors(tmp_path: Path, words: str, reader: Reader) -> None:
    """Behind an IDMap, and in inverted lists, each vector keeps the id that it was added with, negative ones too."""
    raw.build(tmp_path / "i.index", words, VECTORS, OWN)
    assert_same(opened(tmp_path / "i.index", reader=reader), OWN, VECTORS)


@pytest.mark.parametrize("words", ["IDMap2,Flat", "IVF4,Flat"])
@pytest.mark.parametrize("reader", Reader)
def test_removed_ids_are_gone_and_the_others_keep_their_vectors(tmp_path: Path, words: str, reader: Reader) -> None:
    """After `remove_ids`, where reconstructing by row number gives other vectors, ids and vectors still agree."""
    index = raw.build(tmp_path / "i.index", words, VECTORS, OWN)
    index.remove_ids(OWN[5:40])
    faiss.write_index(index, str(tmp_path / "i.index"))
    rest = np.r_[0:5, 40:ROWS]
    assert_same(opened(tmp_path / "i.index", reader=reader), OWN[rest], VECTORS[rest])


@pytest.mark.parametrize("reader", Reader)
def test_ids_removed_from_a_map_over_lists_are_refused(tmp_path: Path, reader: Reader) -> None:
    """FAISS leaves such an index with wrong ids: nothing is guessed."""
    index = raw.build(tmp_path / "i.index", "IDMap2,IVF4,Flat", VECTORS, OWN)
    index.remove_ids(OWN[5:10])
    faiss.write_index(index, str(tmp_path / "i.index"))
    with pytest.raises(BadRecord, match="which id is whose"):
        opened(tmp_path / "i.index", reader=reader).describe()


@pytest.mark.parametrize("words", LOSSY)
def test_codes_come_out_as_faiss_reconstructs_them(tmp_path: Path, words: str) -> None:
    """What an index of codes gives is FAISS's own reconstruction, and every plan takes the loss over."""
    index = raw.build(tmp_path / "i.index", words, VECTORS)
    source = opened(tmp_path / "i.index")
    assert_same(source, range(ROWS), index.reconstruct_n(0, ROWS))
    schema = source.describe()
    assert any("not exact" in note for note in schema.notes)
    (loss,) = schema.losses
    assert (loss.feature, loss.outcome, loss.rows, loss.consent) == ("vectors", "lossy", ROWS, "reconstructed_vectors")


def test_a_plan_from_codes_asks_for_consent(tmp_path: Path) -> None:
    """Nothing moves from an index of codes unless somebody agreed to the vectors that it reconstructs."""
    raw.build(tmp_path / "i.index", "SQfp16", VECTORS)
    wanted = {"source": f"faiss://{tmp_path}/i.index", "target": f"faiss://{tmp_path}/new.index"}
    (refusal,) = look.preview(make_config(wanted)).mapping.refusals()
    assert (refusal.feature, refusal.consent) == ("vectors", "reconstructed_vectors")
    assert look.preview(make_config(wanted | {"consent": [refusal.consent]})).mapping.refusals() == ()
    assert not (tmp_path / "new.index").exists()


def test_codes_in_lists_keep_their_own_ids(tmp_path: Path) -> None:
    """Half precision in inverted lists: ids exact, vectors to half precision."""
    raw.build(tmp_path / "i.index", "IVF4,SQfp16", VECTORS, OWN)
    found = vectors_of(opened(tmp_path / "i.index"))
    assert set(found) == set(OWN.tolist())
    assert np.allclose(np.stack([found[number] for number in OWN.tolist()]), VECTORS, atol=2e-3)


@pytest.mark.parametrize(
    ("number", "metric"),
    [(0, Metric.DOT), (1, Metric.SQUARED_EUCLID), (2, Metric.MANHATTAN), (3, None)],
)
@pytest.mark.parametrize("reader", Reader)
def test_the_metric_is_read_from_the_index(tmp_path: Path, number: int, metric: Metric | None, reader: Reader) -> None:
    """Inner product, L2 and L1 have names here; another metric is told by its number and not guessed."""
    raw.build(tmp_path / "i.index", "Flat", VECTORS, metric=number)
    schema = opened(tmp_path / "i.index", reader=reader).describe()
    assert schema.vectors[0].metric is metric
    assert any("no name here" in note for note in schema.notes) == (metric is None)


@pytest.mark.parametrize("words", PLAIN)
def test_both_readers_say_the_same_of_an_index(tmp_path: Path, words: str) -> None:
    """The fast reader understands an index as FAISS does."""
    raw.build(tmp_path / "i.index", words, VECTORS)
    fast, public = (opened(tmp_path / "i.index", reader=reader).describe() for reader in Reader)
    assert fast == public


def test_dropped_vectors_are_told(tmp_path: Path) -> None:
    """FAISS counts a vector with NaN and stores it in no list: the count is what is there, and the note says so."""
    vectors = VECTORS.copy()
    index = raw.build(tmp_path / "i.index", "IVF4,Flat", VECTORS[:100])
    vectors[110, 2] = np.nan
    index.add(vectors[100:])
    faiss.write_index(index, str(tmp_path / "i.index"))
    source = opened(tmp_path / "i.index")
    assert source.count() == ROWS - 1
    assert any("counts 1 vectors" in note for note in source.describe().notes)


def test_nan_in_a_flat_index_is_data(tmp_path: Path) -> None:
    """A flat index keeps NaN and infinity, so they are read."""
    vectors = VECTORS.copy()
    vectors[3, 1], vectors[4, 2] = np.nan, -np.inf
    raw.build(tmp_path / "i.index", "Flat", vectors)
    assert_same(opened(tmp_path / "i.index"), range(ROWS), vectors)


@pytest.mark.parametrize("words", ["Flat", "IVF4,Flat", "HNSW8"])
def test_an_empty_index_has_no_records(tmp_path: Path, words: str) -> None:
    """An index that nothing was added to is read as that."""
    index = faiss.index_factory(4, words)
    faiss.write_index(index, str(tmp_path / "i.index"))
    source = opened(tmp_path / "i.index")
    assert source.count() == 0
    assert vectors_of(source) == {}


def test_ids_that_stand_twice_are_all_read(tmp_path: Path) -> None:
    """FAISS takes an id twice; both records come out, so that the inventory can refuse them."""
    raw.build(tmp_path / "i.index", "IDMap2,Flat", VECTORS[:4], [7, 8, 7, 9])
    source = opened(tmp_path / "i.index")
    found = [item for part in source.slices(1) for batch in source.read(part) for item in batches.record_ids(batch)]
    assert [item.text for item in found] == ["7", "8", "7", "9"]
    assert source.fetch(batches.ids_batch([RecordId(IdKind.UINT64, "7")])).num_rows == 2


@pytest.mark.parametrize("reader", Reader)
def test_lists_in_a_file_of_their_own_are_read(tmp_path: Path, reader: Reader) -> None:
    """OnDiskInvertedLists: both files are read, watched and backed up."""
    source = opened(raw.build_on_disk(tmp_path, "IVF4,Flat", VECTORS, OWN), reader=reader)
    assert_same(source, OWN, VECTORS)
    assert "lists.ivfdata" in {item.relative for item in source.files()}
    assert "lists.ivfdata" in source.fingerprint()


def test_a_data_file_is_looked_for_beside_the_index_only(tmp_path: Path) -> None:
    """A path in an index is not followed: the file must be in the index's folder."""
    path = raw.build_on_disk(tmp_path, "IVF4,Flat", VECTORS, OWN)
    (tmp_path / "moved").mkdir()
    path.rename(tmp_path / "moved" / path.name)
    with pytest.raises(NotFound, match=r"lists\.ivfdata is not beside it"):
        opened(tmp_path / "moved" / path.name).count()


@pytest.mark.parametrize("words", ["IVF4,PQ4x4fs", "PQ4x4fs", "IVF4,FlatDedup", "ITQ,LSH"])
def test_an_index_that_gives_no_vectors_back_is_refused(tmp_path: Path, words: str) -> None:
    """Classes from which FAISS cannot reconstruct, or dies trying, are refused by name."""
    raw.build(tmp_path / "i.index", words, VECTORS)
    with pytest.raises(StoreRefused, match=r"cannot be read|gives no vectors back"):
        opened(tmp_path / "i.index").describe()


def test_reading_leaves_every_byte_and_time(tmp_path: Path) -> None:
    """After everything was read by both readers the files are byte-identical, and no other file is there."""
    path = raw.build_on_disk(tmp_path, "IVF4,Flat", VECTORS, OWN)
    path.with_suffix(".json").write_text('{"-300": {"a": 1}}')
    before = {item.name: (item.read_bytes(), item.stat().st_mtime_ns) for item in tmp_path.iterdir()}
    for reader in Reader:
        with opened(path, reader=reader) as source:
            vectors_of(source)
            source.fetch(batches.ids_batch([RecordId(IdKind.INT64, "-300")]))
    assert {item.name: (item.read_bytes(), item.stat().st_mtime_ns) for item in tmp_path.iterdir()} == before
