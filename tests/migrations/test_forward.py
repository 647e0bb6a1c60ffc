"""Forward again after a rollback: the first copy stays, what changed since is carried, and all of it is proven anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from tests.migrations.test_rollback import with_payload
from tests.migrations.test_two_steps import TWO
from tests.support import tenants
from tests.support.application import Application, hooks_of
from tests.support.migrating import Harness, contents, fill, mixed_batch, schema, write
from tests.support.qdrant_server import QdrantServer
from tests.support.raw_collections import Place, generate, make_source
from vecferry.errors import BadOption, DataDiffer, PlanRefused, UnsafeRoute
from vecferry.ledger import State, workspace_key
from vecferry.operations import ending, routes, workspaces
from vecferry.operations.forward import forward
from vecferry.strategies import steps
from vecferry.strategies.runner import Ref

QUICK: dict[str, Any] = {"sync": tenants.NOW, "hooks": {"write_timeout_s": 0}}
DATA = generate(60, 8)


@pytest.fixture
def docs(request: pytest.FixtureRequest) -> str:
    """300 records, 8-d, with string ids, in a store of its own for this test."""
    url = f"memory:///{request.node.name}"
    fill(url, [mixed_batch(300)])
    return url


def die() -> None:
    """The run ends here, and undoes nothing."""
    raise KeyboardInterrupt


def rolled_back(harness: Harness, docs: str, **more: Any) -> Ref:
    """A migration that switched, and went back at once."""
    ref = harness.migrate(docs, f"{docs}-new", **QUICK, **more)
    harness.rollback(ref)
    return ref


def test_it_goes_forward_without_another_copy_and_both_stores_hold_the_same(harness: Harness, docs: str) -> None:
    """What the old store received since the rollback is carried over, nothing is copied again, and the route moves."""
    ref = rolled_back(harness, docs)
    write(docs, mixed_batch(2, first=5000), with_payload("doc-3", b'{"edited":true}'), delete=("doc-9",))
    before = [row.copied for row in harness.ledger.slices(ref.migration)]
    forward(harness.runner, ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert harness.route(ref).url == f"{docs}-new"
    assert harness.released(ref)
    assert [row.copied for row in harness.ledger.slices(ref.migration)] == before
    found = contents(docs)
    assert contents(f"{docs}-new") == found
    assert "doc-5001" in found
    assert "doc-9" not in found
    harness.ledger.verify_audit()


def test_a_version_that_lost_a_conflict_is_overwritten(harness: Harness, docs: str) -> None:
    """The old side won, so the new store holds another version: in its record, in a part, or of a record long gone."""
    ref = harness.migrate(docs, f"{docs}-new", **QUICK)
    write(
        f"{docs}-new", *(with_payload(one, b'{"side":"new"}') for one in ("doc-7", "doc-8")), mixed_batch(1, first=900)
    )
    write(docs, with_payload("doc-7", b'{"side":"old"}'), delete=("doc-8",))
    harness.rollback(ref, prefer="old")
    assert contents(f"{docs}-new")["doc-7"].payload == b'{"side":"new"}'
    forward(harness.runner, ref)
    found = contents(f"{docs}-new")
    assert found == contents(docs)
    assert found["doc-7"].payload == b'{"side":"old"}'
    assert "doc-8" not in found
    assert "doc-900" in found


@pytest.mark.slow
def test_there_and_back_as_often_as_wanted(harness: Harness, docs: str) -> None:
    """Each way begins where the last one ended, and has figures of its own."""
    ref = rolled_back(harness, docs)
    for turn in range(2):
        write(docs, mixed_batch(1, first=6000 + turn))
        forward(harness.runner, ref)
        write(f"{docs}-new", mixed_batch(1, first=7000 + turn), with_payload("doc-1", b'{"turn":%d}' % turn))
        done = harness.rollback(ref)
        assert (done["new"], done["changed"], done["kept"]) == (1, 1, 0)
        assert contents(docs) == contents(f"{docs}-new")
    assert harness.route(ref).url == docs
    forward(harness.runner, ref)
    assert not ending.complete(harness.runner, ref).already


@pytest.mark.slow
def test_a_rollback_of_the_route_alone_goes_forward_once_it_is_merged(harness: Harness, docs: str) -> None:
    """Before the merge nobody knows what the new store holds."""
    ref = harness.migrate(docs, f"{docs}-new", **QUICK)
    write(f"{docs}-new", mixed_batch(1, first=5000))
    routes.route_only(harness.runner, ref)
    with pytest.raises(UnsafeRoute, match="only a ROLLED_BACK one goes forward"):
        forward(harness.runner, ref)
    harness.merge(ref)
    forward(harness.runner, ref)
    assert contents(f"{docs}-new") == contents(docs)
    assert "doc-5000" in contents(docs)


@pytest.mark.slow
def test_what_somebody_wrote_to_the_new_store_stops_it_before_anything_is_changed(harness: Harness, docs: str) -> None:
    """Writes that missed the rollback are named and stay; a merge brings them into the old store: the way is free."""
    ref = harness.migrate(docs, f"{docs}-new", **QUICK)
    write(f"{docs}-new", mixed_batch(1, first=7000))
    harness.rollback(ref)
    write(f"{docs}-new", with_payload("doc-3", b'{"late":1}'), mixed_batch(1, first=8000))
    with pytest.raises(DataDiffer, match="doc-8000") as caught:
        forward(harness.runner, ref)
    assert f"vecferry merge {ref.migration}" in caught.value.advice
    assert harness.migration(ref).state is State.ROLLED_BACK
    assert contents(f"{docs}-new")["doc-3"].payload == b'{"late":1}'
    done = harness.merge(ref)
    assert (done["new"], done["changed"]) == (2, 1), "7000 by the rollback, 8000 and doc-3 by the merge"
    assert harness.released(ref)
    assert contents(docs)["doc-3"].payload == b'{"late":1}'
    forward(harness.runner, ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert contents(docs) == contents(f"{docs}-new")


@pytest.mark.slow
def test_a_merge_after_a_way_back_that_missed_nothing_pauses_nobody(harness: Harness, docs: str) -> None:
    """It looks, finds nothing, and leaves everything as it is, also where the new store was dropped."""
    ref = rolled_back(harness, docs)
    before = len(harness.ledger.pauses(ref.migration))
    harness.merge(ref)
    ending.discard(harness.runner, ref)
    harness.merge(ref)
    assert len(harness.ledger.pauses(ref.migration)) == before


@pytest.mark.slow
def test_both_stores_changed_after_the_way_back_is_a_conflict(harness: Harness, docs: str) -> None:
    """A late merge is a merge: it stops, nobody stays paused, and one side wins when a person says so."""
    ref = rolled_back(harness, docs)
    write(docs, with_payload("doc-3", b'{"side":"old"}'))
    write(f"{docs}-new", with_payload("doc-3", b'{"side":"new"}'))
    with pytest.raises(UnsafeRoute, match="doc-3"):
        harness.merge(ref)
    assert harness.released(ref)
    harness.merge(ref, prefer="old")
    assert contents(docs)["doc-3"].payload == b'{"side":"old"}'
    forward(harness.runner, ref)
    assert contents(f"{docs}-new") == contents(docs)


@pytest.mark.slow
def test_what_somebody_writes_to_the_new_store_on_the_way_stops_the_verdict(harness: Harness, docs: str) -> None:
    """The proof of the first copy counts only while nobody touches it."""
    ref = rolled_back(harness, docs)
    new = f"{docs}-new"
    tenants.before(harness, {(steps.begin_validation, 1): lambda: write(new, with_payload("doc-3", b'{"late":1}'))})
    with pytest.raises(DataDiffer, match="doc-3"):
        forward(harness.runner, ref)
    assert harness.migration(ref).state is State.VERIFYING
    assert harness.route(ref).url == docs
    write(new, mixed_batch(300).slice(3, 1))
    forward(harness.runner, ref)
    assert harness.migration(ref).state is State.SWITCHED


@pytest.mark.slow
def test_what_was_proven_once_is_looked_at_before_it_is_dropped(harness: Harness, docs: str) -> None:
    """Forward again and aborted: a write of somebody else is shown before the new store goes."""
    ref = rolled_back(harness, docs)
    new = f"{docs}-new"
    tenants.before(harness, {(steps.begin_validation, 1): lambda: write(new, mixed_batch(1, first=8000))})
    with pytest.raises(DataDiffer):
        forward(harness.runner, ref)
    ending.abort(harness.ledger, ref.migration)
    with pytest.raises(DataDiffer, match="doc-8000"):
        ending.discard(harness.runner, ref)


@pytest.mark.slow
def test_it_needs_both_stores_and_the_route(harness: Harness, docs: str) -> None:
    """A dropped copy, a route that another migration has or led elsewhere, a migration that never went back."""
    ref = rolled_back(harness, docs)
    other = harness.start(docs, f"{docs}-other", **QUICK)
    harness.run(other)
    with pytest.raises(PlanRefused, match="belongs to migration"):
        forward(harness.runner, ref)
    with pytest.raises(UnsafeRoute, match="only a ROLLED_BACK one"):
        forward(harness.runner, other)
    ending.complete(harness.runner, other)
    with pytest.raises(PlanRefused, match="leads to"):
        forward(harness.runner, ref)
    with pytest.raises(BadOption, match="no workspaces"):
        forward(harness.runner, ref, ["a"])
    ending.discard(harness.runner, ref)
    with pytest.raises(UnsafeRoute, match="is gone"):
        forward(harness.runner, ref)
    assert harness.migration(ref).state is State.ROLLED_BACK


@pytest.mark.slow
def test_a_route_that_an_ended_migration_had_is_taken_again(harness: Harness, docs: str) -> None:
    """Where another one had it meanwhile and ended, no application sees a smaller epoch."""
    ref = rolled_back(harness, docs)
    other = harness.migrate(docs, f"{docs}-other", **QUICK)
    harness.rollback(other)
    before = harness.route(other).epoch
    forward(harness.runner, ref)
    assert (harness.route(ref).migration, harness.route(ref).epoch) == (ref.migration, before + 1)


@pytest.mark.slow
def test_a_run_that_died_is_gone_on_with(harness: Harness, docs: str) -> None:
    """After the one transaction it is a migration like any other: `resume` and `forward` go on with it."""
    ref = rolled_back(harness, docs)
    write(docs, mixed_batch(1, first=5000))
    tenants.before(harness, {(steps.begin_pass, 1): die})
    with pytest.raises(KeyboardInterrupt):
        forward(harness.runner, ref)
    assert harness.migration(ref).state is State.CATCHING_UP
    forward(harness.runner, ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert contents(f"{docs}-new") == contents(docs)


@pytest.mark.slow
def test_applications_are_told_of_each_way(harness: Harness, docs: str) -> None:
    """Every switch, there, back and there again, is a call of its own with an epoch of its own."""
    with Application() as application:
        application.memory.url = docs
        hooks = hooks_of(application, harness.folder)
        ref = harness.migrate(docs, f"{docs}-new", sync=tenants.NOW, hooks=hooks)
        harness.rollback(ref)
        assert application.memory.url == docs
        forward(harness.runner, ref)
        assert application.memory.url == f"{docs}-new"
        assert application.memory.writes == "open"


@pytest.mark.slow
def test_a_snapshot_restore_goes_forward_as_blue_green(harness: Harness, docs: str) -> None:
    """Its copy is there; what is left is to catch up, and no second snapshot is taken."""
    ref = harness.migrate(docs, f"{docs}-new", "snapshot-restore", **QUICK)
    harness.rollback(ref)
    write(docs, mixed_batch(1, first=5000))
    forward(harness.runner, ref)
    migration = harness.migration(ref)
    assert (migration.state, migration.strategy) == (State.SWITCHED, "blue-green")
    assert contents(f"{docs}-new") == contents(docs)


@pytest.mark.slow
def test_two_steps_forward_again_ask_for_both(harness: Harness, docs: str) -> None:
    """Reads first, and writes by the next run."""
    ref = harness.migrate(docs, f"{docs}-new", **(TWO | QUICK))
    harness.rollback(ref)
    asked = len(harness.ledger.approvals(ref.migration))
    forward(harness.runner, ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert len(harness.ledger.approvals(ref.migration)) == asked + 2


@pytest.mark.slow
def test_workspaces_go_forward_by_name_and_the_others_stay(harness: Harness, request: pytest.FixtureRequest) -> None:
    """Two of three went back; one goes forward again, then the other, and every record is where it belongs."""
    old, new = f"memory:///{request.node.name}-old", f"memory:///{request.node.name}-new"
    fill(old, [], schema(documents=False))
    for number, name in enumerate(("a1", "a2", "b1", "b2", "c1")):
        tenants.put(old, name, name[0], number)
    ref = tenants.start(harness, old, new)
    harness.run(ref)
    for key in ("a", "b"):
        workspaces.roll_back(harness.runner, ref, [key], routes.settlement())
    tenants.put(old, "a3", "a", 8)
    forward(harness.runner, ref, ["a"])
    states = tenants.groups(harness, ref)
    assert (states[workspace_key("a")], states[workspace_key("b")]) == (State.SWITCHED, State.ROLLED_BACK)
    with pytest.raises(UnsafeRoute, match="is SWITCHED"):
        forward(harness.runner, ref, ["a"])
    with pytest.raises(BadOption, match="one workspace"):
        forward(harness.runner, tenants.child(harness, ref, "b"))
    forward(harness.runner, ref)
    assert set(tenants.groups(harness, ref).values()) == {State.SWITCHED}
    assert tenants.held(harness, new) == tenants.held(harness, old)
    assert "a3" in tenants.held(harness, new)


@pytest.mark.slow
def test_files_that_a_rollback_copied_are_the_old_store_from_then_on(harness: Harness, tmp_path: Path) -> None:
    """FAISS to Qdrant, back to a copy, forward from the copy, and back to a copy of that; the first files stay."""
    old = make_source("faiss", Place(tmp_path), "docs", DATA)
    files = {file.name: file.read_bytes() for file in tmp_path.glob("docs.*")}
    with QdrantServer(tmp_path / "qdrant") as server:
        new = f"qdrant://127.0.0.1:{server.grpc_port}/docs?rest_port={server.rest_port}"
        client = QdrantClient(port=server.rest_port, check_compatibility=False)
        ref = harness.migrate(old, new, **QUICK)
        client.upsert("docs", [models.PointStruct(id=1000, vector=[1.0] * 8, payload={"title": "born in Qdrant"})])
        client.delete("docs", models.PointIdsList(points=[5]))
        copy = str(harness.rollback(ref)["url"])
        index = faiss.read_index(copy.removeprefix("faiss://"))
        index.remove_ids(np.array([7]))
        faiss.write_index(index, copy.removeprefix("faiss://"))
        forward(harness.runner, ref)
        assert harness.migration(ref).state is State.SWITCHED
        assert harness.migration(ref).source_url == copy
        assert {point.id for point in client.scroll("docs", limit=100)[0]} == set(range(60)) - {5, 7} | {1000}
        client.upsert("docs", [models.PointStruct(id=1001, vector=[2.0] * 8, payload={"title": "later"})])
        again = str(harness.rollback(ref)["url"])
        client.close()
    assert again not in (copy, old)
    stored = {name: row for (_, name), row in harness.records(again).items()}
    assert set(stored) == {str(number) for number in set(range(60)) - {5, 7} | {1000, 1001}}
    assert json.loads(stored["1001"].payload or b"") == {"title": "later"}
    assert {file.name: file.read_bytes() for file in tmp_path.glob("docs.*")} == files
