"""What the pause of a snapshot-restore is made of, in the form that a person answers: named parts and their sum."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.migrating import Harness, fill, mixed_batch
from vecferry.errors import Stopped
from vecferry.strategies.snapshots import PausePart, Rates, SnapshotKind, SnapshotWay, way_chosen
from vecferry.strategies.steps.foretelling import parts_of_pause
from vecferry.strategies.work import Work, open_work

ROWS = 60
RATES = Rates(4_000, 5e6, 1.0, 0.5, 2.0, 3.0, 0.25, 4.0, 0.75, 6.0)
"""Seconds that are told apart, and records of five million bytes."""


@pytest.fixture
def planned(harness: Harness, request: pytest.FixtureRequest) -> Work:
    """A migration of 60 records whose question was answered with no."""
    old = f"memory:///{request.node.name}"
    fill(old, [mixed_batch(ROWS)])
    harness.answer = False
    ref = harness.start(old, f"{old}-new", "snapshot-restore", approve="ask", hooks={"write_timeout_s": 7})
    with pytest.raises(Stopped):
        harness.run(ref)
    return open_work(ref)


def told(work: Work, kind: SnapshotKind, rates: Rates = RATES) -> dict[str, str]:
    """The parts as a form says them, by name."""
    found = parts_of_pause(work, kind, rates)
    return {part.name: str(part).removeprefix(part.name).strip() for part in found}


def test_every_part_of_the_pause_has_a_name_and_what_was_not_measured_says_so(planned: Work) -> None:
    """The records of the plan, at the rates of the sample; files and snapshots are guessed by their size."""
    archived = told(planned, SnapshotKind.ARCHIVE)
    assert archived == {
        "last writes end": "7.0 s",
        "old store opened": "3 x 4.0 s",
        "digest": "2 x 60.0 s",
        "export": "90.0 s",
        "load": "120.0 s",
        "new store ready": "6.0 s (guessed)",
        "new store opened": "4 x 0.8 s",
        "read back and compared": "180.0 s",
        "list of ids": "2 x 15.0 s",
        "switch and check": "0.5 s (guessed)",
    }
    served, copied = told(planned, SnapshotKind.SERVER), told(planned, SnapshotKind.FOLDER)
    assert copied == archived | {"copy of the files": "3.0 s (guessed)"}
    assert "load" not in served
    assert (served["server's snapshot"], served["taken back by the server"]) == ("7.5 s (guessed)",) * 2


def test_a_new_store_that_was_not_measured_is_a_guess(planned: Work) -> None:
    """Everything that is done in it is marked."""
    guessed = told(planned, SnapshotKind.ARCHIVE, replace(RATES, unknown="a quota"))
    for name in ("load", "new store opened", "read back and compared", "list of ids"):
        assert guessed[name].endswith(" (guessed)")
    assert not guessed["digest"].endswith(" (guessed)")


def test_the_pause_is_the_sum_of_its_parts(planned: Work) -> None:
    """What the plan holds adds up, times included; a part that nobody would notice is left out."""
    way = SnapshotWay(SnapshotKind.ARCHIVE, "", RATES, (PausePart("digest", 3.0, 2), PausePart("load", 0.5)))
    assert way.pause_s == 6.5
    chosen = way_chosen(planned)
    assert chosen.pause_s == pytest.approx(sum(one.times * one.seconds for one in chosen.parts))
    assert all(one.seconds >= 0.05 for one in chosen.parts)
    assert "copy of the files" not in told(planned, SnapshotKind.ARCHIVE)
