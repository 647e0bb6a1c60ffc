"""`kill -9` between and within the workspaces of a rolling migration: the next run finishes what was begun."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.support.migrating import Harness, fill, schema
from vecferry import address, batch, canonical
from vecferry.ledger import Delta, Hold, State, workspace_key
from vecferry.mapping.ids import uuid5_texts
from vecferry.model import IdKind
from vecferry.operations import ending, routes, workspaces
from vecferry.stores import registry
from vecferry.strategies import rolling, waves
from vecferry.strategies.runner import Ref

KILLED = -9
SIZES = {"a": 4, "b": 6, "c": 8}
POINTS = (
    "rolling.plan_stored=kill@1",
    "rolling.workspaces_stored=kill@1",
    "load.part_written=kill@2",
    "rolling.workspace_switched=kill@1",
    "ledger.paused=kill@2",
    "ledger.switched=kill@1",
    "ledger.switched=kill@4",
    "cutover.ended=kill@2",
)


@pytest.fixture
def stores(tmp_path: Path) -> tuple[str, str]:
    """Two embedded stores that other processes can open; the old one holds three workspaces."""
    old, new = f"chroma+path://{tmp_path}/chroma/docs", f"qdrant+edge://{tmp_path}/edge/docs"
    names = [(workspace, number) for workspace, size in SIZES.items() for number in range(size)]
    vectors = np.random.default_rng(3).normal(size=(len(names), 8)).astype(np.float32)
    payloads = [b'{"n":%d,"workspace_id":"%s"}' % (number, workspace.encode()) for workspace, number in names]
    records = batch.make(
        [f"{workspace}-{number}" for workspace, number in names],
        IdKind.STRING,
        vectors={"": batch.dense_array(vectors)},
        documents=[None] * len(names),
        payloads=payloads,
    )
    fill(old, [records], schema(documents=False))
    return old, new


def begun(harness: Harness, stores: tuple[str, str]) -> Ref:
    options = {"rolling": {"wave": 2}, "sync": {"absence_wait_s": 0}, "hooks": {"pause_ttl_s": 60}}
    return harness.start(*stores, "rolling", route="docs", **options)


def served(harness: Harness, ref: Ref) -> dict[str, str]:
    """Where each workspace leads, by the scheme of its store."""
    found = {name: harness.ledger.ask_route("docs", workspace_key(name)) for name in SIZES}
    return {name: one.url.partition(":")[0] for name, one in found.items() if one is not None}


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_s13_a_run_killed_anywhere_is_finished_by_the_next_one(
    harness: Harness, stores: tuple[str, str], point: str
) -> None:
    """All workspaces end switched, with every record once, and no writes are paused."""
    ref = begun(harness, stores)
    assert harness.run_until_killed(ref, point) == KILLED
    harness.run(ref)
    assert {one.state for one in harness.ledger.workspaces(ref.migration)} == {State.SWITCHED}
    assert [pause for pause in harness.ledger.pauses(ref.migration) if pause.released_at is None] == []
    assert set(served(harness, ref).values()) == {"qdrant+edge"}
    assert {text for _, text in harness.records(stores[1])} == {text for _, text in harness.records(stores[0])}


@pytest.mark.slow
def test_s17_a_rollback_of_workspaces_killed_between_two_is_finished(harness: Harness, stores: tuple[str, str]) -> None:
    """What went back stays back, the next is done by the same command."""
    ref = begun(harness, stores)
    harness.run(ref)
    assert harness.roll_back_until_killed(ref, "rollback.ended=kill@2") == KILLED
    workspaces.roll_back(harness.runner, ref, (), routes.settlement())
    assert {one.state for one in harness.ledger.workspaces(ref.migration)} == {State.ROLLED_BACK}
    assert set(served(harness, ref).values()) == {"chroma+path"}
    ending.discard(harness.runner, ref)


def moved(url: str, name: str, workspace: str) -> None:
    """The application gives a record to another workspace, in place."""
    with registry.open_target(address.parse(url)) as store:
        every = [item for part in store.slices(1) for item in store.read(part)]
        for item in every:
            payloads = item.column(batch.PAYLOAD).to_pylist()
            mine = [
                f'"{name}"' in text or id_text == name
                for text, id_text in zip(payloads, batch.id_texts(item).to_pylist(), strict=True)
            ]
            if any(mine):
                found = item.filter(pa.array(mine))
                text = found.column(batch.PAYLOAD)[0].as_py()
                changed = text.replace(f'"workspace_id":"{name[0]}"', f'"workspace_id":"{workspace}"')
                at = found.schema.get_field_index(batch.PAYLOAD)
                store.write(found.set_column(at, found.schema.field(at), pa.array([changed], pa.string())))


def tenants(harness: Harness, url: str) -> dict[str, str]:
    """The workspace of each record."""
    found = harness.records(url)
    return {text: canonical.decode(row.payload)["workspace_id"] for (_, text), row in found.items()}


def first_switched(harness: Harness, stores: tuple[str, str]) -> Ref:
    """One of which the workspace a is served by the new store, and the others wait."""
    ref = harness.start(
        *stores, "rolling", route="docs", rolling={"moved": "follow"}, sync={"absence_wait_s": 0}, reverse="hold"
    )
    rolling.prepare(harness.runner, ref)
    harness.ledger.hold_workspaces(ref.migration, [2, 3, 4], Hold.PAUSED)
    harness.run(ref)
    harness.ledger.hold_workspaces(ref.migration, [2, 3, 4], None)
    return ref


@pytest.mark.slow
@pytest.mark.parametrize("point", ["moved.recorded", "moved.loaded"])
def test_s20_a_run_killed_while_it_carries_a_moved_record_is_finished(
    harness: Harness, stores: tuple[str, str], point: str
) -> None:
    """The record is once in the new store, known to the workspace that has it now, and nothing is open."""
    ref = first_switched(harness, stores)
    waves.fill_wave(ref, [2])
    moved(stores[0], "b-1", "a")
    assert harness.run_until_killed(ref, f"{point}=kill@1") == KILLED
    harness.run(ref)
    assert {one.state for one in harness.ledger.workspaces(ref.migration)} == {State.SWITCHED}
    assert tenants(harness, stores[1]) == tenants(harness, stores[0])
    assert tenants(harness, stores[1])["b-1"] == "a"
    assert not ending.complete(harness.runner, ref).late


@pytest.mark.slow
@pytest.mark.parametrize("written", [False, True])
def test_s17_s20_what_was_recorded_for_a_served_workspace_does_not_stop_its_way_back(
    harness: Harness, stores: tuple[str, str], written: bool
) -> None:
    """The record that was on its way arrives first, or stays behind where the new store was written meanwhile."""
    ref = first_switched(harness, stores)
    waves.fill_wave(ref, [2])
    moved(stores[0], "b-1", "a")
    moved(stores[1], "a-2", "q")
    assert harness.run_until_killed(ref, "moved.recorded=kill@1") == KILLED
    if written:
        moved(stores[1], "b-1", "z")
    workspaces.roll_back(harness.runner, ref, ["a"], routes.settlement())
    assert tenants(harness, stores[0])["b-1"] == "a"
    assert tenants(harness, stores[1])["b-1"] == ("z" if written else "a")


def made(url: str, name: str, workspace: str) -> None:
    """The application makes a record in the new store, under the id that it has for this name there."""
    text = f'{{"n":9,"vecferry_id":"{name}","workspace_id":"{workspace}"}}'
    vectors = {"": batch.dense_array(np.random.default_rng(9).normal(size=(1, 8)).astype(np.float32))}
    place = uuid5_texts([name.encode()]).to_pylist()
    with registry.open_target(address.parse(url)) as store:
        store.write(batch.make(place, IdKind.UUID, vectors=vectors, documents=[None], payloads=[text.encode()]))


@pytest.mark.slow
@pytest.mark.parametrize("point", ["moved.brought_recorded", "moved.written_back"])
@pytest.mark.parametrize("syncs", [True, False])
def test_s20_a_sync_killed_while_it_brings_records_back_is_finished(
    harness: Harness, stores: tuple[str, str], point: str, syncs: bool
) -> None:
    """The old store has each once, as the new one has it, by the next sync or else before the switch."""
    ref = first_switched(harness, stores)
    waves.fill_wave(ref, [2])
    moved(stores[1], "a-1", "b")
    made(stores[1], "n-1", "b")
    assert harness.sync_until_killed(ref, f"{point}=kill") == KILLED
    if syncs:
        harness.sync(ref)
        for name in ("a-1", "n-1"):
            assert tenants(harness, stores[0])[name] == tenants(harness, stores[1])[name] == "b"
    harness.run(ref)
    assert {one.state for one in harness.ledger.workspaces(ref.migration)} == {State.SWITCHED}
    assert tenants(harness, stores[0]) == tenants(harness, stores[1])
    assert tenants(harness, stores[0])["n-1"] == "b"
    assert [delta for one in harness.ledger.workspaces(ref.migration) for delta in open_of(harness, one.child)] == []


def open_of(harness: Harness, migration_id: str) -> list[Delta]:
    return harness.ledger.deltas(migration_id, open_only=True)


@pytest.mark.slow
def test_s22_a_complete_killed_between_two_workspaces_is_finished(harness: Harness, stores: tuple[str, str]) -> None:
    """Those that are completed stay so, and the same command ends the others."""
    ref = begun(harness, stores)
    harness.run(ref)
    assert harness.complete_until_killed(ref, "rolling.workspace_completed=kill@2") == KILLED
    assert harness.migration(ref).state is State.SWITCHED
    ending.complete(harness.runner, ref)
    assert harness.migration(ref).state is State.COMPLETED
