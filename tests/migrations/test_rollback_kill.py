"""`kill -9` at every named point of the way back: the same command ends it, with every record where it belongs."""

from __future__ import annotations

from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from tests.support.migrating import Harness, fill, mixed_batch, schema
from vecferry import address, batch
from vecferry.ledger import State
from vecferry.mapping import Mapping
from vecferry.model import IdKind, RecordId
from vecferry.operations import routes
from vecferry.stores import registry
from vecferry.strategies.runner import Ref

KILLED = -9

POINTS = (
    "return.begun",
    "return.slice_spooled",
    "return.written",
    "return.weighed",
    "ledger.delta_recorded",
    "delta.batch_written",
    "return.loaded",
    "ledger.delta_loaded",
    "return.read_back",
    "ledger.delta_closed",
    "ledger.pausing",
    "ledger.paused",
    "rollback.frozen",
    "rollback.before_switch",
    "ledger.switching",
    "ledger.switched",
    "rollback.switched",
    "rollback.ended",
)
"""Points that every way back passes that has something to carry."""

SHORT = {"rollback.switched", "return.copied"}


def swept(*points: str) -> list[ParameterSet]:
    """The points, those beyond the short run marked."""
    return [pytest.param(point, marks=() if point in SHORT else pytest.mark.slow) for point in points]


def switched(harness: Harness, old: str, tmp_path: Path) -> tuple[Ref, str]:
    """A migration to Qdrant's engine whose new store was written since; and its URL."""
    fill(old, [mixed_batch(120)], schema())
    for mark in tmp_path.glob("*.vecferry.json"):
        mark.unlink()
    new = f"qdrant+edge://{tmp_path}/new/docs"
    options = {"sync": {"absence_wait_s": 0}, "hooks": {"write_timeout_s": 0}, "metric": "cosine", "batch_rows": 50}
    ref = harness.migrate(old, new, **options)
    write(new)
    return ref, new


def write(new: str) -> None:
    """What the application does to the new store: two records come, one goes."""
    forward = mixed_batch(2, first=5000)
    with registry.open_target(address.parse(new)) as store:
        mapping = store.describe().mark
        assert mapping is not None
        known = Mapping.from_json(mapping["mapping"])
        store.write(known.forward(forward))
        store.delete(known.forward(batch.ids_batch([RecordId(IdKind.STRING, "doc-9")])))


def require_whole(harness: Harness, ref: Ref, serves: str) -> None:
    """The route leads back, writes are open, and the old store has what the new one received."""
    assert harness.migration(ref).state is State.ROLLED_BACK
    route = harness.route(ref)
    assert (route.url, route.epoch) == (serves, 3)
    asked = harness.ledger.ask_route(route.name)
    assert asked is not None
    assert asked.writes == "open"
    names = {text for _, text in harness.records(serves)}
    assert names == ({f"doc-{number}" for number in range(120)} - {"doc-9"}) | {"doc-5000", "doc-5001"}
    assert not harness.ledger.deltas(ref.migration, open_only=True)
    harness.ledger.verify_audit()


@pytest.mark.parametrize("point", swept(*POINTS))
def test_s13_a_way_back_killed_at_any_point_is_finished_by_the_next(
    harness: Harness, tmp_path: Path, point: str
) -> None:
    """Whatever was done when the process died, the next rollback ends ROLLED_BACK, and takes nothing of its own for
    somebody's late write."""
    old = f"chroma+path://{tmp_path}/old/docs"
    ref, _ = switched(harness, old, tmp_path)
    assert harness.roll_back_until_killed(ref, f"{point}=kill") == KILLED
    done = harness.rollback(ref)
    require_whole(harness, ref, old)
    assert done["kept"] == 0
    assert harness.rollback(ref) == done


@pytest.mark.slow
@pytest.mark.parametrize("point", swept("return.copied", "staging.ready", "staging.merged", "staging.moved"))
def test_a_copy_of_old_files_that_was_cut_off_is_made_anew(harness: Harness, tmp_path: Path, point: str) -> None:
    """The old file is never touched, and the copy that the route leads to is whole."""
    ref, _ = switched(harness, f"jsonl://{tmp_path}/old.jsonl", tmp_path)
    before = (tmp_path / "old.jsonl").read_bytes()
    assert harness.roll_back_until_killed(ref, f"{point}=kill") == KILLED
    harness.rollback(ref)
    require_whole(harness, ref, f"jsonl://{tmp_path}/old-{ref.migration}.jsonl")
    assert (tmp_path / "old.jsonl").read_bytes() == before


@pytest.mark.slow
def test_a_way_back_killed_while_it_is_undone_is_undone_by_the_next(harness: Harness, tmp_path: Path) -> None:
    """After a kill under the pause, a second one while the state returns to SWITCHED changes nothing of that."""
    old = f"chroma+path://{tmp_path}/old/docs"
    ref, _ = switched(harness, old, tmp_path)
    assert harness.roll_back_until_killed(ref, "rollback.before_switch=kill") == KILLED
    assert harness.roll_back_until_killed(ref, "rollback.undone=kill") == KILLED
    assert harness.migration(ref).state is State.SWITCHED
    harness.rollback(ref)
    require_whole(harness, ref, old)


@pytest.mark.slow
@pytest.mark.parametrize("point", ["rollback.route_frozen", "rollback.route_moved"])
def test_s18_a_route_that_went_back_alone_is_led_on_by_the_next(harness: Harness, tmp_path: Path, point: str) -> None:
    """Killed before or after its transaction, a rollback of the route alone ends with writes open, and can be merged.

    So does the merge, killed after its last step.
    """
    old = f"chroma+path://{tmp_path}/old/docs"
    ref, _ = switched(harness, old, tmp_path)
    assert harness.lead_back_until_killed(ref, f"{point}=kill") == KILLED
    routes.route_only(harness.runner, ref)
    asked = harness.ledger.ask_route(harness.route(ref).name)
    assert asked is not None
    assert (asked.url, asked.writes) == (old, "open")
    assert harness.merge_until_killed(ref, "merge.ended=kill") == KILLED
    harness.merge(ref)
    require_whole(harness, ref, old)
