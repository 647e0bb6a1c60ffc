"""`kill -9` between and within the workspaces of a rolling migration: the next run finishes what was begun."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.migrating import Harness, fill, schema
from vecferry import batch
from vecferry.ledger import State, workspace_key
from vecferry.model import IdKind
from vecferry.operations import ending, routes, workspaces
from vecferry.strategies.runner import Ref

KILLED = -9
SIZES = {"a": 4, "b": 6, "c": 8}
POINTS = (
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
