"""Sync: what the application changes in the old store while a migration waits is in the new one, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromadb
import faiss
import numpy as np
import pytest
from chromadb.config import Settings
from milvus_lite.server_manager import server_manager_instance
from pymilvus import MilvusClient
from qdrant_client import QdrantClient

from tests.support.chroma_server import ChromaServer
from tests.support.migrating import Harness, contents, fill, mixed_batch
from tests.support.qdrant_server import QdrantServer
from tests.support.raw_collections import Place, generate, make_source, target_url
from vecferry import address, batch
from vecferry.archive import Archive, verify
from vecferry.errors import DataDiffer, LockHeld, UnsafeRoute
from vecferry.ledger import Direction, Holder, State, migration_resource
from vecferry.model import IdKind, VerdictState
from vecferry.operations import ending
from vecferry.operations.sync import lag
from vecferry.stores import registry
from vecferry.strategies import steps
from vecferry.strategies.blue_green import copy_and_validate
from vecferry.strategies.runner import ApprovalForm, Ref
from vecferry.transfer.decoded import mapping_of

KILLED = -9
AT_ONCE = {"absence_wait_s": 0.0, "driver_timeout_s": 0.0}


@pytest.fixture
def docs(request: pytest.FixtureRequest) -> str:
    """A source of 300 records in this process."""
    url = f"memory:///{request.node.name}"
    fill(url, [mixed_batch(300)])
    return url


def ready(harness: Harness, source: str, target: str, **options: Any) -> Ref:
    """A migration that was copied and validated, and waits."""
    ref = harness.start(source, target, sync=AT_ONCE, **options)
    copy_and_validate(harness.runner, ref)
    assert harness.migration(ref).state is State.READY
    return ref


def write(url: str, *, first: int = 0, rows: int = 0, gone: range = range(0), payload: str = "") -> None:
    """Change a collection behind vecferry's back: `rows` records of `mixed_batch` from `first` on, and deletes."""
    with registry.open_target(address.parse(url)) as store, store.bulk_load():
        if rows:
            records = mixed_batch(rows, first=first)
            if payload:
                texts = batch.make(["x"] * rows, IdKind.STRING, payloads=[payload] * rows).column(batch.PAYLOAD)
                at = records.schema.get_field_index(batch.PAYLOAD)
                records = records.set_column(at, records.schema.field(at), texts)
            store.write(records)
        if gone:
            store.delete(batch.make([f"doc-{number}" for number in gone], IdKind.STRING))


def archive_of(harness: Harness) -> Archive:
    """The only archive below the home folder."""
    (manifest,) = (harness.folder / "home" / "archives").rglob("manifest.json")
    folder = manifest.parent
    (name,) = Archive.collections(folder.parent)
    return Archive.open(folder.parent, name)


# Real stores, changed by their own clients


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A real Chroma server and the loopback Qdrant server."""
    folder = tmp_path_factory.mktemp("sync")
    with QdrantServer(folder / "qdrant-server") as qdrant, ChromaServer(folder / "chroma-server") as chroma:
        yield Place(folder, qdrant.grpc_port, qdrant.rest_port, chroma.port)


def points_of(place: Place, name: str) -> dict[str, tuple[int, str | None]]:
    """Year and text of each point by the id that it had, as Qdrant's own client reads them over REST."""
    client = QdrantClient(port=place.qdrant_rest_port, check_compatibility=False)
    found, offset = [], None
    while True:
        page, offset = client.scroll(name, limit=100, offset=offset, with_payload=True)
        found += page
        if offset is None:
            client.close()
            payloads = [point.payload or {} for point in found]
            return {payload["vecferry_id"]: (payload["year"], payload.get("text")) for payload in payloads}


@pytest.mark.slow
def test_s4_a_chroma_server_is_followed_into_qdrant(harness: Harness, place: Place) -> None:
    """S4: records that Chroma's own client adds, changes, deletes and brings back are in Qdrant after each pass."""
    data = generate(120, 8)
    source, target = make_source("chroma", place, "followed", data), target_url("qdrant", place, "followed")
    model = {f"doc-{row}": (data.payloads[row]["year"], data.texts[row]) for row in range(len(data))}
    ref = ready(harness, source, target, slice_rows=50)
    assert points_of(place, "followed") == model
    settings = Settings(anonymized_telemetry=False)
    collection = chromadb.HttpClient(host="127.0.0.1", port=place.chroma_port, settings=settings).get_collection(
        "followed", embedding_function=None
    )

    collection.add(ids=["doc-new"], embeddings=[[1.0] * 8], metadatas=[{"year": 1}], documents=["new"])
    collection.update(ids=["doc-1"], metadatas=[{"year": 2}])
    collection.update(ids=["doc-2"], embeddings=[[2.0] * 8])
    collection.delete(ids=["doc-3", "doc-4"])
    model |= {"doc-new": (1, "new"), "doc-1": (2, data.texts[1])}
    del model["doc-3"], model["doc-4"]
    done = harness.sync(ref)
    assert done.made is not None
    assert (done.made.new, done.made.changed, done.made.gone) == (1, 2, 2)
    assert points_of(place, "followed") == model

    collection.add(ids=["doc-3"], embeddings=[[3.0] * 8], metadatas=[{"year": 3}], documents=["back"])
    collection.delete(ids=["doc-new"])
    model |= {"doc-3": (3, "back")}
    del model["doc-new"]
    assert harness.sync(ref).carried == 2
    assert points_of(place, "followed") == model
    assert harness.sync(ref).carried == 0
    assert harness.records(target) == harness.records(source)
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED


@pytest.mark.slow
def test_s4_a_collection_that_was_made_anew_is_not_followed(harness: Harness, place: Place) -> None:
    """S4: another collection of the same name is told by its identity, however alike it looks; nothing is carried."""
    data = generate(30, 8)
    source, target = make_source("chroma", place, "remade", data), target_url("qdrant", place, "remade")
    ref = ready(harness, source, target)
    client = chromadb.HttpClient(
        host="127.0.0.1", port=place.chroma_port, settings=Settings(anonymized_telemetry=False)
    )
    client.delete_collection("remade")
    make_source("chroma", place, "remade", generate(30, 8, seed=1))
    with pytest.raises(DataDiffer, match="another collection"):
        harness.sync(ref)
    assert points_of(place, "remade").keys() == {f"doc-{row}" for row in range(30)}


@pytest.mark.slow
def test_s4_a_milvus_folder_is_followed_into_qdrant_edge(harness: Harness, tmp_path: Path) -> None:
    """S4: rows that Milvus's own client changes are carried over."""
    here, data = Place(tmp_path), generate(60, 8)
    source, target = make_source("milvus+path", here, "followed", data), target_url("qdrant+edge", here, "new")
    ref = ready(harness, source, target)
    folder = str(tmp_path / "milvus-followed")
    client = MilvusClient(uri=server_manager_instance.start_and_get_uri(folder), dedicated=True)
    client.insert("followed", [{"id": 900, "vector": [1.0] * 8, "year": 1, "title": "new"}])
    client.upsert("followed", [{"id": 1, "vector": [2.0] * 8, "year": 2, "title": "changed"}])
    client.delete("followed", ids=[2, 3])
    client.close()
    server_manager_instance.release_server(folder)
    done = harness.sync(ref)
    assert done.made is not None
    assert (done.made.new, done.made.changed, done.made.gone) == (1, 1, 2)
    stored = {text: json.loads(row.payload or b"{}") for text, row in contents(target).items()}
    assert stored.keys() == ({str(number) for number in range(60)} - {"2", "3"}) | {"900"}
    assert (stored["900"]["title"], stored["1"]["title"], stored["1"]["year"]) == ("new", "changed", 2)
    assert harness.sync(ref).carried == 0


def test_s4_replaced_faiss_files_are_followed(harness: Harness, tmp_path: Path) -> None:
    """S4: an index and its metadata that somebody replaced are read anew, by slices of their own."""
    here, data = Place(tmp_path), generate(50, 8)
    source, target = make_source("faiss", here, "old", data), target_url("qdrant+edge", here, "new")
    ref = ready(harness, source, target, metric="euclid")
    longer = generate(53, 8)
    vectors = longer.vectors.copy()
    vectors[:50] = data.vectors
    vectors[7] = 0.5
    index = faiss.IndexFlatL2(8)
    index.add(vectors)
    (tmp_path / "aside").mkdir()
    faiss.write_index(index, str(tmp_path / "aside" / "old.index"))
    metadata = {str(row): (data if row < 50 else longer).with_text(row) for row in range(53)}
    (tmp_path / "aside" / "old.json").write_text(json.dumps(metadata))
    for path in (tmp_path / "aside").iterdir():
        path.replace(tmp_path / path.name)
    done = harness.sync(ref)
    assert done.made is not None
    assert (done.made.new, done.made.changed, done.made.gone) == (3, 1, 0)
    found = contents(target)
    assert found.keys() == {str(row) for row in range(53)}
    assert found["7"].vectors[""] == ("float32", (8,), np.full(8, 0.5, dtype=np.float32).tobytes())


def test_s4_files_that_change_under_the_pass_count_for_nothing(harness: Harness, tmp_path: Path) -> None:
    """S4: what was read from files that were replaced meanwhile is thrown away, and the target stays as it was."""
    source, target = f"jsonl://{tmp_path}/docs.jsonl", f"qdrant+edge://{tmp_path}/edge/docs"
    lines = [json.dumps({"id": row, "vector": [1.0, row], "payload": {"n": row}}) + "\n" for row in range(40)]
    (tmp_path / "docs.jsonl").write_text("".join(lines))
    ref = ready(harness, source, target, metric="dot")
    before = contents(target)
    run_map = harness.runner.map

    def replaced_meanwhile(step, held, numbers, workers):  # type: ignore[no-untyped-def]
        found = run_map(step, held, numbers, workers)
        (tmp_path / "next").write_text("".join(lines[:30]))
        (tmp_path / "next").replace(tmp_path / "docs.jsonl")
        return found

    harness.runner.map = replaced_meanwhile  # type: ignore[method-assign]
    with pytest.raises(DataDiffer, match="written to while they were read"):
        harness.sync(ref)
    harness.runner.map = run_map  # type: ignore[method-assign]
    assert contents(target) == before
    assert harness.sync(ref).carried == 10
    assert contents(target).keys() == {str(row) for row in range(30)}


# Brakes, states, locks


def test_s5_a_brake_holds_until_a_person_lets_through_what_was_shown(harness: Harness, docs: str) -> None:
    """S5: too many deletes are refused with the command that allows them, which allows those and no others."""
    ref = ready(harness, docs, f"{docs}-new")
    write(docs, gone=range(150))
    with pytest.raises(UnsafeRoute, match="150 deletes") as caught:
        harness.sync(ref)
    assert f"vecferry sync {ref.migration} --allow-deletes 150" in caught.value.advice
    assert len(contents(f"{docs}-new")) == 300
    write(docs, rows=1, first=0)
    write(docs, gone=range(200, 201))
    with pytest.raises(UnsafeRoute, match="150 deletes"):
        harness.sync(ref, allow_deletes=150)
    assert harness.sync(ref, allow_deletes=150).carried == 150
    assert contents(f"{docs}-new") == contents(docs)


def test_s5_brakes_count_over_passes_until_somebody_says_yes(harness: Harness, docs: str) -> None:
    """S5: a hundred deletes in two passes are a hundred deletes."""
    ref = ready(harness, docs, f"{docs}-new")
    for start in (0, 50):
        write(docs, gone=range(start, start + 50))
        assert harness.sync(ref).carried == 50
    write(docs, gone=range(100, 102))
    with pytest.raises(UnsafeRoute, match="2 deletes, and 100 since"):
        harness.sync(ref)
    assert harness.sync(ref, allow_deletes=2).carried == 2
    write(docs, gone=range(102, 110))
    assert harness.sync(ref).carried == 8


def test_s6_a_sync_in_a_state_without_work_says_so_and_touches_nothing(harness: Harness, docs: str) -> None:
    """S6: before the copy and after the end a sync does nothing, and shows that; after the switch nothing forward."""
    ref = harness.start(docs, f"{docs}-new", sync=AT_ONCE)
    assert "not filled yet" in harness.sync(ref).skipped
    assert harness.sheets[-1].rows[0][0] == "skipped"
    harness.run(ref)
    write(docs, first=300, rows=3)
    assert harness.sync(ref).carried == 0
    assert len(contents(f"{docs}-new")) == 300
    other = ready(harness, docs, f"{docs}-other", route="other")
    ending.abort(harness.ledger, other.migration)
    assert "ABORTED" in harness.sync(other).skipped


def test_s6_a_trial_is_not_kept_close(harness: Harness, docs: str) -> None:
    """A migration that never switches has nothing to stay close to."""
    ref = harness.migrate(docs, f"{docs}-new", limit=10, sync=AT_ONCE)
    assert "without a switch" in harness.sync(ref).skipped


def test_s1_a_sync_waits_for_nobody_and_disturbs_nobody(harness: Harness, docs: str) -> None:
    """S1: while another run holds the migration, a sync is told who; nothing was read."""
    ref = ready(harness, docs, f"{docs}-new")
    before = harness.ledger.passes(ref.migration, Direction.FORWARD)
    lease = harness.ledger.acquire([migration_resource(ref.migration)], Holder.here(), ttl_s=60)
    with pytest.raises(LockHeld):
        harness.sync(ref)
    harness.ledger.release(lease)
    assert harness.ledger.passes(ref.migration, Direction.FORWARD) == before


def test_s6_nothing_is_written_after_the_switch_by_a_step_that_comes_late(harness: Harness, docs: str) -> None:
    """A delta that was recorded before the switch is refused after it: the new store is the application's then."""
    ref = ready(harness, docs, f"{docs}-new")
    write(docs, first=0, rows=1, payload='{"late":true}')
    assert harness.sync(ref).carried == 1
    harness.run(ref)
    for step in (steps.begin_pass, steps.write_delta, steps.load_delta):
        with pytest.raises(UnsafeRoute, match="SWITCHED"):
            step(ref)


# The verdict, the approval and the way back


def test_an_approval_outlives_the_passes_that_keep_the_target_close(harness: Harness, docs: str) -> None:
    """S6: syncs while the question is open do not spoil the answer, and the switch finds the source as it is now."""
    target = f"{docs}-new"
    ref = harness.start(docs, target, sync=AT_ONCE, approve="ask")

    def changed_while_asked(form: ApprovalForm, timeout_s: float) -> bool:
        write(docs, first=300, rows=5, gone=range(10, 12))
        assert harness.sync(ref).carried == 7
        return True

    harness.runner._ask = changed_while_asked  # type: ignore[method-assign]
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert contents(target) == contents(docs)


def test_a_change_after_the_last_pass_is_not_left_behind_by_the_switch(harness: Harness, docs: str) -> None:
    """Before the switch there is one more pass; what it finds is in the new store by the time that the route moves."""
    target = f"{docs}-new"
    ref = ready(harness, docs, target)
    write(docs, first=300, rows=2)
    harness.sync(ref)
    write(docs, first=302, rows=1)
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert contents(target) == contents(docs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["validate.slice_recorded=kill@1", pytest.param("validate.slice_recorded=kill@3", marks=pytest.mark.slow)]
)
def test_a_verdict_after_a_sync_is_about_what_is_there_now(harness: Harness, tmp_path: Path, point: str) -> None:
    """Records that a pass carried over before, or amid, the validation are not compared with what they were."""
    source, target = f"jsonl://{tmp_path}/docs.jsonl", f"qdrant+edge://{tmp_path}/edge/docs"
    fill(source, [mixed_batch(300)])
    ref = harness.start(source, target, sync=AT_ONCE, slice_rows=100)
    assert harness.run_until_killed(ref, point) == KILLED
    write(source, first=100, rows=3, payload='{"changed":true}', gone=range(5))
    write(source, first=300, rows=4)
    assert harness.sync(ref).carried == 12
    verdict = harness.run(ref)
    assert verdict is not None
    assert verdict.state is VerdictState.SAME
    assert {level.checked for level in verdict.levels if level.level.value in ("V1", "V3")} == {299}
    fact = harness.ledger.fact(ref.migration, "verdict") or {}
    assert fact["known_state"] == str(archive_of(harness).manifest().current)
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.records(target) == harness.records(source)


def test_a_verdict_finds_what_a_sync_did_not_bring(harness: Harness, tmp_path: Path) -> None:
    """A record of a delta that somebody took out of the target after its read-back is missed."""
    source, target = f"jsonl://{tmp_path}/docs.jsonl", f"jsonl://{tmp_path}/new.jsonl"
    fill(source, [mixed_batch(100)])
    ref = harness.start(source, target, sync=AT_ONCE, metric="cosine")
    assert harness.run_until_killed(ref, "validate.slice_recorded=kill") == KILLED
    write(source, first=100, rows=2)
    assert harness.sync(ref).carried == 2
    write(target, gone=range(101, 102))
    with pytest.raises(DataDiffer, match="V1"):
        harness.run(ref)
    assert harness.migration(ref).state is State.VERIFYING


@pytest.mark.slow
def test_the_way_there_and_back_gives_the_same_bits_of_what_a_sync_brought(harness: Harness, docs: str) -> None:
    """A -> B -> A is bit-equal for records that were carried over later, although B rounds and keeps unit vectors."""
    middle, back = f"qdrant+edge://{harness.folder}/edge/docs", f"{docs}-back"
    ref = ready(harness, docs, middle, route="there")
    write(docs, first=300, rows=20, gone=range(7))
    write(docs, first=50, rows=5, payload='{"price":0.7142857142857143}')
    harness.sync(ref)
    write(docs, first=50, rows=1)
    harness.sync(ref)
    harness.migrate(middle, back, route="back")
    assert contents(back) == contents(docs)


@pytest.mark.slow
def test_a_source_that_an_earlier_migration_encoded_is_followed_and_comes_to_rest(harness: Harness, docs: str) -> None:
    """S4: point reads give the same bits as a pass, also where records are read back from an earlier archive."""
    middle, last = f"qdrant+edge://{harness.folder}/edge/docs", f"{docs}-last"
    harness.migrate(docs, middle, route="there")
    ref = ready(harness, middle, last, route="on")
    place = address.parse(middle)
    with registry.open_target(place) as store:
        mapping = mapping_of(store.describe().mark)
        assert mapping is not None
        store.write(mapping.forward(mixed_batch(8).slice(3, 2)))
        changed = mixed_batch(11, first=300)
        store.write(mapping.forward(changed))
        store.delete(mapping.forward(batch.ids_of(mixed_batch(20).slice(12, 3))))
    assert harness.sync(ref).carried >= 14
    again = harness.sync(ref)
    assert again.found is not None
    assert (again.found.total, again.found.complete) == (0, True)
    assert contents(last) == {text: row for (_, text), row in harness.records(middle).items()}


@pytest.mark.slow
def test_a_rollback_after_a_sync_sees_no_writes_that_were_its_own(harness: Harness, docs: str) -> None:
    """What a pass carried over is no write of the application in the new store."""
    ref = ready(harness, docs, f"{docs}-new")
    write(docs, first=300, rows=3, gone=range(3))
    harness.sync(ref)
    harness.run(ref)
    before = contents(docs)
    harness.rollback(ref)
    assert harness.migration(ref).state is State.ROLLED_BACK
    assert contents(docs) == before


def test_the_lag_is_the_age_of_the_last_pass(harness: Harness, docs: str) -> None:
    """Before the first pass nobody knows it; then it is seconds, with what was found and carried over."""
    assert lag(harness.ledger, harness.start(docs, f"{docs}-other").migration) is None
    ref = ready(harness, docs, f"{docs}-new")
    write(docs, first=300, rows=3)
    harness.sync(ref)
    found = lag(harness.ledger, ref.migration)
    assert found is not None
    assert 0 <= found.lag_s < 60
    assert (found.differences, found.deltas, found.open_deltas) == (3, 1, 0)


# Killed anywhere

POINTS = (
    "pass.begun",
    "pass.slice_spooled",
    "pass.ended",
    "delta.written",
    "ledger.delta_recorded",
    "delta.batch_written",
    "ledger.delta_loaded",
    "delta.loaded",
    "delta.read_back",
    "ledger.delta_closed",
    "delta.closed",
    "archive.committed",
)
SHORT = {"ledger.delta_recorded"}
"""The point of the short run: the intent is there, and nothing of it was written."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "point",
    [
        pytest.param(point, marks=() if point in SHORT else pytest.mark.slow)
        for point in (*POINTS, "delta.batch_written=kill@2", "pass.slice_spooled=kill@2")
    ],
)
def test_s3_a_sync_killed_at_any_point_is_finished_by_the_next(harness: Harness, tmp_path: Path, point: str) -> None:
    """S3: whatever was written when the process died, the next pass ends with the source as it is by then."""
    source, target = f"jsonl://{tmp_path}/docs.jsonl", f"qdrant+edge://{tmp_path}/edge/docs"
    fill(source, [mixed_batch(200)])
    ref = ready(harness, source, target, batch_rows=20, slice_rows=60)
    write(source, first=200, rows=30, gone=range(20))
    write(source, first=50, rows=10, payload='{"n":1}')
    assert harness.sync_until_killed(ref, point if "=" in point else f"{point}=kill") == KILLED
    # The application goes on in between: with a record of the delta, and with others.
    write(source, first=50, rows=5, payload='{"n":2}', gone=range(200, 203))
    write(source, first=3, rows=1)
    harness.sync(ref)
    assert harness.records(target) == harness.records(source)
    assert harness.sync(ref).carried == 0
    assert verify(archive_of(harness), deep=True).damages == ()
    harness.ledger.verify_audit()
    assert not harness.ledger.deltas(ref.migration, open_only=True)
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
