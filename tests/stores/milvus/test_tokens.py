"""Tokens and rights, on a real Milvus that asks for them.

Collected with `VECFERRY_TEST_MILVUS_URL` and `VECFERRY_TEST_MILVUS_TOKEN` (an administrator's) alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar
from uuid import uuid4

import pytest
from pymilvus import MilvusClient

from tests.support.milvus_server import RealServer
from tests.support.ports import free_port
from vecferry.address import parse
from vecferry.contract import Reader
from vecferry.errors import RetryLater, StoreRefused
from vecferry.model import CollectionSchema, IdKind, Metric, VectorField
from vecferry.stores import registry
from vecferry.stores.milvus.failures import NoRight
from vecferry.testing import generators
from vecferry.testing.rows import read_all, rows_of

from .users import make_plain

pytestmark = pytest.mark.slow

VECTOR = VectorField("", dimension=4, metric=Metric.COSINE)
SCHEMA = CollectionSchema("c", (VECTOR,), frozenset({IdKind.STRING}))
READER_RIGHTS = ("DescribeCollection", "ShowPartitions", "GetLoadState", "Load", "IndexDetail", "Query")
WRITER_RIGHTS = (
    *READER_RIGHTS,
    "CreateCollection",
    "CreateIndex",
    "Load",
    "Upsert",
    "Delete",
    "Flush",
    "GetFlushState",
    "DropCollection",
)
T = TypeVar("T")
_GLOBAL = frozenset({"DescribeCollection", "CreateCollection", "DropCollection"})


@pytest.fixture
def filled(client: MilvusClient) -> Iterator[str]:
    """The name of a collection with three records."""
    name = f"c{uuid4().hex}"
    make_plain(client, name, ["a", "b", "c"])
    yield name
    client.drop_collection(name)


@pytest.mark.parametrize("reader", Reader)
def test_the_right_token_reads_and_writes(server: RealServer, client: MilvusClient, reader: Reader) -> None:
    """With its token a collection is made, written, read back and dropped."""
    with registry.open_target(server.address(f"c{uuid4().hex}"), reader) as target:
        target.create(SCHEMA, {"m": 1})
        written = generators.records((VECTOR,), target.capabilities(), 25)
        with target.bulk_load():
            target.write(written)
        assert read_all(target) == rows_of([written])
        target.drop()


@pytest.mark.parametrize("reader", Reader)
@pytest.mark.parametrize("token", ["", "root:wrong", "nobody:q7x", "0123456789abcdef"])
def test_a_wrong_token_is_refused_with_the_option(server: RealServer, filled: str, token: str, reader: Reader) -> None:
    """No token, a wrong password, an unknown user and an unknown key are StoreRefused at once, without the secret."""
    with registry.open_source(replace(server, token=token).address(filled), reader) as source:
        with pytest.raises(StoreRefused, match="refused the access") as caught:
            source.count()
        with pytest.raises(StoreRefused, match="refused the access"):
            source.describe()
    assert "--source-token-env" in caught.value.advice
    assert not token or token.rpartition(":")[2] not in str(caught.value)


@pytest.mark.parametrize("reader", Reader)
def test_a_dead_server_is_not_taken_for_a_wrong_token(server: RealServer, reader: Reader) -> None:
    """Where nothing listens the answer is RetryLater; Milvus's own client says the same of both."""
    url = f"milvus://127.0.0.1:{free_port()}/c?timeout_s=3"
    with (
        registry.open_source(parse(url, {"token": server.token}), reader) as source,
        pytest.raises(RetryLater, match="does not answer"),
    ):
        source.count()


def test_a_missing_right_is_named(server: RealServer, client: MilvusClient, filled: str) -> None:
    """A user who may not read is StoreRefused with the right that is missing, not advised to check the token."""
    user = _user(client, ("DescribeCollection",), filled)
    with (
        registry.open_source(replace(server, token=user).address(filled)) as source,
        pytest.raises(StoreRefused, match=r"Privilege\w+: permission deny") as caught,
    ):
        source.count()
    assert "right" in caught.value.advice


def test_the_rights_that_the_page_lists_are_enough(server: RealServer, client: MilvusClient, filled: str) -> None:
    """A user with the rights of a reader reads a collection, and one with those of a writer makes and drops one."""
    user = _user(client, READER_RIGHTS, filled)
    for reader in Reader:
        with registry.open_source(replace(server, token=user).address(filled), reader) as source:
            assert len(_once_allowed(lambda: read_all(source, slices=2))) == _once_allowed(source.count) == 3
    writer = _user(client, WRITER_RIGHTS, name := f"c{uuid4().hex}")
    with registry.open_target(replace(server, token=writer).address(name)) as target:
        _once_allowed(lambda: target.create(SCHEMA, {"m": 1}))
        written = generators.records((VECTOR,), target.capabilities(), 25)
        _once_allowed(lambda: target.write(written))
        _once_allowed(target.finish_load)
        _once_allowed(lambda: target.delete(written.slice(0, 5)))
        assert _once_allowed(target.count) == 20
        _once_allowed(target.drop)
        assert not target.exists()


def _once_allowed(act: Callable[[], T]) -> T:
    """Do something that a right allows which was just given: the server learns of it a moment later."""
    end_s = time.monotonic() + 20
    while True:
        try:
            return act()
        except NoRight:
            if time.monotonic() > end_s:
                raise


def _user(client: MilvusClient, rights: tuple[str, ...], collection: str) -> str:
    """The token of a new user with these rights over one collection."""
    user, password = f"u{uuid4().hex[:12]}", "Passw0rd!"
    client.create_user(user, password)
    client.create_role(f"{user}role")
    for right in rights:
        if right in _GLOBAL:
            client.grant_privilege(f"{user}role", "Global", right, "*")
        else:
            client.grant_privilege(f"{user}role", "Collection", right, collection)
    client.grant_role(user, f"{user}role")
    return f"{user}:{password}"
