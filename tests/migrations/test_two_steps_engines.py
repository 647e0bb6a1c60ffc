"""A cutover in two steps between real engines, looked at and written by their own clients (S15)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from tests.migrations.test_two_steps import TWO, routed, watching
from tests.support.migrating import Harness
from tests.support.qdrant_server import QdrantServer
from tests.support.raw_collections import Place, generate, make_source
from vecferry.errors import PlanRefused, UnsafeRoute
from vecferry.ledger import State
from vecferry.operations import ending

DATA = generate(60, 8)


def grow(folder: Path) -> None:
    """One more row in the index and its metadata, both replaced by a rename."""
    index = faiss.read_index(str(folder / "docs.index"))
    index.add(np.full((1, 8), 0.25, dtype=np.float32))
    metadata = json.loads((folder / "docs.json").read_text())
    metadata["60"] = {"title": "added while reads were new"}
    (folder / "aside").mkdir()
    faiss.write_index(index, str(folder / "aside" / "docs.index"))
    (folder / "aside" / "docs.json").write_text(json.dumps(metadata))
    for path in (folder / "aside").iterdir():
        path.replace(folder / path.name)


def points(client: QdrantClient, name: str = "docs") -> dict[int, dict[str, Any]]:
    """Every payload, by its id, as Qdrant's own client reads it."""
    found, _ = client.scroll(name, limit=1000, with_payload=True)
    return {int(point.id): dict(point.payload or {}) for point in found}


@pytest.mark.slow
def test_s15_faiss_to_qdrant_in_two_steps_and_back_to_a_copy_that_has_what_qdrant_received(
    harness: Harness, tmp_path: Path
) -> None:
    """Reads first, a pass in between, then writes; rows that Qdrant's client wrote are in a new FAISS file."""
    old = make_source("faiss", Place(tmp_path), "docs", DATA)
    with QdrantServer(tmp_path / "qdrant") as server:
        new = f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}"
        client = QdrantClient(port=server.rest_port, check_compatibility=False)
        ref = watching(harness, old, new)
        assert routed(harness, ref)[:3] == (State.READS_NEW, str(harness.route(ref).reads_url), old)
        grow(tmp_path)
        files = {file.name: hashlib.sha256(file.read_bytes()).digest() for file in tmp_path.glob("docs.*")}
        assert harness.sync(ref).carried == 1
        assert points(client)[60] == {"title": "added while reads were new"}
        harness.run(ref)
        assert harness.migration(ref).state is State.SWITCHED
        assert harness.route(ref).reads_url is None
        client.upsert("docs", [models.PointStruct(id=1000, vector=[1.0] * 8, payload={"title": "born in Qdrant"})])
        client.overwrite_payload("docs", {"title": "edited"}, points=[3])
        client.delete("docs", models.PointIdsList(points=[5]))
        assert harness.sync(ref).carried == 0
        done = harness.rollback(ref)
        expected = points(client)
        client.close()
    assert (done["new"], done["changed"], done["deleted"]) == (1, 1, 1)
    assert routed(harness, ref)[:3] == (State.ROLLED_BACK, str(done["url"]), str(done["url"]))
    assert {file.name: hashlib.sha256(file.read_bytes()).digest() for file in tmp_path.glob("docs.*")} == files
    copy = tmp_path / f"docs-{ref.migration}.index"
    assert str(done["url"]) == f"faiss://{copy}"
    index = faiss.read_index(str(copy))
    ids = set(faiss.vector_to_array(index.id_map).tolist())
    assert ids == set(expected) == set(range(61)) - {5} | {1000}
    assert index.reconstruct(1000).tolist() == [1.0] * 8
    stored = {name: row for (_, name), row in harness.records(str(done["url"])).items()}
    assert json.loads(stored["1000"].payload or b"") == {"title": "born in Qdrant"}
    assert json.loads(stored["3"].payload or b"") == {"title": "edited"}
    assert json.loads(stored["60"].payload or b"") == {"title": "added while reads were new"}


def lead(client: QdrantClient, alias: str, collection: str) -> None:
    """Point an alias, as a person does."""
    made = models.CreateAlias(collection_name=collection, alias_name=alias)
    client.update_collection_aliases([models.CreateAliasOperation(create_alias=made)])


def leads(client: QdrantClient) -> dict[str, str]:
    """Where each alias leads, as Qdrant's own client reads it."""
    return {one.alias_name: one.collection_name for one in client.get_aliases().aliases}


@pytest.mark.slow
def test_s15_two_aliases_tell_reads_from_writes(harness: Harness, tmp_path: Path) -> None:
    """One alias is refused; two lead apart while reads are new, together after the switch, and back by a rollback."""
    with QdrantServer(tmp_path / "qdrant") as server:
        client = QdrantClient(port=server.rest_port, check_compatibility=False)
        client.create_collection("one", vectors_config=models.VectorParams(size=4, distance=models.Distance.COSINE))
        rows = [models.PointStruct(id=number, vector=[1.0, number, 0, 0], payload={}) for number in range(20)]
        client.upsert("one", rows)
        url = f"qdrant://127.0.0.1:{server.grpc_port}/%s?rest_port={server.rest_port}"
        with pytest.raises(PlanRefused, match="serves reads and writes alike"):
            harness.run(harness.start(url % "one", url % "three", route="other", **TWO))
        lead(client, "live", "one")
        options = {"route": "live", "reads_alias": "live-reads"}
        early = harness.start(url % "one", url % "two", **options, **TWO)
        with pytest.raises(UnsafeRoute, match="'live-reads' leads to nothing"):
            harness.run(early)
        assert harness.migration(early).state is State.READY
        ending.abort(harness.ledger, early.migration)
        ending.discard(harness.runner, early)
        lead(client, "live-reads", "one")
        ref = watching(harness, url % "one", url % "two", **options)
        assert leads(client) == {"live": "one", "live-reads": "two"}
        client.upsert("live", [models.PointStruct(id=99, vector=[0, 1.0, 0, 0], payload={"late": True})])
        assert harness.sync(ref).carried == 1
        assert client.count("live-reads").count == 21
        harness.rollback(ref)
        assert leads(client) == {"live": "one", "live-reads": "one"}
        harness.run(ref)
        assert leads(client) == {"live": "two", "live-reads": "two"}
        harness.rollback(ref)
        assert leads(client) == {"live": "one", "live-reads": "one"}
        assert client.count("live").count == 21
        client.close()
