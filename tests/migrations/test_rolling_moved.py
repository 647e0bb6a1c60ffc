"""Records that change their workspace while a rolling migration is under way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.migrating import Harness
from tests.support.tenants import before, child, groups, held, put, remove, start
from vecferry import address
from vecferry.errors import DataDiffer, UnsafeRoute
from vecferry.ledger import State
from vecferry.model import IdKind
from vecferry.operations import ending
from vecferry.stores import registry
from vecferry.strategies import waves
from vecferry.strategies.moved import MOVED_FACT
from vecferry.strategies.strangers import STRANGERS_FACT


@pytest.mark.slow
def test_s19_s20_records_change_their_workspace_between_two_that_the_old_store_serves(
    harness: Harness, old: str, new: str
) -> None:
    """One moves before its own workspace is copied, one after, one while the switch is near: each arrives once."""
    ref = start(harness, old, new, wave=1)

    def before_the_first_switch() -> None:
        put(old, "a1", "b")
        put(old, "b2", "a")

    def before_the_second_switch() -> None:
        put(old, "b3", "b", 33)
        remove(old, "b4")

    before(
        harness,
        {
            (waves.fill_wave, 1): lambda: put(old, "a0", "b"),
            (waves.switch_wave, 1): before_the_first_switch,
            (waves.switch_wave, 2): before_the_second_switch,
        },
    )
    harness.run(ref)
    assert held(harness, new) == {"a0": "b", "a1": "b", "b2": "a", "b3": "b"}
    assert harness.records(new) == harness.records(old)


@pytest.mark.slow
def test_s20_a_record_that_moved_in_the_new_store_into_a_workspace_of_the_old_one_is_listed_and_kept(
    harness: Harness, old: str, new: str
) -> None:
    """It is no foreign write: the workspace is proven and switched beside it, and then serves it."""
    ref = start(harness, old, new, wave=1)
    before(
        harness,
        {
            (waves.fill_wave, 2): lambda: put(new, "a0", "b", 50),
            (waves.switch_wave, 2): lambda: put(new, "a1", "b", 51),
        },
    )
    harness.run(ref)
    assert set(groups(harness, ref).values()) == {State.SWITCHED}
    assert held(harness, new) == {"a0": "b", "a1": "b", "b2": "b", "b3": "b", "b4": "b"}
    told = harness.ledger.fact(child(harness, ref, "b").migration, STRANGERS_FACT)
    assert told is not None
    assert (told["count"], sorted(told["examples"])) == (2, ["'a0'", "'a1'"])
    assert Path(told["listed"]).read_text().count("a0") == 1
    assert held(harness, old) == {"a0": "a", "a1": "a", "b2": "b", "b3": "b", "b4": "b"}


@pytest.mark.slow
def test_s20_a_record_that_moved_in_the_old_store_into_a_served_workspace_blocks_complete(
    harness: Harness, old: str, new: str
) -> None:
    """It stands where nobody reads it: it is listed, nothing is overwritten, and a person says what becomes of it."""
    ref = start(harness, old, new, wave=1)
    before(harness, {(waves.switch_wave, 2): lambda: put(old, "b2", "a", 22)})
    harness.run(ref)
    assert held(harness, new) == {"a0": "a", "a1": "a", "b3": "b", "b4": "b"}
    with pytest.raises(DataDiffer, match=r"1 new.*b2") as caught:
        ending.complete(harness.runner, ref)
    digest = caught.value.advice.rpartition(" ")[2]
    assert ending.complete(harness.runner, ref, digest).late
    assert set(groups(harness, ref).values()) == {State.COMPLETED}
    assert harness.migration(ref).state is State.COMPLETED
    with pytest.raises(DataDiffer):
        ending.decommission(harness.runner, ref, address.parse(old).name)
    ending.decommission(harness.runner, ref, address.parse(old).name, digest)
    with registry.open_target(address.parse(old)) as store:
        assert not store.exists()


@pytest.mark.slow
def test_s20_with_follow_a_record_goes_to_the_store_that_serves_its_new_workspace(
    harness: Harness, old: str, new: str
) -> None:
    """From the old store to the new one by a pass of the workspace that it left; what both changed is a conflict."""
    put(old, "b5", "b")
    ref = start(harness, old, new, wave=1, moved="follow")

    def in_the_old_store() -> None:
        put(old, "b2", "a", 22)
        put(old, "b3", "a", 33)
        put(new, "b3", "b", 34)

    before(harness, {(waves.switch_wave, 2): in_the_old_store})
    with pytest.raises((DataDiffer, UnsafeRoute)):
        harness.run(ref)
    assert held(harness, new)["b2"] == "a"
    remove(new, "b3")
    harness.run(ref)
    assert set(groups(harness, ref).values()) == {State.SWITCHED}
    assert held(harness, new) == {"a0": "a", "a1": "a", "b2": "a", "b4": "b", "b5": "b"}
    assert harness.records(new)[(IdKind.STRING, "b2")] == harness.records(old)[(IdKind.STRING, "b2")]
    notes = {one.key: one.note for one in harness.ledger.workspaces(ref.migration)}
    assert "carried to the new store" in notes['"b"']
    with pytest.raises(DataDiffer, match="b3") as caught:
        ending.complete(harness.runner, ref)
    assert "b2" not in str(caught.value)


@pytest.mark.slow
def test_s20_with_follow_a_sync_brings_to_the_old_store_what_moved_in_the_new_one(
    harness: Harness, old: str, new: str
) -> None:
    """Readers of a workspace that has not switched find it, with its own bits; what both stores changed stays."""
    put(old, "a5", "a", 5)
    ref = start(harness, old, new, wave=1, moved="follow")
    seen: list[dict[str, Any]] = []

    def in_the_new_store() -> None:
        put(new, "a0", "b", 60)
        put(new, "a5", "b", 65)
        put(old, "a5", "a", 66)
        harness.sync(ref)
        seen.append(held(harness, old))

    before(harness, {(waves.switch_wave, 2): in_the_new_store})
    harness.run(ref)
    assert set(groups(harness, ref).values()) == {State.SWITCHED}
    assert seen[0]["a0"] == "b"
    assert seen[0]["a5"] == "a"
    assert held(harness, new)["a0"] == held(harness, new)["a5"] == "b"
    found = harness.ledger.fact(child(harness, ref, "b").migration, MOVED_FACT)
    assert found is not None
    assert (found["brought"], found["differing"]) == (1, 1)
