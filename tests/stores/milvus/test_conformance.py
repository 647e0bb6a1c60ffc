"""Milvus folders and servers, held to the suite that all stores are held to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.support.milvus_server import RealServer, client_of
from vecferry.address import Address, parse
from vecferry.errors import BadOption
from vecferry.stores.milvus.checks import possible_name
from vecferry.testing.conformance import Place, RawRow, TargetConformance

from . import raw


class MilvusConformance(TargetConformance):
    """What is the same for a folder and a server."""

    def test_names_may_be_any_text(self, place: Place) -> None:
        """Milvus has a rule for names: others are refused before anything is there; names within it are told apart."""
        for name in ("ünïcödé 名前 & co", "a-b", "1a", "a" * 256):
            with pytest.raises(BadOption, match="takes no collection named"):
                self.open_target(place(name))
        with self.open_target(place("_a1")) as one, self.open_target(place("_A1")) as two:
            self.fill(one, rows=4)
            assert not two.exists()
            one.drop()
            assert not one.exists()


class TestFolder(MilvusConformance):
    """A folder of milvus-lite in this process."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"milvus+path://{tmp_path}/folder/{quote(name, safe='')}")

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        with raw.folder_client(address.folder()) as client:
            return raw.raw_rows(client, address.collection())


@pytest.mark.slow
class TestFolderOfNumbers(TestFolder):
    """The same with int64 keys."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"milvus+path://{tmp_path}/numbers.db/{quote(name, safe='')}?ids=int64")


@pytest.mark.slow
class TestServer(MilvusConformance):
    """A milvus-lite server on loopback, or the server that `VECFERRY_TEST_MILVUS_URL` names."""

    @pytest.fixture
    def place(self, server: RealServer) -> Iterator[Place]:
        suffix, used = uuid4().hex, []

        def address(name: str) -> Address:
            used.append(server.address(f"{name}_{suffix}"))
            return used[-1]

        yield address
        for one in filter(lambda one: possible_name(one.collection()), used):
            with self.open_target(one) as target:
                target.drop()

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        token = address.secrets.get("token", "")
        with contextlib.closing(client_of(address.port or 19530, host=address.host, token=token)) as client:
            return raw.raw_rows(client, address.collection())
