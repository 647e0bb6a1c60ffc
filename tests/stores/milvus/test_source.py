"""Collections that users made with Milvus's own client, read as sources."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from pymilvus import DataType

from tests.support.milvus_server import MilvusServer
from vecferry import address, canonical
from vecferry import batch as batches
from vecferry.contract import Reader
from vecferry.errors import NotFound, StoreRefused
from vecferry.model import IdKind, Metric, RecordId, VectorKind
from vecferry.stores import registry
from vecferry.testing.rows import read_all

from . import raw
from .users import make_plain, make_typed

pytestmark = pytest.mark.slow


@pytest.fixture
def books(tmp_path: Path) -> tuple[str, list[dict[str, Any]]]:
    """The URL of a collection with a field of every type, and its rows."""
    folder = tmp_path / "books.db"
    with raw.folder_client(folder) as client:
        rows = make_typed(client, "books")
    return f"milvus+path://{folder}/books", rows


@pytest.mark.parametrize("reader", Reader)
def test_typed_fields_and_dynamic_ones_become_the_payload(
    books: tuple[str, list[dict[str, Any]]], reader: Reader
) -> None:
    """Every typed field is a key of the payload with its value, null where it is null, beside the dynamic keys."""
    url, rows = books
    with registry.open_source(address.parse(url), reader) as source:
        found = read_all(source, slices=3, batch_rows=7)
    assert len(found) == len(rows)
    for row in rows:
        payload = {key: value for key, value in row.items() if key not in ("isbn", "embedding", "words")}
        assert found[RecordId(IdKind.INT64, str(row["isbn"]))].payload == canonical.encode(payload)


@pytest.mark.parametrize("reader", Reader)
def test_vectors_keep_their_bits_and_names(books: tuple[str, list[dict[str, Any]]], reader: Reader) -> None:
    """Dense and sparse vectors come under the names of their fields, -0.0 included."""
    url, rows = books
    with registry.open_source(address.parse(url), reader) as source:
        found = read_all(source)
    for row in rows:
        vectors = found[RecordId(IdKind.INT64, str(row["isbn"]))].vectors
        assert vectors["embedding"][2] == np.array(row["embedding"], dtype=np.float32).tobytes()
        indices, (_, _, values) = vectors["words"]
        assert indices == np.array(list(row["words"]), dtype=np.uint32).tobytes()
        assert values == np.array(list(row["words"].values()), dtype=np.float32).tobytes()


def test_the_schema_says_what_does_not_travel(books: tuple[str, list[dict[str, Any]]]) -> None:
    """Metric and dimension come from the collection; indexes, types and partitions are listed as features."""
    url, rows = books
    with registry.open_source(address.parse(url)) as source:
        schema, count = source.describe(), source.count()
    assert count == len(rows)
    fields = {field.name: field for field in schema.vectors}
    assert (fields["embedding"].dimension, fields["embedding"].metric) == (3, Metric.SQUARED_EUCLID)
    assert (fields["words"].kind, fields["words"].metric) == (VectorKind.SPARSE, Metric.DOT)
    assert schema.id_kinds == {IdKind.INT64}
    assert schema.mark is None
    features = {feature.name: feature.value for feature in schema.features}
    assert "HNSW" in features["index of field 'embedding'"]
    assert features["partition 'older'"].startswith("20 records")
    assert features["partition '_default'"].startswith("40 records")
    assert features["type of field 'title'"] == "VarChar, max_length=100, nullable"
    assert any("typed fields" in note for note in schema.notes)


def test_the_ends_of_int64_are_fetched(books: tuple[str, list[dict[str, Any]]]) -> None:
    """The least and the greatest key are found, alone and among others."""
    url, _ = books
    least, most = RecordId(IdKind.INT64, str(-(2**63))), RecordId(IdKind.INT64, str(2**63 - 1))
    with registry.open_source(address.parse(url)) as source:
        for wanted in ([least], [most], [least, most, RecordId(IdKind.INT64, "0")]):
            assert set(batches.record_ids(source.fetch(batches.ids_batch(wanted)))) == set(wanted)


def test_a_collection_made_by_others_is_not_written(books: tuple[str, list[dict[str, Any]]]) -> None:
    """Fields that vecferry did not make stop a write before anything is stored."""
    url, rows = books
    with registry.open_target(address.parse(url)) as target:
        batch = target.fetch(batches.ids_batch([RecordId(IdKind.INT64, "0")]))
        with pytest.raises(StoreRefused, match="did not make"):
            target.write(batch)
        assert target.count() == len(rows)


def test_databases_are_told_apart(milvus: MilvusServer) -> None:
    """A collection is found in its own database only, and a database that is not there is NotFound."""
    name, database = f"c{uuid4().hex}", f"d{uuid4().hex}"
    with contextlib.closing(milvus.client()) as client:
        client.create_database(database)
    with contextlib.closing(milvus.client(database)) as client:
        make_plain(client, name, ["a", "b", "c"])
    with registry.open_source(address.parse(f"{milvus.url}/{name}?database={database}")) as source:
        assert source.count() == 3
        assert len(read_all(source)) == 3
    with registry.open_source(address.parse(f"{milvus.url}/{name}?database={database}"), Reader.PUBLIC) as source:
        assert len(read_all(source)) == 3
    for where in ("", "?database=absent"):
        with pytest.raises(NotFound), registry.open_source(address.parse(f"{milvus.url}/{name}{where}")) as source:
            source.describe()


def test_a_missing_collection_names_those_that_are_there(milvus: MilvusServer) -> None:
    """NotFound carries the names of the collections of the server."""
    name = f"c{uuid4().hex}"
    with contextlib.closing(milvus.client()) as client:
        make_plain(client, name, [1, 2])
    with registry.open_source(address.parse(f"{milvus.url}/other")) as source, pytest.raises(NotFound) as caught:
        source.describe()
    assert name in caught.value.advice


def test_a_released_collection_is_loaded_only_when_asked(milvus: MilvusServer) -> None:
    """A source that is not loaded is refused with the option that loads it; a target is loaded by itself."""
    name = f"c{uuid4().hex}"
    with contextlib.closing(milvus.client()) as client:
        make_plain(client, name, [1, 2, 3])
        client.release_collection(name)
    with registry.open_source(address.parse(f"{milvus.url}/{name}")) as source:
        assert source.describe().id_kinds == {IdKind.INT64}
        with pytest.raises(StoreRefused, match="not loaded") as caught:
            source.count()
        assert "load=true" in caught.value.advice
    with registry.open_source(address.parse(f"{milvus.url}/{name}?load=true")) as source:
        assert source.count() == 3


def test_texts_of_a_json_field_of_lite_stay_texts(tmp_path: Path) -> None:
    """milvus-lite gives a JSON text without its quotes: it is read as that text, though it looks like a number."""
    texts = ["12", "true", "null", "plain", '"quoted"', "", "[open", "back\\slash"]
    values: list[Any] = [{"a": [1, None]}, [1, "x"], {}, None]
    folder = tmp_path / "data"
    with raw.folder_client(folder) as client:
        fields = client.create_schema(auto_id=False)
        fields.add_field("id", DataType.INT64, is_primary=True)
        fields.add_field("vector", DataType.FLOAT_VECTOR, dim=2)
        fields.add_field("extra", DataType.JSON, nullable=True)
        client.create_collection("c", schema=fields)
        given = [json.dumps(text) for text in texts] + values
        client.insert("c", [{"id": at, "vector": [1.0, 2.0], "extra": value} for at, value in enumerate(given)])
    url = address.parse(f"milvus+path://{folder}/c")
    with registry.open_source(url) as source:
        found = read_all(source)
    for at, value in enumerate([*texts, *values]):
        assert found[RecordId(IdKind.INT64, str(at))].payload == canonical.encode({"extra": value})
    with registry.open_source(url, Reader.PUBLIC) as source, pytest.raises(StoreRefused, match="official client"):
        read_all(source)


def test_several_vectors_and_defaults_are_read(tmp_path: Path) -> None:
    """Four vector fields, each under its name, and a field whose default stands where nothing was given."""
    folder = tmp_path / "data"
    names = ("vector", "title", "body", "words")
    with raw.folder_client(folder) as client:
        fields = client.create_schema(auto_id=False, enable_dynamic_field=True)
        fields.add_field("id", DataType.VARCHAR, is_primary=True, max_length=20)
        for dimension, name in enumerate(names[:3], 2):
            fields.add_field(name, DataType.FLOAT_VECTOR, dim=dimension)
        fields.add_field("words", DataType.SPARSE_FLOAT_VECTOR)
        fields.add_field("stars", DataType.INT8, default_value=5)
        client.create_collection("c", schema=fields)
        row = {"vector": [1.0] * 2, "title": [2.0] * 3, "body": [3.0] * 4, "words": {7: 0.5}}
        client.insert("c", [{"id": "given", "stars": 1, **row}, {"id": "default", **row}])
    for reader in Reader:
        with registry.open_source(address.parse(f"milvus+path://{folder}/c"), reader) as source:
            found = read_all(source)
            assert {field.name for field in source.describe().vectors} == {"", "title", "body", "words"}
        assert {key.text: one.payload for key, one in found.items()} == {
            "given": b'{"stars":1}',
            "default": b'{"stars":5}',
        }
        assert found[RecordId(IdKind.STRING, "given")].vectors["body"][2] == np.full(4, 3.0, np.float32).tobytes()
