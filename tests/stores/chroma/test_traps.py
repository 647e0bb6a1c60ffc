"""Habits of Chroma that lose or change data in silence, and that its stores must not pass on, folder or server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from chromadb.errors import ChromaError

from tests.support.chroma_server import ChromaServer
from vecferry import batch as batches
from vecferry import canonical
from vecferry.address import Address, parse
from vecferry.contract import Reader, Source, Target
from vecferry.errors import BadRecord, NotFound, StoreRefused, TargetNotEmpty
from vecferry.mapping import floats
from vecferry.model import ALL_PARTS, CollectionSchema, IdKind, Metric, Part, RecordId, VectorField
from vecferry.stores import registry
from vecferry.testing.rows import Row, read_all, rows_of

from . import folders, raw

DIMENSION = 4
MARK = {"migration": "m-1"}


@dataclass(frozen=True)
class Place:
    """Where a test's collections are, and Chroma's own client there."""

    address: Callable[[str], Address]
    client: Callable[[], contextlib.AbstractContextManager[Any]]

    def target(self, name: str = "records", reader: Reader = Reader.FAST) -> Target:
        return registry.open_target(self.address(name), reader)

    def source(self, name: str = "records") -> Source:
        return registry.open_source(self.address(name))

    def raw(self, name: str = "records") -> dict[str, raw.RawRow]:
        with self.client() as client:
            return raw.raw_rows(client, self.name(name))

    def name(self, name: str) -> str:
        return self.address(name).collection()


@pytest.fixture(params=["folder", "server"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """A fresh place of each kind."""
    if request.param == "folder":
        folder = tmp_path / "folder"
        return Place(lambda name: parse(f"chroma+path://{folder}/{name}"), lambda: folders.client(folder))
    server: ChromaServer = request.getfixturevalue("chroma")
    prefix = uuid4().hex
    return Place(lambda name: parse(f"{server.url}/{prefix}-{name}"), lambda: contextlib.closing(server.client()))


def vectors(rows: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((rows, DIMENSION)).astype(np.float32)


def records(
    ids: Sequence[str],
    payloads: Sequence[dict[str, Any]] | None = None,
    documents: Sequence[str | None] | None = None,
    numbers: Any = None,
) -> pa.RecordBatch:
    return batches.make(
        list(ids),
        IdKind.STRING,
        vectors={"": batches.dense_array(vectors(len(ids)) if numbers is None else numbers)},
        documents=list(documents or [None] * len(ids)),
        payloads=canonical.encode_many(payloads or [{}] * len(ids)),
    )


def create(target: Target, metric: Metric = Metric.SQUARED_EUCLID) -> None:
    field = VectorField(dimension=DIMENSION, metric=metric)
    target.create(CollectionSchema("any", (field,), frozenset({IdKind.STRING}), has_document=True), MARK)


@contextlib.contextmanager
def created(place: Place, metric: Metric = Metric.SQUARED_EUCLID) -> Iterator[Target]:
    with place.target() as target:
        create(target, metric)
        yield target


def payload_of(rows: dict[RecordId, Row], text: str) -> Any:
    return canonical.decode(rows[RecordId(IdKind.STRING, text)].payload or b"null")


# Writing


def test_an_upsert_that_would_merge_replaces_the_record(place: Place) -> None:
    """Keys, lists, documents and uris of a stored record go, whatever the new one has, and again on a second write."""
    old = {"stays": "old", "list": ["a", "b"], "retyped": ["x"], "relisted": "x", "gone": 1, "flag": True}
    with created(place), place.client() as client:
        collection = client.get_collection(place.name("records"), embedding_function=None)
        names = ["document", "none", "empty"]
        collection.add(
            ids=names, embeddings=vectors(3), metadatas=[old] * 3, documents=["old"] * 3, uris=["http://old"] * 3
        )
    new = [{"stays": "new", "retyped": "x", "relisted": ["y"]}, {"other": 1.5}, {}]
    batch = records(names, new, ["new", None, ""])
    with place.target() as target:
        target.write(batch)
        target.write(batch)
        assert read_all(target) == rows_of([batch])
    found = place.raw()
    assert [found[name].payload for name in names] == new
    assert [found[name].document for name in names] == ["new", None, ""]


def test_writing_a_stored_id_is_not_ignored(place: Place) -> None:
    """Chroma's `add` keeps the old record without a word; a write here is the new one, its vector included."""
    with created(place) as target:
        target.write(records(["a"], [{"n": 1}], ["old"]))
        newer = records(["a"], [{"n": 2}], ["new"], vectors(1, seed=9))
        target.write(newer)
        assert read_all(target) == rows_of([newer])


@pytest.mark.parametrize("metric", [Metric.DOT, Metric.COSINE])
def test_writing_again_leaves_vectors_in_place_and_moves_changed_ones(place: Place, metric: Metric) -> None:
    """Of a batch written again, records with the same vector get new texts, others a new vector, and new ones come."""
    names = ["same", "text", "vector", "shorter"]
    first = records(names, [{"n": 1, "tags": ["a"]}] * 4, ["old"] * 4)
    numbers = vectors(5)
    numbers[2] += 1
    second = records(
        [*names, "new"],
        [{"n": 1, "tags": ["a"]}, {"m": 2}, {"n": 3}, {}, {"n": 5}],
        ["old", "new", "old", None, ""],
        numbers,
    )
    with created(place, metric) as target:
        target.write(first)
        kept = read_all(target)
        target.write(second)
        found = read_all(target)
        assert {item: (row.document, row.payload) for item, row in found.items()} == {
            item: (row.document, row.payload) for item, row in rows_of([second]).items()
        }
        back = batches.dense_column(target.fetch(batches.ids_of(second.slice(2, 1)))).values
        assert np.allclose(back, numbers[2:3], rtol=4e-6)
    unmoved = [item for item in kept if found[item].vectors == kept[item].vectors]
    assert {item.text for item in unmoved} == {"same", "text", "shorter"}


def test_lists_of_a_dropped_collection_do_not_enter_new_records(place: Place) -> None:
    """Chroma leaves lists behind when a collection is deleted, and new records are born with them: not these."""
    name = place.name("dropped")
    with place.client() as client:
        before = client.create_collection(name, embedding_function=None)
        before.add(ids=["a", "b", "c"], embeddings=vectors(3), metadatas=[{"tags": ["x", "y"], "more": [1]}] * 3)
        client.delete_collection(name)
        after = client.create_collection(name, embedding_function=None)
        after.add(ids=["born"], embeddings=vectors(1))
        assert after.get()["metadatas"] == [{"tags": ["x", "y"], "more": [1]}], "Chroma has been repaired"
        after.delete(ids=["born"])
        after.add(ids=["one", "two"], embeddings=vectors(2), metadatas=[{"tags": ["x"]}] * 2)
        client.delete_collection(name)
    with created(place) as target:
        batch = records(["n1", "n2", "n3"], [{}, {"tags": ["new"]}, {"k": 1}])
        target.write(batch)
        assert read_all(target) == rows_of([batch])


def test_dropping_leaves_no_lists_behind(place: Place) -> None:
    """After `drop`, records of other collections do not show the lists of the dropped one."""
    with created(place) as target:
        target.write(records(["a", "b"], [{"tags": ["x"]}, {"tags": "x"}]))
        target.drop()
    with place.client() as client:
        collection = client.create_collection(place.name("other"), embedding_function=None)
        collection.add(ids=["n1", "n2"], embeddings=vectors(2))
        assert collection.get()["metadatas"] == [None, None]


def test_what_chroma_would_change_is_refused_before_it_is_written(place: Place) -> None:
    """A value that poisons the collection, or is dropped, is an error with id and key, and nothing is stored."""
    with created(place) as target:
        for value in ([1.0, float("nan")], []):
            with pytest.raises(BadRecord, match="record 'bad': 'key' is"):
                target.write(records(["good", "bad"], [{"fine": 1}, {"fine": 1, "key": value}]))
        assert target.count() == 0


@pytest.mark.parametrize(("value", "kept"), [(-0.0, 0.0), (2**63, 2.0**63), (632 / 7, 90.28571428571428)])
def test_chroma_changes_numbers_in_silence(place: Place, value: float, kept: float) -> None:
    """Its client stores another number than it was given, without a word; here it is refused, or told beforehand."""
    with created(place) as target:
        with place.client() as client:
            collection = client.get_collection(place.name("records"), embedding_function=None)
            collection.add(ids=["a"], embeddings=vectors(1), metadatas=[{"key": value}])
        stored = payload_of(read_all(target), "a")["key"]
        assert (repr(stored), repr(kept) != repr(value)) == (repr(kept), True)
        if value == 632 / 7:
            assert floats.predict(value, floats.PASSES[target.capabilities().payload.float_text]) == kept
        else:
            with pytest.raises(BadRecord, match="'b': 'key' is"):
                target.write(records(["b"], [{"key": value}]))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), []])
def test_values_that_chroma_drops_or_refuses_are_refused_here(place: Place, value: Any) -> None:
    """Its engine drops NaN and infinity in silence where its server says no, and neither has empty lists: nor here."""
    with created(place) as target, place.client() as client:
        collection = client.get_collection(place.name("records"), embedding_function=None)
        with contextlib.suppress(ChromaError, ValueError):
            collection.add(ids=["a"], embeddings=vectors(1), metadatas=[{"key": value, "n": 1}])
        shown = collection.get()["metadatas"]
        assert shown in ([], [{"n": 1}])
        assert bool(shown) == (value != [] and place.address("x").scheme == "chroma+path")
        with pytest.raises(BadRecord, match="'b': 'key' is"):
            target.write(records(["b"], [{"key": value}]))


def test_one_id_twice_in_a_batch_is_refused(place: Place) -> None:
    """Chroma would merge the two."""
    with created(place) as target, pytest.raises(BadRecord, match="'a' stands twice"):
        target.write(records(["a", "b", "a"]))


def test_a_cosine_vector_too_long_for_float32_is_refused(place: Place) -> None:
    """Chroma keeps its length as infinity and gives NaN back; other metrics keep the vector."""
    long = np.full((1, DIMENSION), 1e20, dtype=np.float32)
    with created(place, Metric.COSINE) as target, pytest.raises(BadRecord, match="'a' is longer than float32"):
        target.write(records(["a"], numbers=long))
    with place.target("dot") as target:
        create(target, Metric.DOT)
        target.write(records(["a"], numbers=long))
        assert read_all(target) == rows_of([records(["a"], numbers=long)])


def test_floats_are_stored_as_predicted_to_the_bit(place: Place) -> None:
    """Ordinary floats and random bit patterns, alone and in lists, come back as the capabilities' passes predict."""
    numbers = np.random.default_rng(5)
    wide = np.frombuffer(numbers.bytes(8 * 1000), dtype=np.float64)
    values = [*wide[np.isfinite(wide)].tolist(), *numbers.random(500).tolist(), 632 / 7, 4.95e-7]
    ids = [f"r{row}" for row in range(len(values))]
    with created(place) as target:
        passes = floats.PASSES[target.capabilities().payload.float_text]
        target.write(records(ids, [{"one": value, "list": [value, 0.5]} for value in values]))
        found = read_all(target, frozenset({Part.PAYLOAD}))
    wanted = [floats.predict(value, passes) for value in values]
    assert [payload_of(found, text) for text in ids] == [{"one": value, "list": [value, 0.5]} for value in wanted]
    assert sum(left != right for left, right in zip(wanted, values, strict=True)) > 100


# Opening and creating


def test_a_missing_collection_is_named_with_those_that_are_there(place: Place) -> None:
    """Opening what is not there makes nothing; the advice names the collections that are."""
    with created(place):
        pass
    with pytest.raises(NotFound) as raised, place.source("missing") as source:
        source.describe()
    assert place.name("records") in raised.value.advice
    with place.client() as client, pytest.raises(Exception, match="does not exist"):
        client.get_collection(place.name("missing"))


def test_create_does_not_take_what_is_there(place: Place) -> None:
    """Where `get_or_create` would return a collection with another metric, `create` refuses, and nothing changes."""
    with created(place, Metric.DOT) as target:
        target.write(records(["a"]))
        with pytest.raises(TargetNotEmpty):
            create(target, Metric.COSINE)
        assert target.describe().vectors[0].metric is Metric.DOT
        assert target.count() == 1


@pytest.mark.parametrize(
    "vectors",
    [
        (),
        (VectorField("named", dimension=4, metric=Metric.DOT),),
        (VectorField(dimension=4, metric=Metric.DOT), VectorField("b", dimension=4, metric=Metric.DOT)),
        (VectorField(dimension=None, metric=Metric.DOT),),
        (VectorField(dimension=4, metric=None),),
    ],
)
def test_a_schema_that_chroma_cannot_have_is_refused(place: Place, vectors: tuple[VectorField, ...]) -> None:
    """No vector, a named one, several, no dimension or no metric: refused before anything is made."""
    with place.target() as target:
        with pytest.raises(StoreRefused):
            target.create(CollectionSchema("any", vectors, frozenset({IdKind.STRING})), MARK)
        assert not target.exists()


def test_settings_beside_the_records_are_listed(place: Place) -> None:
    """Collection metadata and configuration are features, except vecferry's own; a mark of somebody else is none."""
    with place.client() as client:
        client.create_collection(
            place.name("records"),
            embedding_function=None,
            metadata={"team": "search", "vecferry": "not json"},
            configuration={"hnsw": {"space": "ip", "max_neighbors": 8}},
        )
    with place.source() as source:
        schema = source.describe()
        assert source.fetch(batches.ids_batch([RecordId(IdKind.STRING, "x")])).num_rows == 0
        assert read_all(source) == {}
    assert schema.mark is None
    assert (schema.vectors[0].metric, schema.vectors[0].dimension) == (Metric.DOT, None)
    said = {feature.name: feature.value for feature in schema.features}
    assert said["collection metadata 'team'"] == "search"
    assert '"max_neighbors":8' in said["configuration 'hnsw'"]


def test_the_true_metric_is_asked_for_where_two_places_disagree(place: Place) -> None:
    """Metadata that says another metric than the configuration does not decide: a distance of the index does."""
    told = {("ip", "l2"): Metric.DOT, ("cosine", "ip"): Metric.COSINE, ("l2", "cosine"): Metric.COSINE}
    with place.client() as client:
        for space, legacy in told:
            collection = client.create_collection(
                place.name(f"{space}-{legacy}"),
                embedding_function=None,
                metadata={"hnsw:space": legacy},
                configuration={"hnsw": {"space": space}},
            )
            collection.add(ids=["a", "b"], embeddings=vectors(2))
    for (space, legacy), metric in told.items():
        with place.target(f"{space}-{legacy}") as target:
            assert target.describe().vectors[0].metric is metric


def test_the_first_record_gives_a_foreign_collection_its_dimension(place: Place) -> None:
    """A collection that another client made, still empty, takes vectors of any dimension; then only of that one."""
    with place.client() as client:
        client.create_collection(place.name("records"), embedding_function=None)
    with place.target() as target:
        target.write(records(["a", "b"]))
        assert target.describe().vectors[0].dimension == DIMENSION
        with pytest.raises(BadRecord, match=r"holds vectors as .*\[4\]"):
            target.write(records(["c"], numbers=vectors(1)[:, :3]))
        assert read_all(target) == rows_of([records(["a", "b"])])


# Reading


def test_uris_travel_in_the_payload_and_back(place: Place) -> None:
    """A uri is the payload's `chroma:uri`; written so, it is a uri again."""
    with created(place), place.client() as client:
        collection = client.get_collection(place.name("records"), embedding_function=None)
        collection.add(ids=["a", "b"], embeddings=vectors(2), metadatas=[{"n": 1}] * 2, uris=["http://x", None])
    with place.source() as source:
        found = read_all(source)
    assert payload_of(found, "a") == {"n": 1, "chroma:uri": "http://x"}
    assert payload_of(found, "b") == {"n": 1}
    with place.target("copy") as target:
        create(target)
        batch = records(["a"], [{"n": 1, "chroma:uri": "http://x"}])
        target.write(batch)
        assert read_all(target) == rows_of([batch])
    with place.client() as client:
        copy = client.get_collection(place.name("copy"), embedding_function=None).get(include=["uris", "metadatas"])
    assert (copy["uris"], copy["metadatas"]) == (["http://x"], [{"n": 1}])


def test_more_ids_than_sqlite_has_variables_are_fetched(place: Place) -> None:
    """40,000 ids in one `fetch`, which Chroma refuses at once, give the records that are there."""
    batch = records([f"r{row}" for row in range(0, 40_000, 400)])
    with created(place) as target:
        target.write(batch)
        found = target.fetch(batches.ids_batch([RecordId(IdKind.STRING, f"r{row}") for row in range(40_000)]))
        assert rows_of([found]) == rows_of([batch])
        with place.target(reader=Reader.PUBLIC) as public:
            assert rows_of([public.fetch(batch.select([batches.ID, batches.ID_KIND]))]) == rows_of([batch])


def test_rows_deleted_meanwhile_are_not_mistaken_for_others(place: Place) -> None:
    """Records that are deleted before their page is asked for are left out; no other is skipped or comes twice."""
    batch = records([f"r{row:03d}" for row in range(140)])
    with created(place) as target:
        target.write(batch)
        [part] = target.slices(1)
        pages = target.read(part, ALL_PARTS, 20)
        found = [next(pages)]
        with place.target() as other:
            other.delete(batches.ids_batch([RecordId(IdKind.STRING, f"r{row:03d}") for row in range(90, 130)]))
        found += pages
    texts = [text for page in found for text in batches.id_texts(page).to_pylist()]
    assert texts == [f"r{row:03d}" for row in (*range(90), *range(130, 140))]
