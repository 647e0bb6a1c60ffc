"""What milvus-lite leaves open, on a real Milvus: limits, consistency, partitions that are not loaded, indexes.

Collected with `VECFERRY_TEST_MILVUS_URL` alone; `test_referee.py` runs it beside Milvus 2.3.5.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from pymilvus import DataType, MilvusClient, MilvusException

from tests.support.milvus_server import RealServer
from vecferry import batch as batches
from vecferry import canonical
from vecferry.contract import Reader
from vecferry.errors import BadRecord, NotFound, StoreRefused
from vecferry.model import CollectionSchema, DType, IdKind, Metric, RecordId, VectorField
from vecferry.stores import registry
from vecferry.stores.milvus import capabilities
from vecferry.stores.milvus.checks import Limits
from vecferry.testing import generators
from vecferry.testing.rows import read_all, rows_of

from .raw import raw_rows
from .users import HOSTILE, make_plain

pytestmark = pytest.mark.slow

VECTOR = VectorField("", dimension=4, metric=Metric.COSINE)
SCHEMA = CollectionSchema("c", (VECTOR,), frozenset({IdKind.STRING}))


@pytest.fixture
def name(client: MilvusClient) -> Iterator[str]:
    """The name of a collection that a test makes; it goes at the end."""
    made = f"c{uuid4().hex}"
    yield made
    client.drop_collection(made)


def one_record(text: str, payload: bytes = b"{}", kind: IdKind = IdKind.STRING) -> pa.RecordBatch:
    """A record with four ones as its vector."""
    vectors = {"": batches.dense_array(np.ones((1, 4), dtype=np.float32))}
    return batches.make([text], kind, vectors=vectors, documents=[None], payloads=[payload])


# Consistency


def test_what_was_just_inserted_is_read_though_the_collection_is_bounded(
    server: RealServer, client: MilvusClient, name: str
) -> None:
    """Milvus's own iterator gives none of the fresh records of a collection with the default consistency; we all."""
    make_plain(client, name, list(range(500)))
    seen_by_client = sum(
        len(page) for page in _pages(client.query_iterator(name, batch_size=100, output_fields=["id"]))
    )
    for reader in Reader:
        with registry.open_source(server.address(name), reader) as source:
            assert source.count() == len(read_all(source)) == 500
    if _version(client) < (2, 4):
        assert seen_by_client < 500, "the iterator waits for fresh records by now: this trap is gone"


def _pages(iterator: Any) -> Iterator[list[Any]]:
    with contextlib.closing(iterator):
        while page := iterator.next():
            yield page


def _version(client: MilvusClient) -> tuple[int, ...]:
    return tuple(int(word) for word in client.get_server_version().lstrip("v").split("-")[0].split(".")[:2])


def test_a_key_that_was_inserted_twice_stops_the_reading(server: RealServer, client: MilvusClient, name: str) -> None:
    """A server keeps both records of a key, also of two partitions, and gives either: the key is named."""
    make_plain(client, name, list(range(40)))
    client.create_partition(name, "older")
    for key, where in ((7, "_default"), (33, "older")):
        client.insert(name, [{"id": key, "vector": [9.0] * 4, "n": "again"}], partition_name=where)
        with registry.open_source(server.address(name)) as source:
            assert source.count() == 41
            with pytest.raises(BadRecord, match=f"key {key} more than once") as caught:
                source.slices(2)
        assert "delete that key" in caught.value.advice
        client.delete(name, filter=f"id == {key}")
        client.insert(name, [{"id": key, "vector": [9.0] * 4}])
    with registry.open_source(server.address(name)) as source:
        assert len(read_all(source)) == source.count() == 40


def test_a_write_replaces_what_is_there(server: RealServer, client: MilvusClient, name: str) -> None:
    """Writing records again leaves each key once, with the last vector and payload, as the client sees it as well."""
    with registry.open_target(server.address(name)) as target:
        target.create(SCHEMA, {"m": 1})
        for seed in range(3):
            written = generators.records((VECTOR,), target.capabilities(), 60, seed=seed)
            target.write(written)
        target.finish_load()
        assert target.count() == 60
        assert read_all(target) == rows_of([written])
    assert len(raw_rows(client, name)) == 60


@pytest.mark.parametrize("reader", Reader)
def test_any_character_may_stand_in_a_key(server: RealServer, client: MilvusClient, name: str, reader: Reader) -> None:
    """Keys with quotes, backslashes, line breaks and none at all are read, fetched and deleted, each alone."""
    make_plain(client, name, list(HOSTILE))
    with registry.open_target(server.address(name), reader) as target:
        assert {item.text for item in read_all(target, slices=6)} == set(HOSTILE)
        for number, text in enumerate(HOSTILE):
            ids = batches.ids_batch([RecordId(IdKind.STRING, text)])
            assert [item.text for item in batches.record_ids(target.fetch(ids))] == [text]
            target.delete(ids)
            assert target.count() == len(HOSTILE) - number - 1


# Loading and indexes


def test_a_collection_of_which_a_part_is_loaded_is_refused(server: RealServer, client: MilvusClient, name: str) -> None:
    """A server counts and gives the records of loaded partitions alone, and calls the collection loaded."""
    make_plain(client, name, list(range(30)))
    client.create_partition(name, "older")
    client.insert(name, [{"id": 1000 + row, "vector": [1.0] * 4} for row in range(5)], partition_name="older")
    client.release_collection(name)
    client.load_partitions(name, ["older"])
    [seen] = client.query(name, filter="", output_fields=["count(*)"], consistency_level="Strong")
    assert seen["count(*)"] == 5
    with registry.open_source(server.address(name)) as source, pytest.raises(StoreRefused, match="not every partition"):
        source.count()
    with registry.open_source(server.address(name, "?load=true")) as source:
        assert source.count() == len(read_all(source)) == 35


def test_a_released_collection_is_refused_or_loaded(server: RealServer, client: MilvusClient, name: str) -> None:
    """A source that is not loaded is refused with the option that loads it."""
    make_plain(client, name, list(range(3)))
    client.release_collection(name)
    with registry.open_source(server.address(name)) as source:
        assert source.describe().id_kinds == {IdKind.INT64}
        with pytest.raises(StoreRefused, match="not loaded") as caught:
            source.count()
        assert "load=true" in caught.value.advice
    with registry.open_source(server.address(name, "?load=true")) as source:
        assert source.count() == 3


@pytest.mark.parametrize(
    ("options", "kind"), [("", "AUTOINDEX"), ("?index=flat", "FLAT"), ("?index=HNSW&m=8&ef_construct=40", "HNSW")]
)
def test_after_a_load_the_index_holds_every_record(
    server: RealServer, client: MilvusClient, name: str, options: str, kind: str
) -> None:
    """The index is of the kind asked for, holds all records, and the collection is loaded and can be searched."""
    with registry.open_target(server.address(name, options)) as target:
        target.create(SCHEMA, {"m": 1})
        written = generators.records((VECTOR,), target.capabilities(), 2000)
        with target.bulk_load():
            target.write(written)
        assert target.count() == 2000
        [index] = [one for one in target.describe().features if one.name.startswith("index")]
    assert f'"index_type":"{kind}"' in index.value
    assert '"metric_type":"COSINE"' in index.value
    found = client.describe_index(name, "vector")
    assert (found["indexed_rows"], found["pending_index_rows"], found["state"]) == (2000, 0, "Finished")
    [query] = batches.dense_column(written.slice(77, 1)).values.tolist()
    [hits] = client.search(name, data=[query], limit=1, consistency_level="Strong")
    assert hits[0]["id"] == batches.id_texts(written)[77].as_py()


def test_float16_vectors_are_read_as_they_are(server: RealServer, client: MilvusClient, name: str) -> None:
    """Vectors of 16-bit floats come with their type and bits."""
    fields = client.create_schema(auto_id=False, enable_dynamic_field=True)
    fields.add_field("id", DataType.INT64, is_primary=True)
    fields.add_field("vector", DataType.FLOAT16_VECTOR, dim=4)
    index = client.prepare_index_params()
    index.add_index("vector", index_type="FLAT", metric_type="L2")
    client.create_collection(name, schema=fields, index_params=index)
    numbers = np.array([[0.5, -0.0, 6e-8, 65504.0], [1.0, 0.1, -2.0, 0.25]], dtype=np.float16)
    client.insert(name, [{"id": row, "vector": numbers[row]} for row in range(2)])
    for reader in Reader:
        with registry.open_source(server.address(name), reader) as source:
            assert source.describe().vectors[0].dtype is DType.FLOAT16
            found = read_all(source)
        for row in range(2):
            assert found[RecordId(IdKind.INT64, str(row))].vectors[""][2] == numbers[row].tobytes()


def test_binary_vectors_are_refused_by_name(server: RealServer, client: MilvusClient, name: str) -> None:
    """A field of bits is nothing that is read here: the source is refused with the field's name."""
    fields = client.create_schema(auto_id=False)
    fields.add_field("id", DataType.INT64, is_primary=True)
    fields.add_field("bits", DataType.BINARY_VECTOR, dim=16)
    client.create_collection(name, schema=fields)
    with (
        registry.open_source(server.address(name)) as source,
        pytest.raises(StoreRefused, match=r"'bits'.*BinaryVector"),
    ):
        source.describe()


# Limits: what we refuse before a row moves is what the server would refuse, and nothing else


class _Unlimited(Limits):
    """No limits of our own, so that the server's show."""


def test_the_longest_payload_is_the_servers(server: RealServer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A payload of 65,536 bytes is kept, one more is refused here, and would be by the server."""
    most = capabilities.MAX_PAYLOAD_BYTES
    with registry.open_target(server.address(name)) as target:
        target.create(SCHEMA, {"m": 1})
        assert target.capabilities().payload.max_bytes == most
        target.write(one_record("kept", _payload(most)))
        with pytest.raises(BadRecord, match=r"'long'.*65,536"):
            target.write(one_record("long", _payload(most + 1)))
        monkeypatch.setattr(type(target), "limits", Limits())
        with pytest.raises(StoreRefused, match="exceeds max length"):
            target.write(one_record("long", _payload(most + 1)))
        assert target.count() == 1


def _payload(size_bytes: int) -> bytes:
    empty = canonical.encode({"text": ""})
    return canonical.encode({"text": "x" * (size_bytes - len(empty))})


def test_the_longest_key_is_the_servers(server: RealServer, name: str) -> None:
    """A key of 65,535 bytes of UTF-8 is kept; one more is refused here."""
    longest = "ü" * 32_767 + "x"
    with registry.open_target(server.address(name)) as target:
        target.create(SCHEMA, {"m": 1})
        target.write(one_record(longest))
        assert [one.text for one in batches.record_ids(target.fetch(one_record(longest)))] == [longest]
        with pytest.raises(BadRecord, match="65536 bytes"):
            target.write(one_record(longest + "x"))


def test_the_greatest_number_is_counted_and_never_given(server: RealServer, client: MilvusClient, name: str) -> None:
    """The id 2^63-1 that somebody inserted stops the reading by name; we refuse to write it and keep its neighbours."""
    most = 2**63 - 1
    with registry.open_target(server.address(name, "?ids=int64")) as target:
        target.create(replace(SCHEMA, id_kinds=frozenset({IdKind.INT64})), {"m": 1})
        kept = (-(2**63), -1, 0, most - 1)
        for number in kept:
            target.write(one_record(str(number), kind=IdKind.INT64))
        with pytest.raises(BadRecord, match=str(most)):
            target.write(one_record(str(most), kind=IdKind.INT64))
        assert {int(one.text) for one in read_all(target, slices=3)} == set(kept)
    client.insert(name, [{"id": most, "vector": [1.0] * 4}])
    with registry.open_source(server.address(name)) as source:
        assert source.count() == 5
        if len([*client.query(name, filter="id > 0", output_fields=["id"], consistency_level="Strong")]) == 1:
            with pytest.raises(BadRecord, match=f"{most}, which it counts and never gives"):
                source.slices(1)


@pytest.mark.parametrize(("dimension", "is_held"), [(32_768, True), (32_769, False)])
def test_the_largest_dimension_is_the_servers(
    server: RealServer, client: MilvusClient, name: str, dimension: int, is_held: bool
) -> None:
    """32,768 dimensions make a collection; one more is refused here with the number, and by the server."""
    schema = replace(SCHEMA, vectors=(replace(VECTOR, dimension=dimension),))
    with registry.open_target(server.address(name)) as target:
        with contextlib.nullcontext() if is_held else pytest.raises(StoreRefused, match="32,769"):
            target.create(schema, {"m": 1})
        assert target.exists() is is_held
    if not is_held:
        with pytest.raises(MilvusException, match="dimension"):
            client.create_collection(name, dimension=dimension)


def test_vector_fields_are_as_many_as_claimed(server: RealServer, name: str) -> None:
    """As many vectors as the capabilities say make a collection; one more is refused, and nothing is left behind."""
    with registry.open_target(server.address(name)) as target:
        most = target.capabilities().vectors.max_fields or 0
        vectors = tuple(replace(VECTOR, name=f"v{number}") for number in range(most + 1))
        with pytest.raises(StoreRefused):
            target.create(replace(SCHEMA, vectors=vectors), {"m": 1})
        assert not target.exists()
        target.create(replace(SCHEMA, vectors=vectors[:most]), {"m": 1})
        written = generators.records(vectors[:most], target.capabilities(), 20)
        target.write(written)
        assert read_all(target) == rows_of([written])


@pytest.mark.parametrize("made", ["a" * 255, "_1", "Z"])
def test_names_within_the_rule_are_taken(server: RealServer, made: str) -> None:
    """Names at the border of our rule make a collection."""
    with registry.open_target(server.address(made)) as target:
        target.create(SCHEMA, {"m": 1})
        assert target.exists()
        target.drop()


@pytest.mark.parametrize("refused", ["a" * 256, "1a", "a-b", "a b", "ü", "$a"])
def test_names_beyond_the_rule_are_refused_by_the_server_too(
    server: RealServer, client: MilvusClient, refused: str
) -> None:
    """What our rule refuses, the server would refuse; as a source it is a collection that is not there."""
    with pytest.raises(MilvusException, match=r"[Ii]nvalid collection name"):
        client.create_collection(refused, dimension=4)
    with registry.open_source(server.address(refused)) as source, pytest.raises(NotFound):
        source.describe()


def test_large_batches_are_cut_below_the_limit_of_messages(server: RealServer, name: str) -> None:
    """96 MiB of vectors at once, more than a message may hold, are written and read back to the bit."""
    field = replace(VECTOR, dimension=4096, metric=Metric.SQUARED_EUCLID)
    rows = (96 << 20) // (4 * 4096)
    numbers = np.random.default_rng(1).standard_normal((rows, 4096), dtype=np.float32)
    ids = [f"{row:06}" for row in range(rows)]
    batch = batches.make(
        ids, IdKind.STRING, vectors={"": batches.dense_array(numbers)}, documents=[None] * rows, payloads=[b"{}"] * rows
    )
    with registry.open_target(server.address(name)) as target:
        target.create(replace(SCHEMA, vectors=(field,)), {"m": 1})
        target.write(batch)
        [part] = target.slices(1)
        found = pa.Table.from_batches(target.read(part, batch_rows=rows)).combine_chunks()
    assert found.column("id").to_pylist() == ids
    assert np.array_equal(batches.dense_column(found.to_batches(max_chunksize=rows)[0]).values, numbers)


# Databases


def test_databases_are_apart(server: RealServer, client: MilvusClient, name: str) -> None:
    """A collection is made, read and dropped in its database; the same name elsewhere is another one."""
    database = f"d{uuid4().hex}"
    client.create_database(database)
    place = server.address(name, f"?database={database}")
    with registry.open_target(place) as target:
        target.create(SCHEMA, {"m": 1})
        written = generators.records((VECTOR,), target.capabilities(), 30)
        with target.bulk_load():
            target.write(written)
        for reader in Reader:
            with registry.open_source(place, reader) as source:
                assert source.describe().mark == {"m": 1}
                assert read_all(source) == rows_of([written])
        assert name not in client.list_collections()
        with registry.open_source(server.address(name)) as source, pytest.raises(NotFound, match=name):
            source.describe()
        target.drop()
    client.drop_database(database)
    with registry.open_source(place) as source, pytest.raises(NotFound, match="database") as caught:
        source.describe()
    assert "the databases default" in caught.value.advice
