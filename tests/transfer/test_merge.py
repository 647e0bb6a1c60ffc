"""S16: the three-way merge, held against a merge in plain Python over every case of a small space."""

from __future__ import annotations

from itertools import product

import pytest

from tests.transfer.merge_model import (
    DECIDE,
    EVERY,
    FEW,
    KNOWN,
    MAPPINGS,
    OTHER,
    SAME,
    World,
    conflicts_of,
    outcomes,
    texts,
)
from vecferry.mapping import Mapping
from vecferry.testing.rows import rows_of
from vecferry.transfer.conflicts import Choice, prefer
from vecferry.transfer.merge import Rules, stale_parts


def every_case(mapping: Mapping) -> World:
    """Each side untouched, deleted, or with any of its parts changed to A or B; of an id that both sides had, that the
    old one alone had (it did not travel), that both deleted, or that nobody knew."""
    world = World(mapping=mapping)
    cases = (((KNOWN, KNOWN), EVERY), ((KNOWN, None), FEW), ((None, None), FEW), (None, FEW))
    for pair, of in cases:
        for old, new in product((None, *of), repeat=2):
            if pair is not None or old or new:
                world.add(f"{pair} {old} {new}", old, new, pair)
    return world


@MAPPINGS
@pytest.mark.parametrize("wins", DECIDE)
def test_s16_every_case_of_two_sides_comes_out_as_in_plain_python(mapping: Mapping, wins: str) -> None:
    """What the old store has in the end, what is in conflict, kept or done alike: id by id, part by part."""
    world = every_case(mapping)
    wanted = outcomes(world, wins)
    plan = world.merge(Rules(mapping, decide=DECIDE[wins]))
    disputed = {name: outcome.conflicts for name, outcome in wanted.items() if outcome.conflicts}
    assert conflicts_of(plan) == ({} if wins else disputed)
    assert plan.counts.conflicts == (0 if wins else len(disputed))
    assert plan.counts.settled == (len(disputed) if wins else 0)
    assert set(texts(plan.kept)) == {name for name, outcome in wanted.items() if outcome.kept}
    alike = {*texts(plan.same.records), *texts(plan.same_deletes)}
    assert alike == {name for name, outcome in wanted.items() if outcome.same}
    before = dict(world.old)
    world.write(plan)
    assert world.old == {name: outcome.old for name, outcome in wanted.items() if outcome.old is not None}
    written = {name for name in wanted if before.get(name) != world.old.get(name)}
    assert written == {*texts(plan.upserts.records), *texts(plan.deletes)}
    assert len(written) == plan.counts.new + plan.counts.changed + plan.counts.deleted


@MAPPINGS
def test_s16_a_merge_that_was_recorded_has_nothing_left_to_do(mapping: Mapping) -> None:
    """Only the old side's late writes are listed again, each time, until somebody settles them."""
    world = every_case(mapping)
    rules = Rules(mapping, decide=prefer(Choice.NEW))
    first = world.merge(rules)
    world.write(first)
    world.record(first)
    again = world.merge(rules)
    assert set(texts(again.kept)) == set(texts(first.kept))
    assert again.counts.numbers() == {**dict.fromkeys(again.counts.numbers(), 0), "kept": again.kept.num_rows}


def test_s16_parts_that_nobody_touched_keep_the_bits_of_the_old_store() -> None:
    """The new engine rounded the payload's float and has the text in the same field; a new text brings no rounded
    float with it, a new payload does."""
    world = World(mapping=OTHER)
    world.add("text", KNOWN, (0, 0, 1), (KNOWN, KNOWN))
    world.add("payload", KNOWN, (0, 2, 0), (KNOWN, KNOWN))
    found = {name.text: row for name, row in rows_of([world.merge().upserts.records]).items()}
    assert found["text"].payload == b'{"price":90.28571428571429}'
    assert found["text"].document == "text 1"
    there = OTHER.backward(OTHER.expected(World(new={"payload": (0, 2, 0)}).merge().upserts.records))
    assert found["payload"].payload == rows_of([there]).popitem()[1].payload


def test_s16_a_late_write_beside_a_part_that_was_taken_over_keeps_the_hash_that_was_known() -> None:
    """Of an earlier value its hash; of a document that was not there a hash that nothing has, or it would be taken for
    a part that is to be read back."""
    world = World()
    world.add("payload", (1, 1, 0), (2, 0, 0), (KNOWN, KNOWN))
    world.add("document", (0, 0, 1), (2, 0, 0), (KNOWN, KNOWN))
    world.add("none", (0, 0, 0), (2, 0, 0), (KNOWN, KNOWN))
    known = world.known_rows()
    upserts = world.merge(Rules(SAME, decide=prefer(Choice.NEW))).upserts
    kept = dict(zip(texts(upserts.records), upserts.kept_hashes(known), strict=True))
    before = known.old_hashes[0]
    assert kept["payload"].tobytes() == bytes(16) + before[16:32].tobytes() + bytes(16)
    assert kept["document"].tobytes() == bytes(32) + b"\xff" * 16
    assert not kept["none"].any()
    assert (stale_parts(upserts.kept_hashes(known)) == upserts.stale).all()
