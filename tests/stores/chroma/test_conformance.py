"""Chroma folders and servers, held to the suite that all stores are held to."""

from __future__ import annotations

import contextlib
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.support.chroma_server import ChromaServer, client_of
from vecferry.address import Address, parse
from vecferry.errors import BadOption
from vecferry.testing.conformance import Place, RawRow, TargetConformance

from . import folders, raw


class ChromaConformance(TargetConformance):
    """What is the same for a folder and a server."""

    refused_ids = frozenset({""})

    def test_names_may_be_any_text(self, place: Place) -> None:
        """Chroma has a rule for names: others are refused before anything is there; names within it are told apart."""
        with pytest.raises(BadOption, match="takes no collection named"):
            self.open_target(place("ünïcödé 名前 & co"))
        with self.open_target(place("a.b_c-d")) as one, self.open_target(place("a.b_c-e")) as two:
            self.fill(one, rows=4)
            assert not two.exists()
            one.drop()
            assert not one.exists()


class TestFolder(ChromaConformance):
    """A folder through Chroma's engine, read back directly."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return lambda name: parse(f"chroma+path://{tmp_path}/folder/{quote(name, safe='')}")

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        with folders.client(address.folder()) as client:
            return raw.raw_rows(client, address.collection())


class TestServer(ChromaConformance):
    """A server over HTTP."""

    @pytest.fixture
    def place(self, chroma: ChromaServer) -> Place:
        prefix = uuid4().hex
        return lambda name: parse(f"{chroma.url}/{quote(f'{prefix}-{name}', safe='')}")

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        with contextlib.closing(client_of(address.port or 0)) as client:
            return raw.raw_rows(client, address.collection())
