"""Partitions of a collection: no record of any is lost, and which one a record is in can be told."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest
from pymilvus import MilvusClient

from tests.support.milvus_server import RealServer
from vecferry import batch as batches
from vecferry import canonical
from vecferry.contract import Reader
from vecferry.errors import BadRecord, StoreRefused
from vecferry.model import IdKind, RecordId
from vecferry.stores import registry
from vecferry.testing.rows import read_all

from .users import make_plain

pytestmark = pytest.mark.slow

PLACES = {"_default": range(40), "older": range(1000, 1030), "empty": range(0)}


@pytest.fixture
def shelves(server: RealServer, client: MilvusClient) -> Iterator[str]:
    """A collection with records in two of its three partitions."""
    name = f"c{uuid4().hex}"
    make_plain(client, name, list(PLACES["_default"]))
    for partition in ("older", "empty"):
        client.create_partition(name, partition)
    rows = [{"id": number, "vector": [1.0, 2.0, 3.0, number], "n": number - 1000} for number in PLACES["older"]]
    client.insert(name, rows, partition_name="older")
    yield name
    client.drop_collection(name)


@pytest.mark.parametrize("reader", Reader)
def test_records_of_every_partition_are_read(server: RealServer, shelves: str, reader: Reader) -> None:
    """All records come, each once, and the plan names each partition with its number of records."""
    with registry.open_source(server.address(shelves), reader) as source:
        found = read_all(source, slices=3)
        assert len(found) == source.count() == 70
        features = {one.name: one.value for one in source.describe().features if one.name.startswith("partition")}
    assert {name: text.split()[0] for name, text in features.items()} == {
        "partition '_default'": "40",
        "partition 'older'": "30",
        "partition 'empty'": "0",
    }
    assert all("?partition_field=KEY" in text for text in features.values())


@pytest.mark.parametrize("reader", Reader)
def test_the_partition_of_a_record_may_be_a_payload_key(server: RealServer, shelves: str, reader: Reader) -> None:
    """`?partition_field=shelf` reads the partition's name as the key `shelf` of each payload, by slices and by ids."""
    with registry.open_source(server.address(shelves, "?partition_field=shelf"), reader) as source:
        found = read_all(source, slices=3, batch_rows=11)
        wanted = [RecordId(IdKind.INT64, text) for text in ("3", "1003", "77")]
        fetched = source.fetch(batches.ids_batch(wanted))
        assert any("'shelf'" in note for note in source.describe().notes)
    assert len(found) == 70
    for partition, ids in PLACES.items():
        for at, number in enumerate(ids):
            payload = found[RecordId(IdKind.INT64, str(number))].payload
            assert payload == canonical.encode({"n": at, "shelf": partition})
    assert {*batches.record_ids(fetched)} == {*wanted[:2]}
    assert {canonical.decode(text)["shelf"] for text in batches.payloads(fetched)} == {"_default", "older"}


def test_a_partition_key_that_is_taken_is_named(server: RealServer, shelves: str) -> None:
    """A payload that has the key already is BadRecord with the id and advice; and nothing is written that way."""
    with registry.open_source(server.address(shelves, "?partition_field=n")) as source:
        with pytest.raises(BadRecord, match="has a key 'n'") as caught:
            read_all(source)
        assert "partition_field" in caught.value.advice
    with registry.open_target(server.address(shelves, "?partition_field=shelf")) as target:
        batch = target.fetch(batches.ids_batch([RecordId(IdKind.INT64, "3")]))
        with pytest.raises(StoreRefused, match="not written so"):
            target.write(batch)
