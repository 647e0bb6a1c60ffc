"""`kill -9` at the named points of an end: the same command finishes it with the same result."""

from __future__ import annotations

import os
import uuid
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from tests.migrations.test_end import AT_ONCE, complete, decommission, discard, is_there
from tests.support.migrating import Harness, contents, fill, mixed_batch, schema
from vecferry import batch, failpoints
from vecferry.errors import NotFound
from vecferry.ledger import State
from vecferry.model import CollectionSchema, IdKind, RecordId
from vecferry.strategies.runner import Ref


def uuid_batch(rows: int) -> pa.RecordBatch:
    """Records with ids that the embedded engine takes as they are."""
    made = mixed_batch(rows, documents=False)
    ids = pa.array([str(uuid.UUID(int=number + 1)) for number in range(rows)])
    kinds = batch.ids_batch([RecordId(IdKind.UUID, text) for text in ids.to_pylist()]).column(batch.ID_KIND)
    named = made.set_column(made.schema.get_field_index(batch.ID), made.schema.field(batch.ID), ids)
    return named.set_column(named.schema.get_field_index(batch.ID_KIND), named.schema.field(batch.ID_KIND), kinds)


def uuid_schema() -> CollectionSchema:
    return replace(schema(documents=False), id_kinds=frozenset({IdKind.UUID}))


def _complete_armed(folder: str, home: str, ref: Ref, points: str) -> None:
    _armed(home, points)
    complete(Harness(Path(folder)), ref)


def _decommission_armed(folder: str, home: str, ref: Ref, points: str) -> None:
    _armed(home, points)
    decommission(Harness(Path(folder)), ref, "docs")


def _discard_armed(folder: str, home: str, ref: Ref, points: str) -> None:
    _armed(home, points)
    discard(Harness(Path(folder)), ref)


def _armed(home: str, points: str) -> None:
    os.environ["VECFERRY_HOME"] = home
    failpoints.arm(points)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """Two places of the embedded engine, which other processes can open; the old one has records."""
    old, new = f"qdrant+edge://{tmp_path}/old/docs", f"qdrant+edge://{tmp_path}/new/docs"
    fill(old, [uuid_batch(60)], uuid_schema())
    return old, new


@pytest.mark.parametrize("point", ["look.begun", "look.ended", "complete.before", "complete.done"])
@pytest.mark.slow
def test_a_complete_that_was_killed_is_finished_by_the_next(
    harness: Harness, pair: tuple[str, str], point: str
) -> None:
    """Whatever was done when the process died, the same command ends COMPLETED, and drops nothing."""
    ref = harness.migrate(*pair, sync=AT_ONCE)
    assert harness._in_process(_complete_armed, ref, f"{point}=kill") == -9
    complete(harness, ref)
    assert harness.migration(ref).state is State.COMPLETED
    assert [is_there(url) for url in pair] == [True, True]
    harness.ledger.verify_audit()


@pytest.mark.slow
@pytest.mark.parametrize("point", ["decommission.intended", "decommission.dropped"])
def test_a_decommission_that_was_killed_is_finished_by_the_next(
    harness: Harness, pair: tuple[str, str], point: str
) -> None:
    """The old collection is gone in the end, and that is written down; the new one is whole."""
    ref = harness.migrate(*pair, sync=AT_ONCE)
    complete(harness, ref)
    assert harness._in_process(_decommission_armed, ref, f"{point}=kill") == -9
    decommission(harness, ref, "docs")
    assert decommission(harness, ref, "docs").already
    assert [is_there(url) for url in pair] == [False, True]
    assert len(contents(pair[1])) == 60


@pytest.mark.slow
@pytest.mark.parametrize("point", ["discard.intended", "discard.dropped"])
def test_a_discard_that_was_killed_is_finished_by_the_next(harness: Harness, pair: tuple[str, str], point: str) -> None:
    """The new collection is gone in the end, and that is written down; the old one is whole."""
    ref = harness.migrate(*pair, sync=AT_ONCE)
    harness.rollback(ref)
    assert harness._in_process(_discard_armed, ref, f"{point}=kill") == -9
    assert discard(harness, ref).dropped == pair[1]
    assert harness.ledger.fact(ref.migration, "discarded") == {"target": pair[1]}
    assert [is_there(url) for url in pair] == [True, False]
    with pytest.raises(NotFound):
        discard(harness, ref)
