"""S16 on real engines: both stores written by their own clients after a migration, merged, and read by them again."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chromadb
import numpy as np
import pyarrow as pa
import pytest
from chromadb.config import Settings
from qdrant_edge import EdgeShard, Point, UpdateOperation

from tests.support.migrating import Harness
from tests.support.raw_collections import Place, generate, make_source, target_url
from vecferry import address
from vecferry.archive import Archive
from vecferry.contract import Target
from vecferry.mapping.ids import NAMESPACE
from vecferry.stores import registry
from vecferry.transfer.conflicts import Choice, prefer
from vecferry.transfer.decoded import mapping_of
from vecferry.transfer.holding import reasons_not_held
from vecferry.transfer.merge import Known, MergePlan, Rules, merge
from vecferry.validation.same_parts import same_parts

DATA = generate(40, 8)


@dataclass
class Moved:
    """A Chroma folder that was moved into Qdrant's engine, and both as their own clients have them."""

    folder: Path
    old_url: str
    new_url: str

    def old(self) -> chromadb.Collection:
        settings = Settings(anonymized_telemetry=False)
        client = chromadb.PersistentClient(str(self.folder / "chroma-docs"), settings=settings)
        return client.get_collection("docs", embedding_function=None)

    def new(self) -> EdgeShard:
        return EdgeShard.load(str(self.folder / "edge" / "docs"))

    def write_new(self, record_id: str, **payload: Any) -> None:
        """Change a point as an application does: by its own id, keys replaced or (None) removed."""
        shard = self.new()
        with contextlib.closing(shard):
            point = shard.retrieve([_point_id(record_id)], with_payload=True, with_vector=True)[0]
            vector = payload.pop("vector", point.vector)
            changed = {key: value for key, value in {**point.payload, **payload}.items() if value is not None}
            shard.update(UpdateOperation.upsert_points([Point(point.id, vector, changed)]))

    def merge(self, wins: Choice) -> MergePlan:
        """All records of both stores, in one batch, and written to the old store."""
        with _opened(self.old_url) as old, _opened(self.new_url) as new:
            mapping = mapping_of(new.describe().mark)
            assert mapping is not None
            rules = Rules(
                mapping,
                same_new=same_parts({source.name: step.tolerance for source, _, step in mapping.vectors.moved()}),
                cannot_hold=reasons_not_held(old.describe(), old.capabilities()),
                decide=prefer(wins),
            )
            plan = merge(_everything(old), _everything(new), self.known(), rules)
            old.write(plan.upserts.records)
            old.delete(plan.deletes)
        return plan

    def contents(self) -> dict[str, tuple[Any, dict[str, Any], str | None]]:
        """Vector, metadata and document by id, as Chroma's client gives them."""
        found = self.old().get(include=["embeddings", "metadatas", "documents"])
        vectors = [np.asarray(vector).tolist() for vector in found["embeddings"]]
        rows = zip(vectors, map(dict, found["metadatas"]), found["documents"], strict=True)
        return dict(zip(found["ids"], rows, strict=True))

    def known(self) -> Known:
        """What the archive has of the migration."""
        archive = Archive.open(self.folder / "archive", "docs")
        numbers = archive.part_numbers()
        hashes = pa.concat_batches([archive.read_hashes(number).batch for number in numbers])
        originals = pa.concat_batches([batch for number in numbers for batch in archive.read_part(number)])
        return Known.of(hashes, originals)


def _opened(url: str) -> Target:
    return registry.open_target(address.parse(url))


def _everything(store: Target) -> pa.RecordBatch:
    return pa.concat_batches([batch for part in store.slices(1) for batch in store.read(part)])


def _point_id(record_id: str) -> str:
    """The id of a Chroma record in Qdrant, by the rule in the documentation."""
    return str(uuid.uuid5(NAMESPACE, record_id))


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Moved:
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    place = Place(tmp_path)
    old, new = make_source("chroma+path", place, "docs", DATA), target_url("qdrant+edge", place, "docs")
    Harness(tmp_path).migrate(old, new, archive=str(tmp_path / "archive"))
    return Moved(tmp_path, old, new)


def applications_write(moved: Moved) -> None:
    """What the application did to the new store, and what came late to the old one, each by the engine's own client."""
    moved.write_new("doc-1", title="new title")
    moved.write_new("doc-2", vector=[1.0, 2, 3, 4, 5, 6, 7, 8])
    moved.write_new("doc-4", text="new words")
    moved.write_new("doc-6", title="of the new store")
    moved.write_new("doc-7", nested={"a": {"b": 1}})
    shard = moved.new()
    shard.update(UpdateOperation.delete_points([_point_id("doc-3"), _point_id("doc-5")]))
    born = Point(_point_id("born"), [1.0] * 8, {"vecferry_id": "born", "text": "hello", "year": 2026})
    shard.update(UpdateOperation.upsert_points([born, Point(777, [2.0] * 8, {"year": 1})]))
    shard.close()
    old = moved.old()
    old.update(ids=["doc-4", "doc-5", "doc-6", "doc-8"], metadatas=[{"title": f"late {n}"} for n in (4, 5, 6, 8)])
    old.delete(ids=["doc-9"])
    old.add(ids=["late"], embeddings=[[1.0] * 8], metadatas=[{"year": 1}])


def test_s16_two_engines_are_merged_and_their_own_clients_see_it(moved: Moved) -> None:
    """Chroma has what Qdrant has, what came late to itself, and each part that nobody touched as it was. What Chroma
    cannot hold stays in Qdrant, with a reason."""
    before = moved.contents()
    applications_write(moved)
    plan = moved.merge(Choice.NEW)
    after = moved.contents()
    assert {**plan.counts.numbers()} == {
        "new": 1, "changed": 4, "deleted": 2, "same": 0, "kept": 4, "conflicts": 0, "settled": 2, "aside": 2,
    }  # fmt: skip
    assert dict(zip(plan.aside.ids.column("id").to_pylist(), plan.aside.reasons.to_pylist(), strict=True)) == {
        "777": "it has no ids of the kind uint64",
        "doc-7": "it cannot hold the payload under 'nested'",
    }
    assert before.keys() - after.keys() == {"doc-3", "doc-5", "doc-9"}
    assert after.keys() - before.keys() == {"born", "late"}
    changed = {name for name in before.keys() & after.keys() if before[name] != after[name]}
    assert changed == {"doc-1", "doc-2", "doc-4", "doc-6", "doc-8"}
    vector, metadata, text = before["doc-1"]
    # Chroma's cosine index rounds a vector a little whenever it is written, also its own.
    assert np.allclose(after["doc-1"][0], vector, rtol=4e-6)
    assert after["doc-1"][1] | {"price": 0} == metadata | {"title": "new title", "price": 0}
    assert after["doc-1"][2] == text
    assert after["doc-2"][1:] == before["doc-2"][1:]
    assert np.allclose(after["doc-2"][0] / np.linalg.norm(after["doc-2"][0]), np.arange(1, 9) / np.sqrt(204), atol=1e-6)
    assert after["doc-4"][1:] == (before["doc-4"][1] | {"title": "late 4"}, "new words")
    assert after["doc-8"] == (before["doc-8"][0], before["doc-8"][1] | {"title": "late 8"}, before["doc-8"][2])
    assert after["doc-6"][1]["title"] == "of the new store"
    assert after["born"][1:] == ({"year": 2026}, "hello")
    losers = dict(zip(plan.losers.column("id").to_pylist(), plan.losers.column("payload").to_pylist(), strict=True))
    assert losers.keys() == {"doc-5", "doc-6"}
    assert all("late" in payload for payload in losers.values())


def test_s16_stores_that_nobody_wrote_are_the_same_to_a_merge(moved: Moved) -> None:
    """Rounded floats, unit vectors and texts in payloads are no changes."""
    plan = moved.merge(Choice.OPEN)
    assert not any(plan.counts.numbers().values())
    assert not len(plan.conflicts)
