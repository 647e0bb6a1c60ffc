"""Settings, payload indexes and aliases that go along from one Qdrant collection to another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qdrant_edge as engine
from qdrant_client import QdrantClient, models

from tests.stores.qdrant.samples import records
from tests.stores.qdrant.samples import schema as plain_schema
from tests.support.qdrant_server import QdrantServer
from vecferry import plain
from vecferry.address import Address, parse
from vecferry.contract import Target
from vecferry.errors import StoreRefused
from vecferry.mapping import Mapping, Profiler, Rules, decide
from vecferry.model import CollectionSchema, Feature, Outcome
from vecferry.stores import registry
from vecferry.validation.schema import compare_schema

SCALAR = models.ScalarQuantization(
    scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8, quantile=0.99, always_ram=True)
)
INDEXES: dict[str, Any] = {
    "tenant": models.KeywordIndexParams(type="keyword", is_tenant=True, on_disk=True),
    "plain": models.PayloadSchemaType.KEYWORD,
    "a.b[].c": models.IntegerIndexParams(type="integer", lookup=False, range=True, is_principal=True),
    "text": models.TextIndexParams(type="text", tokenizer="word", lowercase=True, min_token_len=2, max_token_len=9),
    "when": models.DatetimeIndexParams(type="datetime", is_principal=True),
    "where": models.GeoIndexParams(type="geo", on_disk=True),
    "price": models.FloatIndexParams(type="float", on_disk=True),
    "yes": models.BoolIndexParams(type="bool", on_disk=True),
    "who": models.UuidIndexParams(type="uuid", is_tenant=True),
}


def make_rich(client: QdrantClient, name: str) -> None:
    """A collection that says something in every section."""
    client.create_collection(
        name,
        vectors_config={
            "dense": models.VectorParams(
                size=4,
                distance=models.Distance.DOT,
                on_disk=True,
                hnsw_config=models.HnswConfigDiff(m=24),
                quantization_config=SCALAR,
            ),
            "multi": models.VectorParams(
                size=2,
                distance=models.Distance.DOT,
                multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            ),
        },
        sparse_vectors_config={
            "words": models.SparseVectorParams(
                index=models.SparseIndexParams(on_disk=True, full_scan_threshold=50), modifier=models.Modifier.IDF
            )
        },
        shard_number=3,
        replication_factor=2,
        write_consistency_factor=2,
        on_disk_payload=False,
        hnsw_config=models.HnswConfigDiff(m=8, ef_construct=50, payload_m=4, on_disk=True),
        optimizers_config=models.OptimizersConfigDiff(
            indexing_threshold=777, flush_interval_sec=7, deleted_threshold=0.5, prevent_unoptimized=True
        ),
        wal_config=models.WalConfigDiff(wal_capacity_mb=4),
        quantization_config=models.ProductQuantization(
            product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X16)
        ),
        strict_mode_config=models.StrictModeConfig(
            enabled=True, max_query_limit=40, upsert_max_batchsize=30, search_max_oversampling=0.3
        ),
        metadata={"owner": "search team", "nested": {"a": [1, None]}},
    )
    client.update_collection(name, collection_params=models.CollectionParamsDiff(read_fan_out_factor=1))
    for key, index in INDEXES.items():
        client.create_payload_index(name, key, index, wait=True)


@pytest.fixture
def source(server: QdrantServer, raw: QdrantClient, unique: str) -> Address:
    """The rich collection, which an alias serves."""
    make_rich(raw, unique)
    raw.update_collection_aliases(
        [models.CreateAliasOperation(create_alias=models.CreateAlias(collection_name=unique, alias_name=f"{unique}-a"))]
    )
    return parse(f"qdrant://127.0.0.1:{server.grpc_port}/{unique}?wire=grpc&rest_port={server.rest_port}")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantServer]:
    """Another server."""
    with QdrantServer(tmp_path_factory.mktemp("other")) as running:
        yield running


def at(server: QdrantServer, wire: str, collection: str) -> Address:
    """A collection by one wire."""
    port = server.grpc_port if wire == "grpc" else server.rest_port
    return parse(f"qdrant://127.0.0.1:{port}/{collection}?wire={wire}&rest_port={server.rest_port}")


def mapping_between(source: CollectionSchema, target: Target, rules: Rules | None = None) -> Mapping:
    """What would be decided for a move of an empty collection; it survives being stored as a plan."""
    capabilities = registry.open_target(parse("memory:///x")).capabilities()
    obstacles = target.obstacles(source.features)
    decided = decide(source, Profiler().profile(), capabilities, target.capabilities(), rules or Rules(), obstacles)
    return Mapping.from_json(plain.from_json(dict[str, Any], plain.to_json(decided.to_json())))


def schema_of(address: Address) -> CollectionSchema:
    """What a store says of its collection."""
    with registry.open_source(address) as opened:
        return opened.describe()


def config_of(client: QdrantClient, name: str) -> dict[str, Any]:
    """The configuration as the official client shows it, less what is vecferry's."""
    info = client.get_collection(name)
    found = info.config.model_dump(mode="json", exclude_none=True)
    metadata = {key: value for key, value in found.pop("metadata").items() if not key.startswith("vecferry")}
    sparse = found["params"]["sparse_vectors"]["words"]
    sparse["index"].pop("datatype", None)
    found["params"]["vectors"]["dense"].pop("datatype", None)
    indexes = {key: item.model_dump(mode="json", exclude={"points"}) for key, item in info.payload_schema.items()}
    return narrowed(found) | {"metadata": metadata, "indexes": indexes}


def narrowed(value: Any) -> Any:
    """Numbers as float32: the loopback server keeps what was sent, a real one keeps the quantile as float32."""
    if isinstance(value, dict):
        return {key: narrowed(item) for key, item in value.items()}
    return float(np.float32(value)) if isinstance(value, float) else value


@pytest.mark.parametrize("wire", ["grpc", "rest"])
@pytest.mark.parametrize("read_by", [pytest.param("grpc", marks=pytest.mark.slow), "rest"])
def test_everything_arrives_on_another_server(
    server: QdrantServer, raw: QdrantClient, other: QdrantServer, source: Address, wire: str, read_by: str
) -> None:
    """Configuration, payload indexes, metadata and alias of the new collection are those of the old one."""
    name = source.collection()
    found = schema_of(at(server, read_by, name))
    with registry.open_target(at(other, wire, f"{name}-{read_by}")) as target:
        mapping = mapping_between(found, target)
        assert mapping.not_moved == ()
        target.create(mapping.target_schema, {"migration": "m"})
        with target.bulk_load():
            pass
        assert compare_schema(mapping.target_schema, target.describe(), rows=0) == []
        client = QdrantClient(url=other.url, check_compatibility=False)
        assert config_of(client, f"{name}-{read_by}") == config_of(raw, name)
        assert [item.alias_name for item in client.get_collection_aliases(f"{name}-{read_by}").aliases] == [f"{name}-a"]
        client.close()
        target.drop()


def test_what_hampers_a_load_waits_for_its_end(other: QdrantServer, source: Address) -> None:
    """Indexes are there before the first record; strict mode and the alias only when all are in, kills in between."""
    name, found = source.collection(), schema_of(source)
    client = QdrantClient(url=other.url, check_compatibility=False)
    address = at(other, "grpc", f"{name}-late")
    with registry.open_target(address) as target:
        mapping = mapping_between(found, target)
        target.create(mapping.target_schema, {"migration": "m"})
        target.begin_load()
        during = client.get_collection(f"{name}-late")
        assert set(during.payload_schema) == set(INDEXES)
        assert during.config.strict_mode_config is None
        assert during.config.optimizer_config.indexing_threshold == 0
        assert not during.config.optimizer_config.prevent_unoptimized
        assert client.get_collection_aliases(f"{name}-late").aliases == []
    client.delete_payload_index(f"{name}-late", "price")  # as a kill between two indexes would leave it
    with registry.open_target(address) as successor:
        successor.begin_load()
        successor.finish_load()
        successor.finish_load()
        assert compare_schema(mapping.target_schema, successor.describe(), rows=0) == []
        successor.drop()
    client.close()


def test_an_index_that_was_switched_off_stays_off(raw: QdrantClient, other: QdrantServer, unique: str) -> None:
    """A threshold of 0 is the owner's choice: the end of the load restores it, and does so each time."""
    raw.create_collection(
        unique,
        vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0),
    )
    source = Feature(
        "optimizer_config: indexing_threshold",
        "0",
        "qdrant",
        {"kind": "optimizer_config", "key": "indexing_threshold", "value": 0},
    )
    base = plain_schema()
    wanted = CollectionSchema(base.name, base.vectors, base.id_kinds, features=(source,))
    with registry.open_target(at(other, "rest", unique)) as target:
        target.create(wanted, {})
        for _ in range(2):
            with target.bulk_load():
                target.write(records(3))
        assert compare_schema(wanted, target.describe(), rows=3) == []


def test_an_alias_stays_on_its_own_server(server: QdrantServer, source: Address) -> None:
    """On the same server the alias serves the old collection: the plan says so, and a trial gets none anywhere."""
    name, found = source.collection(), schema_of(source)
    with registry.open_target(at(server, "rest", f"{name}2")) as target:
        mapping = mapping_between(found, target)
        (stays,) = mapping.not_moved
        assert stays.name == f"alias '{name}-a'"
        assert f"serves '{name}' and stays there" in stays.value
        target.create(mapping.target_schema, {})
        target.finish_load()
    with registry.open_target(at(server, "grpc", name)) as old:
        assert old.alias_target(f"{name}-a") == name  # type: ignore[attr-defined]


def test_a_trial_gets_no_alias(other: QdrantServer, source: Address) -> None:
    """A trial is never switched to, so no other name leads to it."""
    with registry.open_target(at(other, "rest", "trial")) as target:
        mapping = mapping_between(schema_of(source), target, Rules(aliases_stay="a trial gets no alias"))
        assert [feature.value for feature in mapping.not_moved] == ["leads to it (a trial gets no alias)"]


def test_an_alias_taken_meanwhile_is_never_moved(raw: QdrantClient, other: QdrantServer, source: Address) -> None:
    """When another collection got the alias after the plan, the load stops, and the alias stays with that one."""
    name, found = source.collection(), schema_of(source)
    client = QdrantClient(url=other.url, check_compatibility=False)
    with registry.open_target(at(other, "grpc", f"{name}-t")) as target:
        target.create(mapping_between(found, target).target_schema, {})
        client.create_collection(f"{name}-thief", vectors_config={})
        client.update_collection_aliases(
            [
                models.CreateAliasOperation(
                    create_alias=models.CreateAlias(collection_name=f"{name}-thief", alias_name=f"{name}-a")
                )
            ]
        )
        with pytest.raises(StoreRefused, match="thief"):
            target.finish_load()
        assert target.alias_target(f"{name}-a") == f"{name}-thief"  # type: ignore[attr-defined]
    client.close()


def test_names_that_are_taken_are_found_when_planning(other: QdrantServer, source: Address) -> None:
    """An alias that is a collection's name on the new server stays behind, and the plan says why."""
    name, found = source.collection(), schema_of(source)
    with registry.open_target(at(other, "rest", f"{name}-a")) as target:
        (stays,) = mapping_between(found, target).not_moved
        assert "a collection has that name" in stays.value


def test_custom_sharding_is_told(other: QdrantServer) -> None:
    """Shard keys do not travel, so neither does the method that needs them."""
    custom = Feature(
        "params: sharding_method", "custom", "qdrant", {"kind": "params", "key": "sharding_method", "value": "custom"}
    )
    with registry.open_target(at(other, "rest", "x")) as target:
        assert "shard keys" in target.obstacles([custom])[custom.name]


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "params", "key": "moons", "value": 2},
        {"kind": "hnsw_config", "key": "moons", "value": 2},
        {"kind": "index", "key": "k", "value": {"type": "moon"}},
        {"kind": "vector", "vector": "", "key": "moons", "value": 2},
        {"kind": "quantization_config", "key": "moon", "value": {}},
    ],
)
def test_settings_of_later_versions_stay_behind(other: QdrantServer, tmp_path: Path, settings: dict[str, Any]) -> None:
    """What the client or the engine does not know is found before anything is created."""
    later = Feature("later", "2", "qdrant", settings)
    with registry.open_target(at(other, "grpc", "x")) as target:
        assert "does not know" in target.obstacles([later])["later"]
    with registry.open_target(parse(f"qdrant+edge://{tmp_path}/x")) as edge:
        taken = mapping_between(one_vector((later,)), edge)
        assert [feature.name for feature in taken.not_moved] == ["later"]


def one_vector(features: tuple[Feature, ...]) -> CollectionSchema:
    """A plain collection with these features."""
    base = plain_schema()
    return CollectionSchema(base.name, base.vectors, base.id_kinds, features=features)


def test_the_embedded_engine_takes_what_it_has(source: Address, tmp_path: Path) -> None:
    """Vectors' settings, HNSW, quantization, most optimizers and payload indexes arrive; the rest is listed."""
    address = parse(f"qdrant+edge://{tmp_path}/docs")
    with registry.open_target(address) as target:
        mapping = mapping_between(schema_of(source), target)
        target.create(mapping.target_schema, {"migration": "m"})
        assert compare_schema(mapping.target_schema, target.describe(), rows=0) == []
    listed = {feature.name for feature in mapping.not_moved}
    assert {"params: shard_number", "metadata: owner", "wal_config: wal_capacity_mb"} <= listed
    assert {"strict_mode_config: enabled", "optimizer_config: flush_interval_sec"} <= listed
    assert not any(name.startswith(("hnsw_config", "payload index", "modifier", "quantization")) for name in listed)
    shard = engine.EdgeShard.load(str(tmp_path / "docs"))
    shown = shard.info().payload_schema
    shard.close()
    assert set(shown) == set(INDEXES)
    assert shown["tenant"].params.is_tenant is True
    assert '"m":24' in (tmp_path / "docs" / "edge_config.json").read_text()


def test_settings_come_back_from_the_embedded_engine(source: Address, other: QdrantServer, tmp_path: Path) -> None:
    """Server to folder to server: what the engine has comes through both."""
    first, name = schema_of(source), source.collection()
    with registry.open_target(parse(f"qdrant+edge://{tmp_path}/docs")) as edge:
        edge.create(mapping_between(first, edge).target_schema, {})
        kept = edge.describe()
        with registry.open_target(at(other, "rest", f"{name}-back")) as target:
            mapping = mapping_between(kept, target)
            target.create(mapping.target_schema, {})
            target.finish_load()
            found = {feature.name: feature.settings for feature in target.describe().features}
    assert found["hnsw_config: payload_m"] == {"kind": "hnsw_config", "key": "payload_m", "value": 4}
    before = {feature.name: feature.settings for feature in first.features}
    for shared in ("payload index of 'tenant'", "payload index of 'text'", "modifier of vector 'words'"):
        assert found[shared] == before[shared]


def test_decisions_say_what_goes_along(source: Address, other: QdrantServer) -> None:
    """The plan has one exact decision for each index and alias, and one for each section."""
    with registry.open_target(at(other, "rest", "y")) as target:
        mapping = mapping_between(schema_of(source), target)
    decisions = {decision.feature: decision for decision in mapping.decisions}
    assert decisions["payload index of 'tenant'"].outcome is Outcome.EXACT
    assert decisions["payload index of 'tenant'"].filterable == "same"
    assert "m=8" in decisions["settings: hnsw_config"].detail
    assert f"alias '{source.collection()}-a'" in decisions


def test_the_schema_level_sees_a_setting_that_changed(source: Address, other: QdrantServer) -> None:
    """V0 names a carried setting that the target has otherwise, or not at all."""
    name = f"{source.collection()}-v0"
    client = QdrantClient(url=other.url, check_compatibility=False)
    with registry.open_target(at(other, "rest", name)) as target:
        mapping = mapping_between(schema_of(source), target)
        target.create(mapping.target_schema, {})
        target.finish_load()
        client.update_collection(name, hnsw_config=models.HnswConfigDiff(m=5))
        client.delete_payload_index(name, "price")
        findings = compare_schema(mapping.target_schema, target.describe(), rows=0)
        target.drop()
    client.close()
    assert {finding.detail for finding in findings} == {
        "hnsw_config: m is 5, carried was 8",
        "payload index of 'price' is missing, carried was float (on_disk=True)",
    }
