"""What a Qdrant server or a folder of embedded collections lists."""

from __future__ import annotations

from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models

from tests.support.qdrant_server import QdrantServer
from vecferry.address import parse
from vecferry.errors import BadOption, NotFound
from vecferry.model import CollectionSchema, IdKind, Metric, VectorField
from vecferry.stores import registry


def base_of(server: QdrantServer, collection: str = "") -> str:
    """The server's address, or that of a collection there."""
    return f"qdrant://127.0.0.1:{server.grpc_port}{collection}?rest_port={server.url.rpartition(':')[2]}"


def test_a_server_lists_collections_and_no_alias(server: QdrantServer, raw: QdrantClient, unique: str) -> None:
    """Names of any characters come back as addresses that open; an alias is not listed."""
    names = [unique, f"{unique} ü%"]
    for name in names:
        raw.create_collection(name, models.VectorParams(size=4, distance=models.Distance.DOT))
    alias = models.CreateAlias(collection_name=unique, alias_name=f"{unique}_alias")
    raw.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    found = {one.name: one.address for one in registry.list_collections(parse(base_of(server))).collections}
    assert [name for name in found if name.startswith(unique)] == sorted(names)
    for name in names:
        with registry.open_source(found[name]) as source:
            assert source.describe().name == name
            assert source.count() == 0


def test_a_folder_lists_its_collections_only(tmp_path: Path) -> None:
    """Sub-folders that hold no collection, and files, are passed over; nothing is made in them."""
    field = VectorField("", dimension=4, metric=Metric.COSINE)
    for name in ("one", "t w o"):
        with registry.open_target(parse(f"qdrant+edge://{tmp_path}/{name.replace(' ', '%20')}")) as target:
            target.create(CollectionSchema(name, (field,), frozenset({IdKind.UUID})), {})
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    found = registry.list_collections(parse(f"qdrant+edge://{tmp_path}")).collections
    assert [one.name for one in found] == ["one", "t w o"]
    assert [one.address.collection() for one in found] == ["one", "t w o"]
    assert not any((tmp_path / "empty").iterdir())


def test_a_folder_of_the_local_mode_is_listed_without_opening_a_pickle(tmp_path: Path) -> None:
    """Its names need no trust, and an alias is none of them."""
    client = QdrantClient(path=str(tmp_path / "local"))
    for name in ("a", "b"):
        client.create_collection(name, models.VectorParams(size=4, distance=models.Distance.DOT))
    alias = models.CreateAlias(collection_name="a", alias_name="other")
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=alias)])
    client.close()
    found = registry.list_collections(parse(f"qdrant+path://{tmp_path}/local")).collections
    assert [one.name for one in found] == ["a", "b"]


def test_what_is_no_store_is_refused(server: QdrantServer, tmp_path: Path) -> None:
    """A collection's own URL, and a folder that is not there."""
    with pytest.raises(BadOption, match="names a collection"):
        registry.list_collections(parse(base_of(server, "/docs")))
    with pytest.raises(NotFound):
        registry.list_collections(parse(f"qdrant+edge://{tmp_path}/nothing"))
