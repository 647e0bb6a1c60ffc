"""Switch and way back in bad weather: writes that show late, land late or come twice, scans that are torn.

Whatever happens, the outcome is right, or the run refuses and says so; no acknowledged record is lost unlisted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.migrations.test_cutover import serving, whenever
from tests.support.migrating import Harness, contents, fill, mixed_batch
from vecferry import batch
from vecferry.address import parse
from vecferry.errors import DataDiffer, RetryLater, VecferryError
from vecferry.ledger import State
from vecferry.model import IdKind, RecordId
from vecferry.stores import registry
from vecferry.strategies import steps
from vecferry.strategies.runner import Ref
from vecferry.testing.turbulence import Fate, Script, Turbulence, registered

SYNC = {"absence_wait_s": 0, "driver_timeout_s": 0}
ROWS = 60


class Weather(Turbulence):
    """Weather whose next scans are torn, where a test says so."""

    def __init__(self, script: Script | None = None) -> None:
        super().__init__(script)
        self.torn = 0

    def tears(self, part: str) -> bool:
        self.torn -= 1
        return self.torn >= 0


class Stores:
    """An old and a new store, each in its own weather."""

    def __init__(self, name: str, stack: ExitStack) -> None:
        self.of_old, self.of_new = Weather(), Weather()
        self.old_plain, self.new_plain = f"memory:///{name}-old", f"memory:///{name}-new"
        fill(self.old_plain, [mixed_batch(ROWS)])
        self.old = stack.enter_context(registered(self.old_plain, self.of_old))
        self.new = stack.enter_context(registered(self.new_plain, self.of_new))


@pytest.fixture
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    """Fair weather to begin with."""
    with ExitStack() as stack:
        yield Stores(request.node.name, stack)


def name(number: int) -> RecordId:
    """The id of a record."""
    return RecordId(IdKind.STRING, f"doc-{number}")


def started(harness: Harness, stores: Stores, **hooks: Any) -> Ref:
    """Registered and not run."""
    return harness.start(stores.old, stores.new, sync=SYNC, hooks={"write_timeout_s": 0, **hooks})


def write(url: str, number: int, payload: bytes) -> None:
    """The application writes a record."""
    row = mixed_batch(1, first=number)
    made = batch.make(["x"], IdKind.STRING, payloads=[payload]).column(batch.PAYLOAD)
    with registry.open_target(parse(url)) as store:
        store.write(row.set_column(row.schema.get_field_index(batch.PAYLOAD), row.schema.field(batch.PAYLOAD), made))


def next_write(weather: Weather, fate: Fate, delay_ticks: int = 1) -> None:
    """What becomes of the next write."""
    done = max((item.call for item in weather.happened), default=0)
    weather.script = Script(fates={done + 1: fate}, delay_ticks=delay_ticks, torn_scans=0)


def tear(weather: Weather, scans: int) -> None:
    """The next scans pass over one record, and see another one twice."""
    weather.script, weather.torn = Script(missed=frozenset({name(3)}), twice=frozenset({name(5)})), scans


def test_s5_a_torn_scan_under_the_pause_deletes_nothing_and_is_read_again(harness: Harness, stores: Stores) -> None:
    """One pass misses a record and sees another twice: the switch waits for two whole ones."""
    ref = started(harness, stores)
    whenever(harness, steps.is_settled, lambda: tear(stores.of_old, 1))
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert contents(stores.new_plain) == contents(stores.old_plain)
    assert len(contents(stores.new_plain)) == ROWS


@pytest.mark.slow
def test_s10_a_store_whose_scans_are_always_torn_is_not_switched_from(harness: Harness, stores: Stores) -> None:
    """No two whole passes: refused, undone, and nothing was deleted from either store."""
    ref = started(harness, stores)
    whenever(harness, steps.is_settled, lambda: tear(stores.of_old, 1000))
    with pytest.raises(DataDiffer, match="still being written"):
        harness.run(ref)
    assert (harness.migration(ref).state, serving(harness, ref).writes) == (State.READY, "open")
    assert len(contents(stores.new_plain)) == len(contents(stores.old_plain)) == ROWS


@pytest.mark.parametrize("shows", ["during the wait", pytest.param("after the switch", marks=pytest.mark.slow)])
def test_s9_a_write_that_shows_late_is_carried_or_listed(harness: Harness, stores: Stores, shows: str) -> None:
    """Within the time that the configuration waits it is in the new store; beyond that it is in the list."""
    ref = started(harness, stores)
    next_write(stores.of_old, Fate.HIDDEN)
    whenever(harness, steps.preflight_switch, lambda: write(stores.old, 3, b'{"late":1}'))
    step = steps.wait_for_writes if shows == "during the wait" else steps.release_writes
    whenever(harness, step, lambda: stores.of_old.tick())
    harness.run(ref)
    assert harness.migration(ref).state is State.SWITCHED
    assert contents(stores.old_plain)["doc-3"].payload == b'{"late":1}'
    arrived = contents(stores.new_plain)["doc-3"].payload == b'{"late":1}'
    listed = "doc-3" in str(harness.sheets[-1].rows)
    assert (arrived, listed) == ((True, False) if shows == "during the wait" else (False, True))


@pytest.mark.slow
def test_s10_an_own_write_that_lands_over_a_newer_one_is_found_before_the_switch(
    harness: Harness, stores: Stores
) -> None:
    """Its answer was lost and it lands once the record has changed again, after the fence: not switched; then right."""
    ref = started(harness, stores)

    def disturb() -> None:
        write(stores.old, 3, b'{"version":1}')
        next_write(stores.of_new, Fate.HELD)

    whenever(harness, steps.preflight_switch, disturb)
    with pytest.raises(RetryLater):
        harness.run(ref)
    write(stores.old, 3, b'{"version":2}')
    whenever(harness, steps.check_new_store, lambda: stores.of_new.tick())
    with pytest.raises(DataDiffer, match="doc-3"):
        harness.run(ref)
    assert (harness.migration(ref).state, serving(harness, ref).url) == (State.READY, stores.old)
    assert serving(harness, ref).writes == "open"


@pytest.mark.slow
def test_s17_an_own_write_that_comes_twice_on_the_way_back_is_ours_and_gives_way(
    harness: Harness, stores: Stores
) -> None:
    """The first version is delivered again over the second one, after both were read back: the second one stands."""
    ref = started(harness, stores)
    harness.run(ref)
    write(stores.new, 3, b'{"version":1}')
    whenever(harness, steps.settle_return, lambda: next_write(stores.of_old, Fate.REPEATED))
    whenever(harness, steps.check_hooks, lambda: write(stores.new, 3, b'{"version":2}'))
    passes = iter(range(10))

    def come_again() -> None:
        if next(passes) == 2:  # by then both versions were written and read back
            stores.of_old.tick()

    whenever(harness, steps.begin_return, come_again, times=10)
    done = harness.rollback(ref)
    assert [item.late for item in stores.of_old.happened if item.fate is Fate.REPEATED] == [False, True]
    assert contents(stores.old_plain)["doc-3"].payload == b'{"version":2}'
    assert contents(stores.old_plain) == contents(stores.new_plain)
    assert done["kept"] == 0


@pytest.mark.slow
def test_s17_a_torn_scan_on_the_way_back_deletes_nothing(harness: Harness, stores: Stores) -> None:
    """The new store's scan misses a record and sees another twice: all of both are in the old store in the end."""
    ref = started(harness, stores)
    harness.run(ref)
    write(stores.new, 900, b'{"version":1}')
    tear(stores.of_new, 2)
    done = harness.rollback(ref)
    assert done["deleted"] == 0
    assert contents(stores.old_plain) == contents(stores.new_plain)
    assert len(contents(stores.old_plain)) == ROWS + 1


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_s13_in_any_weather_all_arrives_there_and_back(harness: Harness, stores: Stores, seed: int) -> None:
    """Every call may be late, lost, repeated or without an answer, every scan torn: the same command again, until it is
    through; then both stores are the same, and every record is there."""
    rates = {Fate.HELD: 0.05, Fate.UNKNOWN: 0.05, Fate.LOST: 0.05, Fate.REPEATED: 0.1}
    missed = frozenset({name(seed), name(seed + 20)})
    bad = Script(rates=rates, seed=seed, delay_ticks=2, calls_per_tick=1, missed=missed, torn_scans=0)
    ref = harness.start(stores.old, stores.new, sync=SYNC, hooks={"write_timeout_s": 0}, batch_rows=12)
    for weather in (stores.of_old, stores.of_new):
        weather.script, weather.torn = bad, 3
    until(lambda: harness.run(ref))
    assert harness.migration(ref).state is State.SWITCHED
    assert contents(stores.new_plain) == contents(stores.old_plain)
    fill_again = mixed_batch(9, first=900)
    with registry.open_target(parse(stores.new_plain)) as store:
        store.write(fill_again)
        store.delete(batch.ids_batch([name(30), name(31)]))
    for weather in (stores.of_old, stores.of_new):
        weather.torn = 3
    until(lambda: harness.rollback(ref))
    assert harness.migration(ref).state is State.ROLLED_BACK
    assert contents(stores.old_plain) == contents(stores.new_plain)
    assert len(contents(stores.old_plain)) == ROWS + 9 - 2


def until(run: Any) -> None:
    """Run it again as long as it refuses or stops."""
    for _ in range(60):
        try:
            run()
        except VecferryError:
            continue
        return
    run()
