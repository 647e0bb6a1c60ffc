"""Records made in Qdrant and moved into a workspace that a Chroma server still serves, by the engines' own clients."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import models

from tests.migrations.test_rolling_engines import Application, place_of, states
from tests.support.chroma_server import ChromaServer
from tests.support.migrating import Harness
from tests.support.qdrant_server import QdrantServer
from tests.support.tenants import before
from vecferry.errors import DataDiffer
from vecferry.ledger import State, workspace_key
from vecferry.operations import routes, workspaces
from vecferry.strategies import waves
from vecferry.strategies.moved import MOVED_FACT

UNHOLDABLE = (77, str(uuid.UUID(int=7, version=4)))
"""Ids that stand for no text of the old store."""


def vector_of(number: int) -> list[float]:
    found: list[float] = np.random.default_rng(number).normal(size=8).astype(np.float32).tolist()
    return found


@pytest.mark.slow
def test_s20_r10_records_made_in_qdrant_follow_their_workspace_to_chroma(harness: Harness, tmp_path: Path) -> None:
    """Listed are an id that Chroma has otherwise, and what Chroma cannot hold: a number, a UUID that is no text."""
    with ChromaServer(tmp_path / "chroma") as chroma, QdrantServer(tmp_path / "qdrant") as server:
        app = Application(harness, chroma, server)
        for workspace in "ab":
            for number in range(6):
                app.put(f"{workspace}-{number}", workspace, number)
        seen: list[dict[str, Any]] = []

        def make_move_and_sync() -> None:
            assert [app.serves_old(workspace) for workspace in "ab"] == [False, True]
            places = {name: place_of(name) for name in ("n-1", "n-2")}
            for number, (name, place) in enumerate(places.items(), 70):
                make(app, place, {"workspace_id": "a", "n": number, "vecferry_id": name})
            for number, other in enumerate(UNHOLDABLE, 80):
                make(app, other, {"workspace_id": "a", "n": number})
            app.old.upsert(ids=["n-2"], embeddings=[vector_of(5)], metadatas=[{"workspace_id": "b", "n": 5}])
            app.qdrant.set_payload("docs", {"workspace_id": "b"}, points=[*places.values(), *UNHOLDABLE], wait=True)
            with pytest.raises(DataDiffer, match="n-2|" + places["n-2"]):
                harness.sync(ref)
            seen.append(dict(app.old.get(include=["metadatas", "embeddings"])))
            app.old.delete(ids=["n-2"])
            app.qdrant.delete("docs", models.PointIdsList(points=[places["n-2"], *UNHOLDABLE]), wait=True)

        before(harness, {(waves.switch_wave, 2): make_move_and_sync})
        ref = harness.start(
            f"{chroma.url}/docs",
            f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}",
            "rolling",
            rolling={"wave": 1, "moved": "follow"},
            sync={"absence_wait_s": 0, "driver_timeout_s": 0},
        )
        harness.run(ref)
        every = sorted([f"{workspace}-{number}" for workspace in "ab" for number in range(6)] + ["n-1"])
        carried, other = (seen[0]["ids"].index(name) for name in ("n-1", "n-2"))
        assert sorted(seen[0]["ids"]) == sorted([*every, "n-2"])
        assert dict(seen[0]["metadatas"][carried]) == {"workspace_id": "b", "n": 70}
        assert seen[0]["metadatas"][other]["n"] == 5
        point = app.qdrant.retrieve("docs", [place_of("n-1")], with_vectors=True)[0]
        np.testing.assert_allclose(seen[0]["embeddings"][carried], point.vector, rtol=4e-6, atol=1e-6)
        listed = harness.ledger.fact(harness.ledger.workspace(ref.migration, workspace_key("b")).child, MOVED_FACT)
        assert listed is not None
        assert (listed["brought"], listed["differing"], listed["aside"]) == (1, 1, 2)
        assert "ids of the kind uint64" in Path(listed["listed"]).read_text()

        assert set(states(harness, ref).values()) == {State.SWITCHED}
        assert sorted(app.old.get()["ids"]) == every
        assert app.qdrant.count("docs", exact=True).count == len(every)
        app.qdrant.set_payload("docs", {"n": 700}, points=[place_of("n-1")], wait=True)
        workspaces.roll_back(harness.runner, ref, ["b"], routes.settlement())
        assert (app.old.get(ids=["n-1"])["metadatas"] or [{}])[0]["n"] == 700
        assert sorted(app.old.get()["ids"]) == every


def make(app: Application, place: int | str, payload: dict[str, Any]) -> None:
    """The application makes a record in Qdrant."""
    app.qdrant.upsert("docs", [models.PointStruct(id=place, vector=vector_of(9), payload=payload)], wait=True)
