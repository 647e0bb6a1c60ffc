"""Aliases of a server: moved with one call, read back, and kept from vanishing with their collection."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from pymilvus import MilvusClient

from tests.docs.pages import ROOT, blocks
from tests.support.milvus_server import RealServer
from vecferry.address import parse
from vecferry.cli.main import main
from vecferry.contract import Aliasing
from vecferry.errors import NotFound, StoreRefused, TargetNotEmpty
from vecferry.ledger import Ledger
from vecferry.model import CollectionSchema, IdKind, Metric, VectorField
from vecferry.routing import aliases
from vecferry.stores import registry
from vecferry.testing.rows import read_all

from .users import make_plain

pytestmark = pytest.mark.slow


@pytest.fixture
def pair(client: MilvusClient) -> Iterator[tuple[str, str]]:
    """Two collections; what aliases are left of them goes first at the end."""
    names = f"a{uuid4().hex}", f"b{uuid4().hex}"
    for number, name in enumerate(names):
        make_plain(client, name, [f"{name} {row}" for row in range(number + 2)])
    yield names
    for name in filter(client.has_collection, names):
        for alias in client.list_aliases(name)["aliases"]:
            client.drop_alias(alias)
        client.drop_collection(name)


def opened(server: RealServer, name: str) -> Aliasing:
    """A collection as a target with aliases."""
    target = registry.open_target(server.address(name))
    assert isinstance(target, Aliasing)
    return target


def test_an_alias_is_made_and_moved_and_read_back(
    server: RealServer, client: MilvusClient, pair: tuple[str, str]
) -> None:
    """`point_alias` makes an alias and re-points it, as often as asked; `alias_target` and the client see it there."""
    alias = f"live{uuid4().hex}"
    with opened(server, pair[0]) as old, opened(server, pair[1]) as new:
        assert old.alias_target(alias) is None
        for target, name in ((old, pair[0]), (old, pair[0]), (new, pair[1]), (old, pair[0])):
            target.point_alias(alias)
            assert old.alias_target(alias) == new.alias_target(alias) == name
            assert client.describe_alias(alias)["collection_name"] == name
        assert old.alias_target(pair[0]) is None


def test_a_collection_is_read_by_its_alias(server: RealServer, pair: tuple[str, str]) -> None:
    """A source may be named by an alias, which the plan lists; as a target it is something that exists."""
    alias = f"live{uuid4().hex}"
    with opened(server, pair[1]) as target:
        target.point_alias(alias)
        assert ("alias", alias) in {(one.name, one.value) for one in target.describe().features}
    with registry.open_source(server.address(alias)) as source:
        assert len(read_all(source)) == source.count() == 3
    schema = CollectionSchema("c", (VectorField("", dimension=4, metric=Metric.DOT),), frozenset({IdKind.STRING}))
    with registry.open_target(server.address(alias)) as target, pytest.raises(TargetNotEmpty):
        target.create(schema, {})


def test_a_collection_that_serves_an_alias_is_not_dropped(server: RealServer, pair: tuple[str, str]) -> None:
    """Neither by its name, since an alias vanishes with its collection, nor by the alias; afterwards it can be."""
    alias = f"live{uuid4().hex}"
    with opened(server, pair[0]) as old, opened(server, pair[1]) as new, opened(server, alias) as by_alias:
        old.point_alias(alias)
        with pytest.raises(StoreRefused, match=f"serves the alias {alias!r}"):
            old.drop()
        with pytest.raises(StoreRefused, match=f"alias of the collection {pair[0]!r}"):
            by_alias.drop()
        new.point_alias(alias)
        old.drop()
        assert not old.exists()
        assert new.alias_target(alias) == pair[1]


def test_an_alias_never_leads_to_what_is_absent(server: RealServer, pair: tuple[str, str]) -> None:
    """An alias to a collection that is not there is NotFound, and one with the name of a collection is refused."""
    alias = f"live{uuid4().hex}"
    with opened(server, f"absent{uuid4().hex}") as absent, opened(server, pair[0]) as old:
        with pytest.raises(NotFound):
            absent.point_alias(alias)
        assert absent.alias_target(alias) is None
        with pytest.raises((StoreRefused, TargetNotEmpty)):
            old.point_alias(pair[1])
        assert old.alias_target(pair[1]) is None


def test_the_alias_follows_a_migration_there_and_back(
    server: RealServer, client: MilvusClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the switch the alias that is named as the route names the new collection, after the rollback the old."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TOKEN", server.token or "none:needed")
    monkeypatch.delenv("VECFERRY_LEDGER", raising=False)
    old, new, live = (f"{word}{uuid4().hex}" for word in ("old", "new", "live"))
    make_plain(client, old, [f"key {row}" for row in range(40)])
    tokens = ["--source-token-env", "TOKEN", "--target-token-env", "TOKEN"] if server.token else []
    assert main([*command_of_the_page(server, old, new, live), *tokens, "--approve", "auto"]) == 0
    assert client.describe_alias(live)["collection_name"] == new
    [migration] = Ledger.open().migrations()
    assert main(["rollback", migration.id]) == 0
    assert client.describe_alias(live)["collection_name"] == old
    client.drop_alias(live)
    for name in (old, new):
        client.drop_collection(name)


def command_of_the_page(server: RealServer, old: str, new: str, live: str) -> list[str]:
    """What `docs/stores/milvus.md` says, with these collections of this server."""
    page = ROOT / "docs" / "stores" / "milvus.md"
    line = next(block.body for block in blocks(page) if "test_aliases.py" in block.not_run).removeprefix("$ vecferry ")
    ours = {"docs_v1": str(server.address(old)), "docs_v2": str(server.address(new)), "docs": live}
    return [ours.get(word.removeprefix("milvus://localhost:19530/"), word) for word in shlex.split(line)]


def test_a_route_that_no_alias_can_be_named_after_is_told() -> None:
    """Where Milvus has no alias of that name, or the collections are in two databases, the plan says so beforehand."""
    source, target = parse("milvus://h:19530/a"), parse("milvus://h:19530/b")
    assert aliases.plan(source, target, "docs").follows
    assert "no alias named 'my-docs'" in aliases.plan(source, target, "my-docs").says
    elsewhere = parse("milvus://h:19530/b?database=d")
    assert not aliases.plan(source, elsewhere, "docs").follows
