"""S3: a merge after a crash. What an open delta wrote is ours, whatever part of it was written."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from tests.transfer.merge_model import (
    DECIDE,
    FEW,
    KNOWN,
    MAPPINGS,
    Pair,
    World,
    conflicts_of,
    near,
    outcomes,
    records,
    texts,
)
from vecferry import batch as columns
from vecferry.ledger import Direction
from vecferry.mapping import Mapping
from vecferry.transfer.merge import Intent, MergePlan, Rules

BASES: tuple[Pair | None, ...] = ((KNOWN, KNOWN), None)


def before_the_crash(mapping: Mapping) -> World:
    """Every case of two parts, several times: what the new side does after the crash is in the last part of the id."""
    world = World(mapping=mapping)
    later_on = ("stays", *map(str, (KNOWN, (1, 0, 0), (2, 2, 0))), "goes")
    for pair, old, new, later in product(BASES, (None, *FEW), (None, *FEW), later_on):
        if pair is not None or old or new:
            world.add(f"{pair}|{old}|{new}|{later}", old, new, pair)
    return world


def intent_of(plan: MergePlan) -> Intent:
    """The reverse delta that a plan becomes, as it is recorded before its first write."""
    return Intent(Direction.REVERSE, plan.upserts.records, plan.deletes, plan.upserts.stale)


@MAPPINGS
@pytest.mark.parametrize("wins", ["old", "new"])
def test_s3_a_merge_that_died_half_way_is_made_whole_and_takes_nothing_of_its_own_for_a_late_write(
    mapping: Mapping, wins: str
) -> None:
    """Every second record was written. The same merge again ends where an undisturbed one ends."""
    rules = Rules(mapping, same_old=near, decide=DECIDE[wins])
    world = before_the_crash(mapping)
    wanted = {name: outcome.old for name, outcome in outcomes(world, wins).items() if outcome.old is not None}
    first = world.merge(rules)
    world.write(first, [*texts(first.upserts.records)[::2], *texts(first.deletes)[::2]])
    again = world.merge(rules, [intent_of(first)])
    assert set(texts(again.kept)) == set(texts(first.kept))
    world.write(again)
    assert world.old == wanted


@MAPPINGS
def test_s3_what_a_dead_merge_wrote_is_no_conflict_when_the_new_store_moved_on(mapping: Mapping) -> None:
    """The new store's next value, its deletion, or its return to the known value wins over what was written for it."""
    world = before_the_crash(mapping)
    first = world.merge()
    world.write(first)
    written = {*texts(first.upserts.records), *texts(first.deletes)}
    stale = {name for name, parts in zip(texts(first.upserts.records), first.upserts.stale, strict=True) if parts.any()}
    for name in written - stale:
        later = name.rpartition("|")[2]
        if later == "goes":
            world.new.pop(name, None)
        elif later != "stays":
            world.new[name] = FEW[[str(version) for version in FEW].index(later)]
    again = world.merge(Rules(mapping, same_old=near), [intent_of(first)])
    assert not conflicts_of(again).keys() & (written - stale)
    world.write(again)
    for name in written - stale:
        assert world.old.get(name) == world.new.get(name), name


@MAPPINGS
def test_s3_a_late_write_beside_a_part_that_a_dead_merge_wrote_stays_a_late_write(mapping: Mapping) -> None:
    """The record that was written holds the old side's own part: it is kept, and a new value of it is a conflict."""
    world = World(mapping=mapping)
    for later in ("same", "other"):
        world.add(later, (1, 0, 0), (0, 1, 0), (KNOWN, KNOWN))
    first = world.merge()
    world.write(first)
    assert world.old == {"same": (1, 1, 0), "other": (1, 1, 0)}
    world.new["other"] = (2, 1, 0)
    again = world.merge(Rules(mapping, same_old=near), [intent_of(first)])
    assert again.kept.to_pylist()[0] | {"id_kind": ""} == {"id": "same", "id_kind": "", "what": "changed: vectors"}
    assert conflicts_of(again) == {"other": {"vectors"}}


@MAPPINGS
def test_s3_what_a_forward_delta_was_about_to_write_is_nobodys_late_write(mapping: Mapping) -> None:
    """The old store's own value that a pass had seen is no late write, and no change of the new store's where it came
    to be written; what either side did after that is."""
    world = World(mapping=mapping)
    wanted: dict[str, tuple[int, int, int]] = {}
    for pair, seen, arrived, old, new in product(BASES, FEW, (False, True), (None, *FEW), (None, *FEW)):
        name = f"{pair}|{seen}|{arrived}|{old}|{new}"
        world.add(name, old or seen, new or (seen if arrived else pair and pair[1]), pair)
        wanted[name] = seen
    plan = world.merge(intents=[Intent(Direction.FORWARD, records(wanted), columns.ids_batch([]))])
    disputed = conflicts_of(plan)
    world_after = replace(world, old=dict(world.old))
    world_after.write(plan)
    for name, seen in wanted.items():
        pair, _, arrived, old, new = name.split("|")
        if old == "None" and new == "None":
            assert name not in disputed
            assert world_after.old[name] == seen, name
        if new == "None":
            assert world_after.old[name] == world.old[name], name
