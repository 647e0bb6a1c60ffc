"""An engine's alias, held against the route that it follows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from qdrant_client import QdrantClient, models

from tests.support.qdrant_server import QdrantServer
from vecferry.config import make_config
from vecferry.ledger import Ledger, State
from vecferry.operations import migrations, pausing
from vecferry.routing import aliases
from vecferry.strategies.work import open_work


@pytest.fixture
def server(tmp_path: Path) -> Iterator[QdrantServer]:
    """A loopback server with two collections."""
    with QdrantServer(tmp_path / "qdrant") as running:
        client = QdrantClient(url=running.url, check_compatibility=False)
        size = models.VectorParams(size=4, distance=models.Distance.COSINE)
        for name in ("old", "new", "other"):
            client.create_collection(name, vectors_config=size)
        client.close()
        yield running


def test_s24_an_alias_is_looked_at_once_a_switch_has_meant_it(server: QdrantServer, tmp_path: Path) -> None:
    """Before the switch there is none; after it, one that follows, one that was moved by hand, and one that is gone."""
    base = f"qdrant://127.0.0.1:{server.grpc_port}"
    old, new = (f"{base}/{name}?rest_port={server.rest_port}" for name in ("old", "new"))
    config = make_config({"source": old, "target": new, "route": "docs", "retry_budget_s": 0})
    ledger = Ledger.open(tmp_path / "ledger.db")
    ref = migrations.start(ledger, config)
    open_work(ref).route()
    ledger.transition(ref.migration, [State.PLANNED], State.READY, event="verified")
    assert pausing.observe(ledger, ref.migration).seen == ()

    source, target = config.source.public(), config.target.public()
    plan = aliases.plan(source, target, "docs")
    ledger.switch_route(
        ref.migration,
        "docs",
        expected_epoch=1,
        to_url=new,
        state_from=State.READY,
        state_to=State.SWITCHED,
        event="switched",
        token=None,
        alias=plan.intent(target),
    )
    assert pausing.observe(ledger, ref.migration).differences == ("alias: there is no alias 'docs'",)
    plan.point_at(target)
    found = pausing.observe(ledger, ref.migration)
    assert [(one.where, one.url) for one in found.seen] == [("alias", str(target))]
    assert found.differences == ()
    plan.point_at(source)
    assert pausing.observe(ledger, ref.migration).differences == (f"alias serves {source}, recorded is {target}",)
    server.stop()
    [seen] = pausing.observe(ledger, ref.migration).seen
    assert "does not answer" in seen.error
