"""The way back (S16, S17): what the new store received is in the old one before the route returns."""

from __future__ import annotations

import hashlib
import json
import uuid
from pathlib import Path
from typing import Any

import chromadb
import faiss
import numpy as np
import pytest
from chromadb.config import Settings
from qdrant_client import QdrantClient, models
from qdrant_edge import EdgeShard, UpdateOperation

from tests.support.chroma_server import ChromaServer
from tests.support.migrating import Harness, contents, fill, mixed_batch, write
from tests.support.qdrant_server import QdrantServer
from tests.support.raw_collections import Place, generate, make_source
from vecferry import address, batch
from vecferry.errors import UnsafeRoute, VecferryError
from vecferry.ledger import Answer, Kind, State
from vecferry.mapping.ids import NAMESPACE
from vecferry.model import IdKind
from vecferry.operations import routes
from vecferry.stores import registry

QUICK = {"sync": {"absence_wait_s": 0}, "hooks": {"write_timeout_s": 0}}
DATA = generate(60, 8)


@pytest.fixture
def docs(request: pytest.FixtureRequest) -> str:
    """A source of 300 records in the memory store."""
    url = f"memory:///{request.node.name}"
    fill(url, [mixed_batch(300)])
    return url


def with_payload(record: str, payload: bytes) -> Any:
    """One record of the source with another payload."""
    row = mixed_batch(1, first=int(record.removeprefix("doc-")))
    made = batch.make(["x"], IdKind.STRING, payloads=[payload]).column(batch.PAYLOAD)
    return row.set_column(row.schema.get_field_index(batch.PAYLOAD), row.schema.field(batch.PAYLOAD), made)


@pytest.mark.slow
def test_s17_what_nobody_wrote_goes_back_as_it_was(harness: Harness, docs: str, tmp_path: Path) -> None:
    """Without new writes the route returns, no record of the old store differs, and the new store stays as it is."""
    target = f"qdrant+edge://{tmp_path}/edge/docs"
    ref = harness.migrate(docs, target, **QUICK)
    before = contents(docs)
    done = harness.rollback(ref)
    assert [done[word] for word in ("new", "changed", "deleted", "kept", "aside")] == [0] * 5
    assert harness.route(ref).url == docs
    assert harness.route(ref).epoch == 3
    assert harness.migration(ref).state is State.ROLLED_BACK
    assert contents(docs) == before
    assert len(contents(target)) == 300
    assert harness.released(ref)


def test_s17_new_changed_and_deleted_records_are_in_the_old_store(harness: Harness, docs: str) -> None:
    """Records that the new store received, changed or lost come along; untouched ones keep their bits."""
    target = f"{docs}-new"
    ref = harness.migrate(docs, target, **QUICK)
    before = contents(docs)
    write(target, mixed_batch(2, first=5000), with_payload("doc-3", b'{"edited":true}'), delete=("doc-9", "doc-10"))
    done = harness.rollback(ref)
    assert (done["new"], done["changed"], done["deleted"]) == (2, 1, 2)
    after = contents(docs)
    assert after.keys() == (before.keys() - {"doc-9", "doc-10"}) | {"doc-5000", "doc-5001"}
    assert after["doc-3"].payload == b'{"edited":true}'
    assert all(after[name] == before[name] for name in before.keys() & after.keys() - {"doc-3"})
    assert contents(docs) == contents(target)
    harness.ledger.verify_audit()


def test_s17_a_dry_run_tells_all_of_it_and_writes_nothing(harness: Harness, docs: str) -> None:
    """The figures of a dry run are those of the rollback; state, route and stores stay as they are."""
    target = f"{docs}-new"
    ref = harness.migrate(docs, target, **QUICK)
    write(target, mixed_batch(2, first=5000), delete=("doc-9",))
    write(docs, mixed_batch(1, first=6000))
    before = contents(docs), contents(target), harness.route(ref)
    figures = harness.foresee(ref)
    counts = figures.found.counts
    assert (counts.new, counts.deleted, counts.kept, counts.conflicts) == (2, 1, 1, 0)
    assert sorted(counts.examples["new"]) == ["'doc-5000'", "'doc-5001'"]
    assert (figures.leads_to, figures.copies) == (docs, False)
    assert figures.pause_s > 0
    assert (contents(docs), contents(target), harness.route(ref)) == before
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.sheets[-1].key == "rollback"
    done = harness.rollback(ref)
    assert (done["new"], done["deleted"], done["kept"]) == (2, 1, 1)


def test_s16_a_late_write_of_the_old_store_is_kept_and_listed(harness: Harness, docs: str) -> None:
    """What only the old store has, changed or lost stays so, and every such record is in the list."""
    ref = harness.migrate(docs, f"{docs}-new", **QUICK)
    write(docs, mixed_batch(1, first=6000), with_payload("doc-4", b'{"late":1}'), delete=("doc-5",))
    done = harness.rollback(ref)
    assert done["kept"] == 3
    after = contents(docs)
    assert "doc-6000" in after
    assert "doc-5" not in after
    assert after["doc-4"].payload == b'{"late":1}'
    listed = Path(done["listed"]["kept"]).read_text()
    assert all(name in listed for name in ("doc-6000", "doc-4", "doc-5"))


def clash(harness: Harness, docs: str) -> Any:
    """A switched migration with one record that both sides changed, and one that only the new side wrote."""
    ref = harness.migrate(docs, f"{docs}-new", **QUICK)
    write(docs, with_payload("doc-7", b'{"side":"old"}'))
    write(f"{docs}-new", with_payload("doc-7", b'{"side":"new"}'), mixed_batch(1, first=5000))
    return ref


def test_s16_a_conflict_stops_before_anything_is_written(harness: Harness, docs: str) -> None:
    """The record is named, its file is written, the state stays SWITCHED, and nothing was paused or carried."""
    ref = clash(harness, docs)
    before = contents(docs)
    with pytest.raises(UnsafeRoute, match="doc-7") as caught:
        harness.rollback(ref)
    assert "--prefer" in caught.value.advice
    assert harness.migration(ref).state is State.SWITCHED
    assert contents(docs) == before
    assert harness.released(ref)
    assert harness.ledger.pauses(ref.migration)[-1].returns_to is not State.SWITCHED


@pytest.mark.slow
@pytest.mark.parametrize("side", ["old", "new"])
def test_s16_one_side_wins_every_conflict_and_the_other_is_archived(harness: Harness, docs: str, side: str) -> None:
    """With --prefer the route returns, the winner stands in the old store, and the loser in the archive."""
    ref = clash(harness, docs)
    done = harness.rollback(ref, prefer=side)
    assert contents(docs)["doc-7"].payload == f'{{"side":"{side}"}}'.encode()
    assert "doc-5000" in contents(docs)
    assert done["settled"] >= 1
    assert list((harness.folder / "home").rglob("conflicts/*.parquet"))


@pytest.mark.slow
def test_s16_a_file_decides_each_conflict(harness: Harness, docs: str, tmp_path: Path) -> None:
    """The first run writes the file and stops; with its decisions the next one goes back."""
    ref = clash(harness, docs)
    file = tmp_path / "conflicts.jsonl"
    with pytest.raises(UnsafeRoute, match="doc-7"):
        harness.rollback(ref, conflicts=file)
    head, *lines = file.read_text().splitlines()
    decided = [json.dumps(json.loads(line) | {"decision": "new"}) for line in lines]
    file.write_text("\n".join([head, *decided]) + "\n")
    harness.rollback(ref, conflicts=file)
    assert contents(docs)["doc-7"].payload == b'{"side":"new"}'


@pytest.mark.slow
def test_s5_more_deletes_than_the_brake_lets_through_need_a_word(harness: Harness, docs: str) -> None:
    """Nothing is deleted until a person allows the deletes that were shown."""
    ref = harness.migrate(docs, f"{docs}-new", **(QUICK | {"sync": {"absence_wait_s": 0, "max_deletes": 5}}))
    gone = tuple(f"doc-{number}" for number in range(100, 140))
    write(f"{docs}-new", delete=gone)
    with pytest.raises(UnsafeRoute, match="40 deletes") as caught:
        harness.rollback(ref)
    assert f"vecferry rollback {ref.migration} --allow-deletes 40" in caught.value.advice
    assert len(contents(docs)) == 300
    assert harness.migration(ref).state is State.SWITCHED
    harness.rollback(ref, allow_deletes=40)
    assert not contents(docs).keys() & set(gone)


@pytest.mark.slow
def test_s7_the_command_is_the_approval(harness: Harness, docs: str) -> None:
    """Who rolled back, and what was agreed to, is an approval of its own in the ledger, used once."""
    ref = harness.migrate(docs, f"{docs}-new", **QUICK)
    harness.rollback(ref, by="ann")
    found = harness.ledger.approval(ref.migration)
    assert found is not None
    assert (found.kind, found.answer, found.answered_by) == (Kind.ROLLBACK, Answer.APPROVED, "ann")
    assert found.used_at is not None


def test_a_rollback_that_cannot_work_says_why_and_changes_nothing(harness: Harness, docs: str) -> None:
    """An old store that is gone, and a migration that did not switch, are refused with what can be done."""
    early = harness.start(docs, f"{docs}-other", route="other", **QUICK)
    with pytest.raises(UnsafeRoute, match="only a SWITCHED one"):
        harness.rollback(early)
    ref = harness.migrate(docs, f"{docs}-new", **QUICK)
    with registry.open_target(address.parse(docs)) as store:
        store.drop()
    with pytest.raises(UnsafeRoute, match="is gone") as caught:
        harness.rollback(ref)
    assert "vecferry restore" in caught.value.advice
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.released(ref)


@pytest.mark.slow
def test_rolled_back_twice_is_rolled_back_once(harness: Harness, docs: str) -> None:
    """A second rollback moves nothing and gives the figures of the first."""
    ref = harness.migrate(docs, f"{docs}-new", **QUICK)
    write(f"{docs}-new", mixed_batch(1, first=5000))
    first = harness.rollback(ref)
    epoch = harness.route(ref).epoch
    assert harness.rollback(ref) == first
    assert harness.route(ref).epoch == epoch


def test_s18_the_route_goes_back_at_once_and_the_records_later(harness: Harness, tmp_path: Path) -> None:
    """While the new store cannot be opened the route returns without it; `merge` brings its records when it can."""
    docs, new = f"memory:///{tmp_path.name}-alone", tmp_path / "new" / "docs"
    fill(docs, [mixed_batch(300)])
    ref = harness.migrate(docs, f"qdrant+edge://{new}", **QUICK)
    shard = EdgeShard.load(str(new))
    shard.update(UpdateOperation.delete_points([point_of("doc-9")]))
    shard.close()
    new.rename(tmp_path / "away")
    routes.route_only(harness.runner, ref)
    assert harness.migration(ref).state is State.ROLLED_BACK_UNMERGED
    assert harness.route(ref).url == docs
    assert harness.released(ref)
    assert "doc-9" in contents(docs)
    write(docs, mixed_batch(1, first=7000))
    with pytest.raises(UnsafeRoute, match="went back already"):
        harness.rollback(ref)
    with pytest.raises(VecferryError):
        harness.merge(ref)
    assert harness.migration(ref).state is State.ROLLED_BACK_UNMERGED
    assert harness.released(ref)
    (tmp_path / "away").rename(new)
    done = harness.merge(ref)
    assert (done["deleted"], done["kept"]) == (1, 1)
    assert harness.migration(ref).state is State.ROLLED_BACK
    assert "doc-9" not in contents(docs)
    assert "doc-7000" in contents(docs)
    assert harness.released(ref)
    harness.ledger.verify_audit()


# Real engines, written by their own clients


def point_of(record: str) -> str:
    """Where a record with a text for an id is in Qdrant."""
    return str(uuid.uuid5(NAMESPACE, record))


def test_faiss_gets_a_verified_copy_that_has_what_qdrant_received(harness: Harness, tmp_path: Path) -> None:
    """The old index is not touched; a new one beside it holds all records, and the route leads to it."""
    old = make_source("faiss", Place(tmp_path), "docs", DATA)
    before = {file.name: hashlib.sha256(file.read_bytes()).digest() for file in tmp_path.glob("docs.*")}
    with QdrantServer(tmp_path / "qdrant") as server:
        new = f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}"
        ref = harness.migrate(old, new, **QUICK)
        client = QdrantClient(port=server.rest_port, check_compatibility=False)
        vector = [float(number) for number in range(8)]
        client.upsert("docs", [models.PointStruct(id=1000, vector=vector, payload={"title": "born in Qdrant"})])
        client.overwrite_payload("docs", {"title": "edited", "text": "new words"}, points=[3])
        client.delete("docs", models.PointIdsList(points=[5]))
        client.close()
        done = harness.rollback(ref)
    url = str(done["url"])
    assert url == harness.route(ref).url == f"faiss://{tmp_path}/docs-{ref.migration}.index"
    assert (done["new"], done["changed"], done["deleted"]) == (1, 1, 1)
    assert {file.name: hashlib.sha256(file.read_bytes()).digest() for file in tmp_path.glob("docs.*")} == before
    index = faiss.read_index(str(tmp_path / f"docs-{ref.migration}.index"))
    assert index.ntotal == 60
    was, now = harness.records(old), harness.records(url)
    assert now.keys() == (was.keys() - {(IdKind.UINT64, "5")}) | {(IdKind.UINT64, "1000")}
    born, edited = now[IdKind.UINT64, "1000"], now[IdKind.UINT64, "3"]
    assert json.loads(born.payload) == {"title": "born in Qdrant"}
    assert json.loads(edited.payload) == {"text": "new words", "title": "edited"}
    assert edited.vectors == was[IdKind.UINT64, "3"].vectors
    untouched = was.keys() & now.keys() - {(IdKind.UINT64, "3")}
    assert all(now[name] == was[name] for name in untouched)


@pytest.mark.slow
def test_chroma_gets_what_qdrant_received_and_keeps_its_own_late_writes(harness: Harness, tmp_path: Path) -> None:
    """Both sides were written by their own clients: each record ends as the table of cases says."""
    with ChromaServer(tmp_path / "chroma") as chroma, QdrantServer(tmp_path / "qdrant") as server:
        place = Place(tmp_path, server.grpc_port, server.rest_port, chroma.port)
        old = make_source("chroma", place, "docs", DATA)
        new = f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}"
        ref = harness.migrate(old, new, **QUICK)
        client = QdrantClient(port=server.rest_port, check_compatibility=False)
        client.set_payload("docs", {"title": "of Qdrant"}, points=[point_of("doc-1")])
        client.delete("docs", models.PointIdsList(points=[point_of("doc-2")]))
        born = models.PointStruct(id=point_of("born"), vector=[1.0] * 8, payload={"vecferry_id": "born", "year": 1})
        client.upsert("docs", [born])
        client.close()
        settings = Settings(anonymized_telemetry=False)
        raw = chromadb.HttpClient(host="127.0.0.1", port=chroma.port, settings=settings)
        late = raw.get_collection("docs", embedding_function=None)
        late.update(ids=["doc-3"], metadatas=[{"title": "late"}])
        late.add(ids=["late"], embeddings=[[2.0] * 8], metadatas=[{"year": 2}])
        untouched = late.get(ids=["doc-4"], include=["metadatas", "embeddings", "documents"])
        done = harness.rollback(ref)
        found = late.get(include=["metadatas"])
        same = late.get(ids=["doc-4"], include=["metadatas", "embeddings", "documents"])
        rows = dict(zip(found["ids"], found["metadatas"], strict=True))
    assert harness.route(ref).url == old
    assert (done["new"], done["changed"], done["deleted"], done["kept"]) == (1, 1, 1, 2)
    assert rows["doc-1"]["title"] == "of Qdrant"
    assert "doc-2" not in rows
    assert rows["born"] == {"year": 1}
    assert rows["doc-3"]["title"] == "late"
    assert rows["late"] == {"year": 2}
    assert np.array_equal(same.pop("embeddings"), untouched.pop("embeddings"))
    assert same == untouched


@pytest.mark.slow
def test_an_old_store_that_was_encoded_before_is_written_in_its_own_encoding(harness: Harness, tmp_path: Path) -> None:
    """A store that an earlier migration filled gets new records as that one would have written them."""
    first, last = (f"memory:///{tmp_path.name}-{name}" for name in ("first", "last"))
    middle = f"qdrant+edge://{tmp_path}/edge/docs"
    fill(first, [mixed_batch(200)])
    harness.migrate(first, middle, route="there", **QUICK)
    before = harness.records(middle)
    ref = harness.migrate(middle, last, route="back", **QUICK)
    write(last, mixed_batch(1, first=5000), with_payload("doc-3", b'{"edited":true}'), delete=("doc-9",))
    done = harness.rollback(ref)
    assert (done["new"], done["changed"], done["deleted"], done["kept"]) == (1, 1, 1, 0)
    after = harness.records(middle)
    born, edited, gone = ((IdKind.STRING, name) for name in ("doc-5000", "doc-3", "doc-9"))
    assert after.keys() == (before.keys() - {gone}) | {born}
    assert after[edited].payload == b'{"edited":true}'
    assert all(after[name] == before[name] for name in before.keys() & after.keys() - {edited})
