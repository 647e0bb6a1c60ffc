"""Collections, aliases and settings, as a real server answers; each test runs over both wires."""

from collections.abc import Callable
from typing import Any

import pytest
from qdrant_client import QdrantClient
from qdrant_client import models as m

from .helpers import DOT2, MISSING, REFUSED, alias_off, alias_to, code_of, message_of, point, put, rows

pytestmark = pytest.mark.slow

READS_AND_WRITES: dict[str, Callable[[QdrantClient, str], Any]] = {
    "get": lambda client, name: client.get_collection(name),
    "update": lambda client, name: client.update_collection(name, metadata={"a": 1}),
    "upsert": lambda client, name: put(client, name, point(1)),
    "scroll": lambda client, name: client.scroll(name),
    "retrieve": lambda client, name: client.retrieve(name, [1]),
    "count": lambda client, name: client.count(name),
    "query": lambda client, name: client.query_points(name, [1.0, 2.0]),
    "delete": lambda client, name: client.delete(name, [1]),
    "index": lambda client, name: client.create_payload_index(name, "k", "integer"),
}


@pytest.mark.parametrize("verb", READS_AND_WRITES)
def test_a_missing_collection_is_not_found(client: QdrantClient, wire: str, name: str, verb: str) -> None:
    """Every verb names the collection that is not there, and none creates it."""
    with pytest.raises(REFUSED) as error:
        READS_AND_WRITES[verb](client, name)
    assert code_of(error) == MISSING[wire]
    assert f"Not found: Collection `{name}` doesn't exist!" in message_of(error)
    assert client.collection_exists(name) is False


def test_a_collection_is_created_once_and_deleted_once(client: QdrantClient, wire: str, name: str) -> None:
    """Creating it again is refused; deleting it again does nothing and says so."""
    assert client.create_collection(name, vectors_config=DOT2) is True
    with pytest.raises(REFUSED) as error:
        client.create_collection(name, vectors_config=DOT2)
    assert code_of(error) == {"grpc": "ALREADY_EXISTS", "rest": 409}[wire]
    assert name in [c.name for c in client.get_collections().collections]
    assert [client.delete_collection(name), client.delete_collection(name)] == [True, False]


def test_settings_read_back_as_they_were_given(client: QdrantClient, name: str) -> None:
    """Vectors, index and optimizer settings are those of the request, the rest are the server's defaults."""
    vectors = {"a": m.VectorParams(size=3, distance=m.Distance.COSINE, datatype=m.Datatype.FLOAT16), "b": DOT2}
    client.create_collection(
        name,
        vectors_config=vectors,
        sparse_vectors_config={"s": m.SparseVectorParams(modifier=m.Modifier.IDF)},
        hnsw_config=m.HnswConfigDiff(m=8, ef_construct=50),
        optimizers_config=m.OptimizersConfigDiff(indexing_threshold=0),
    )
    config = client.get_collection(name).config
    assert config.params.vectors == vectors
    assert config.params.sparse_vectors == {"s": m.SparseVectorParams(modifier=m.Modifier.IDF)}
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct, config.hnsw_config.full_scan_threshold) == (
        8,
        50,
        10000,
    )
    assert (config.optimizer_config.indexing_threshold, config.optimizer_config.flush_interval_sec) == (0, 5)


def test_indexing_is_switched_off_and_on_again(client: QdrantClient, name: str) -> None:
    """An update changes what it names, and the collection is ready afterwards."""
    client.create_collection(name, vectors_config=DOT2)
    seen = []
    for threshold in (0, 20000):
        client.update_collection(name, optimizers_config=m.OptimizersConfigDiff(indexing_threshold=threshold))
        seen.append(client.get_collection(name).config.optimizer_config.indexing_threshold)
    info = client.get_collection(name)
    assert seen == [0, 20000]
    assert (info.status, info.optimizer_status, info.update_queue) == (
        m.CollectionStatus.GREEN,
        m.OptimizersStatusOneOf.OK,
        m.UpdateQueueInfo(length=0),
    )


def test_metadata_are_merged_and_null_removes_a_key(client: QdrantClient, name: str) -> None:
    """Metadata hold nested values with nulls; an update changes only the top-level keys that it names."""
    client.create_collection(name, vectors_config=DOT2, metadata={"job": "x", "n": 1, "nested": {"a": [1, None]}})
    client.update_collection(name, metadata={"n": 2, "job": None})
    assert client.get_collection(name).config.metadata == {"n": 2, "nested": {"a": [1, None]}}


def test_payload_indexes_are_listed_with_their_points(client: QdrantClient, name: str) -> None:
    """The schema shows each index with its type, its parameters and how many points have such a value."""
    client.create_collection(name, vectors_config=DOT2)
    put(client, name, point(1, payload={"k": 1}), point(2, payload={"k": "text"}))
    client.create_payload_index(name, "k", "integer", wait=True)
    tenant = m.KeywordIndexParams(type=m.KeywordIndexType.KEYWORD, is_tenant=True)
    client.create_payload_index(name, "t", tenant, wait=True)
    schema = client.get_collection(name).payload_schema
    assert schema["k"] == m.PayloadIndexInfo(data_type=m.PayloadSchemaType.INTEGER, points=1)
    assert schema["t"].params == tenant
    client.delete_payload_index(name, "k", wait=True)
    assert list(client.get_collection(name).payload_schema) == ["t"]


def two_collections(client: QdrantClient, name: str) -> tuple[str, str, str]:
    """Two collections with one point each, and the name for an alias."""
    for letter in "ab":
        client.create_collection(name + letter, vectors_config=DOT2)
        put(client, name + letter, point(1, payload={"in": letter}))
    return name + "a", name + "b", name + "alias"


def test_one_create_alias_repoints(client: QdrantClient, name: str) -> None:
    """An alias that exists moves with a single CreateAlias, and reads follow it."""
    a, b, alias = two_collections(client, name)
    client.update_collection_aliases([alias_to(a, alias)])
    client.update_collection_aliases([alias_to(b, alias)])
    assert rows(client, alias) == [[1, [1.0, 2.0], {"in": "b"}]]
    assert client.get_collection_aliases(a).aliases == []
    assert [x.alias_name for x in client.get_collection_aliases(b).aliases] == [alias]


def test_delete_and_create_in_one_list_repoint(client: QdrantClient, name: str) -> None:
    """A list that deletes an alias and creates it again moves it."""
    a, b, alias = two_collections(client, name)
    client.update_collection_aliases([alias_to(a, alias)])
    client.update_collection_aliases([alias_off(alias), alias_to(b, alias)])
    assert rows(client, alias) == [[1, [1.0, 2.0], {"in": "b"}]]


def test_a_failing_alias_list_keeps_what_it_has_done(client: QdrantClient, wire: str, name: str) -> None:
    """A list is not all or nothing: its delete stays although its create fails."""
    a, _, alias = two_collections(client, name)
    client.update_collection_aliases([alias_to(a, alias)])
    with pytest.raises(REFUSED) as error:
        client.update_collection_aliases([alias_off(alias), alias_to(name + "missing", alias)])
    assert code_of(error) == MISSING[wire]
    assert client.collection_exists(alias) is False


def test_an_alias_cannot_bear_a_collections_name(client: QdrantClient, wire: str, name: str) -> None:
    """The name of a collection is taken for aliases, and that of an alias for collections."""
    a, b, alias = two_collections(client, name)
    with pytest.raises(REFUSED) as error:
        client.update_collection_aliases([alias_to(a, b)])
    assert code_of(error) == {"grpc": "ALREADY_EXISTS", "rest": 409}[wire]
    client.update_collection_aliases([alias_to(a, alias)])
    with pytest.raises(REFUSED, match="Alias with the same name already exists"):
        client.create_collection(alias, vectors_config=DOT2)


def test_a_deleted_collection_takes_its_aliases_with_it(client: QdrantClient, name: str) -> None:
    """An alias is no collection to delete, and it goes with the one that it leads to."""
    a, _, alias = two_collections(client, name)
    client.update_collection_aliases([alias_to(a, alias)])
    assert client.delete_collection(alias) is False
    client.delete_collection(a)
    assert client.collection_exists(alias) is False


def test_strict_mode_limits_what_a_request_may_ask(client: QdrantClient, name: str) -> None:
    """Pages and batches beyond the limits are refused with the limit named."""
    strict = m.StrictModeConfig(enabled=True, max_query_limit=3, upsert_max_batchsize=2)
    client.create_collection(name, vectors_config=DOT2, strict_mode_config=strict)
    put(client, name, point(1), point(2))
    with pytest.raises(REFUSED, match="Limit exceeded 4 > 3"):
        client.scroll(name, limit=4)
    with pytest.raises(REFUSED, match="Limit exceeded 3 > 2"):
        put(client, name, point(3), point(4), point(5))
    assert client.count(name).count == 2
