"""What a Milvus lists: databases, no aliases."""

from __future__ import annotations

import contextlib
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.milvus_server import MilvusServer
from vecferry.address import parse
from vecferry.errors import BadOption, NotFound
from vecferry.model import CollectionSchema, IdKind, Metric, VectorField
from vecferry.stores import registry


def listed(url: str) -> list[tuple[str, str, str]]:
    """Database, name and address of what is found."""
    found = registry.list_collections(parse(url)).collections
    return [(one.database, one.name, str(one.address)) for one in found]


def test_a_server_lists_its_databases_and_no_alias(milvus: MilvusServer) -> None:
    """Collections of every database are found, those of the default one without an option; an alias is none."""
    name, database = f"c{uuid4().hex}", f"d{uuid4().hex}"
    with contextlib.closing(milvus.client()) as client:
        client.create_database(database)
        client.create_collection(name, dimension=4)
        client.create_alias(name, f"a{name}")
    with contextlib.closing(milvus.client(database)) as client:
        client.create_collection(name, dimension=4)
    here = (database, name, f"{milvus.url}/{name}?database={database}")
    found = listed(milvus.url)
    assert here in found
    assert ("default", name, f"{milvus.url}/{name}") in found
    assert not any(one.startswith("ac") for _, one, _ in found)
    assert listed(f"{milvus.url}?database={database}") == [here]


def test_a_folder_lists_its_collections(tmp_path: Path) -> None:
    """Through the engine in this process, which is stopped afterwards: listing twice works."""
    for name in ("one", "two"):
        with registry.open_target(parse(f"milvus+path://{tmp_path}/m/{name}")) as target:
            field = VectorField("", dimension=4, metric=Metric.COSINE)
            target.create(CollectionSchema(name, (field,), frozenset({IdKind.STRING})), {})
    expected = [("default", name, f"milvus+path://{tmp_path}/m/{name}") for name in ("one", "two")]
    assert listed(f"milvus+path://{tmp_path}/m") == expected
    assert listed(f"milvus+path://{tmp_path}/m") == expected


def test_what_is_no_store_is_refused(milvus: MilvusServer, tmp_path: Path) -> None:
    """A collection's own URL, and a folder without collections; the engine makes nothing there."""
    with pytest.raises(BadOption, match="names a collection"):
        listed(f"{milvus.url}/docs")
    with pytest.raises(NotFound):
        listed(f"milvus+path://{tmp_path}/nothing")
    assert not (tmp_path / "nothing").exists()
