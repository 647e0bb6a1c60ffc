"""Blocks for stores: flows take their names, secrets stay in them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prefect import get_client
from pydantic import SecretStr

from deployments import blocks
from flows.blocks import VecferryStore, secret_of, store_in
from flows.blue_green import blue_green
from flows.inventory import inventory
from flows.rollback import rollback_blue_green
from tests.flows.helpers import ROWS, Stores, artifacts_of, flow_run_of
from tests.support.qdrant_server import QdrantServer
from vecferry.address import parse
from vecferry.errors import BadOption, NotFound
from vecferry.ledger import Ledger, State
from vecferry.stores import registry

pytestmark = pytest.mark.slow

KEY = "only-in-the-block"


@pytest.fixture
def block(prefect_api: None) -> Iterator[Callable[..., str]]:
    """Saves a block, as the UI does; it is gone after the test."""
    made: list[str] = []

    def save(name: str, **fields: object) -> str:
        VecferryStore(**fields).save(name, overwrite=True)
        made.append(name)
        return name

    yield save
    for name in set(made):
        VecferryStore.delete(name)


def test_the_type_is_registered_once(prefect_api: None) -> None:
    """A second registration changes nothing, and the UI's form asks for the URL alone."""
    assert blocks.register() == blocks.register() == "vecferry-store"
    with get_client(sync_client=True) as client:
        schema = client.get_most_recent_block_schema_for_block_type(client.read_block_type_by_slug("vecferry-store").id)
    assert schema is not None
    assert schema.fields["required"] == ["url"]
    assert set(schema.fields["secret_fields"]) == {"api_key", "token", "basic"}


def test_a_store_behind_a_key_is_moved_to_and_left_again(
    ledger: Ledger, stores: Stores, block: Callable[..., str], tmp_path: Path
) -> None:
    """A migration and its rollback open a store with the block's key, which neither ledger nor server shows."""
    with QdrantServer(tmp_path / "qdrant", api_key=KEY) as server:
        url = f"qdrant://127.0.0.1:{server.grpc_port}/new?rest_port={server.rest_port}"
        target = block("new-store", url=url, api_key=SecretStr(KEY))
        state = blue_green(stores.source, target_block=target, approve="auto", return_state=True)
        assert state.is_completed(), state.message
        run = flow_run_of(state)
        back = rollback_blue_green(state.result()["migration"], return_state=True)
        assert back.is_completed(), back.message
        with registry.open_target(parse(url, {"api_key": KEY})) as store:
            assert store.count() == ROWS
    (migration,) = ledger.migrations()
    assert migration.state is State.ROLLED_BACK
    assert migration.config["target"]["api_key"]["block"] == f"{target}/api_key"
    assert run.name.endswith(f"-> {target}")
    told = json.dumps([run.parameters, [str(one.data) for one in artifacts_of(run).values()]], default=str)
    assert KEY not in told
    assert KEY.encode() not in (tmp_path / "ledger.db").read_bytes()


def test_another_collection_of_the_block_s_store_can_be_named(
    ledger: Ledger, stores: Stores, block: Callable[..., str]
) -> None:
    """A URL beside the block names the collection; the block may be that of a whole store."""
    state = inventory(stores.source, source_block=block("all", url="memory:///"), return_state=True)
    assert state.result() == {"records": ROWS}


@pytest.mark.parametrize(
    "elsewhere",
    ["qdrant://other:6334/docs", "qdrant://host:6335/docs", "qdrants://host:6334/docs", "chroma://host:6334/docs"],
)
def test_secrets_of_a_block_go_to_its_store_alone(block: Callable[..., str], elsewhere: str) -> None:
    """Whoever may start runs cannot have a block's key sent to a server of their own."""
    name = block("production", url="qdrant://host:6334/docs", api_key=SecretStr(KEY))
    with pytest.raises(BadOption, match="secrets go nowhere else"):
        store_in(name, elsewhere)
    assert store_in(name, "qdrant://host:6334/other")["api_key"] == {"block": "production/api_key"}


def test_files_of_a_block_are_those_below_its_path(block: Callable[..., str]) -> None:
    """A block that trusts a folder's files trusts no others."""
    name = block("files", url="qdrant+path:///data/old", trust_local_files=True)
    assert store_in(name, "qdrant+path:///data/old/docs")["trust_local_files"] is True
    for elsewhere in ("qdrant+path:///data/older/docs", "qdrant+path:///data/old/../new/docs"):
        with pytest.raises(BadOption, match="secrets go nowhere else"):
            store_in(name, elsewhere)


def test_a_changed_key_is_used_at_once(block: Callable[..., str]) -> None:
    """A key that was replaced while a run waits is the new one when the store is opened next."""
    name = block("rotated", url="qdrant://host:6334/docs", api_key=SecretStr("old"))
    assert secret_of(name, "api_key") == "old"
    block("rotated", url="qdrant://host:6334/docs", api_key=SecretStr("new"))
    assert secret_of(name, "api_key") == "new"
    block("rotated", url="qdrant://host:6334/docs")
    with pytest.raises(NotFound, match="has no api_key"):
        secret_of(name, "api_key")


def test_an_unknown_block_and_two_sources_of_a_key_are_refused(
    ledger: Ledger, stores: Stores, block: Callable[..., str]
) -> None:
    """The run ends with one message that names the block."""
    absent = blue_green(stores.source, target_block="absent", return_state=True)
    assert absent.is_failed()
    assert "no block of stores is named 'absent'" in absent.message
    twice = inventory(stores.source, source_block="all", source_key_env="KEY", return_state=True)
    assert twice.is_failed()
    assert "'all'" in twice.message
    assert "KEY" in twice.message
    assert ledger.migrations() == []
