"""The weather that stores are tested in: what it does, it does as its script says, to any store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import pytest

from tests.stores import test_memory
from tests.support.migrating import Harness, fill, mixed_batch, schema
from vecferry import batch as columns
from vecferry.address import Address, parse
from vecferry.contract import Source
from vecferry.errors import BadOption, BadRecord, DataDiffer, RetryLater
from vecferry.ledger import State
from vecferry.model import IdKind, RecordId
from vecferry.stores import registry
from vecferry.testing.conformance import Place, RawRow
from vecferry.testing.rows import read_all, rows_of
from vecferry.testing.turbulence import (
    Fate,
    Happened,
    Script,
    Turbulence,
    TurbulentTarget,
    registered,
)

ROWS = 12
LATER = b'{"later":true}'
BEFORE = mixed_batch(ROWS, documents=False)
AFTER = columns.make(
    BEFORE.column("id"),
    BEFORE.column("id_kind"),
    vectors={"": BEFORE.column("vector")},
    documents=BEFORE.column("document"),
    payloads=[LATER] * ROWS,
)


def name(number: int) -> RecordId:
    return RecordId(IdKind.STRING, f"doc-{number}")


@pytest.fixture(params=["memory", "jsonl", "milvus+path"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A collection that holds `BEFORE`, in this process, in a file, in an embedded engine."""
    places = {
        "memory": f"memory:///{uuid4().hex}",
        "jsonl": f"jsonl://{tmp_path}/docs.jsonl",
        "milvus+path": f"milvus+path://{tmp_path}/milvus/docs",
    }
    found = places[request.param]
    fill(found, [BEFORE], schema(documents=False))
    return found


def opened(url: str, script: Script) -> tuple[Turbulence, TurbulentTarget]:
    """The collection in some weather, without a scheme of its own."""
    weather = Turbulence(script)
    return weather, TurbulentTarget(registry.open_target(parse(url)), weather)


def later(store: Source) -> set[RecordId]:
    """Records that are as in `AFTER`."""
    return {record_id for record_id, row in read_all(store).items() if row.payload == LATER}


def test_a_hidden_write_is_acknowledged_and_seen_once_time_has_passed(url: str) -> None:
    """Scan and point read give the old version; what is written behind it stays in order."""
    weather, store = opened(url, Script(fates={1: Fate.HIDDEN}, delay_ticks=2))
    with store:
        store.write(AFTER.slice(0, 3))
        store.write(BEFORE.slice(1, 1))
        assert columns.payloads(store.fetch(columns.ids_batch([name(2)]))) != [LATER]
        assert weather.tick() == 0
        assert later(store) == set()
        assert weather.tick() == 2
        assert later(store) == {name(0), name(2)}
    assert [item.late for item in weather.happened] == [False, False, True, True]


def test_a_held_write_fails_and_lands_later_over_what_is_newer(url: str) -> None:
    """As a request that a network kept back: the caller tried again, and wrote something newer since."""
    weather, store = opened(url, Script(fates={1: Fate.HELD}))
    with store:
        with pytest.raises(RetryLater):
            store.write(AFTER.slice(1, 1))
        assert store.count() == ROWS
        store.write(BEFORE.slice(1, 1))
        assert weather.outstanding == 1
        weather.tick()
        assert columns.payloads(store.fetch(columns.ids_batch([name(1)]))) == [LATER]
    assert weather.happened == [Happened(1, Fate.HELD), Happened(2, Fate.APPLIED), Happened(1, Fate.HELD, late=True)]


def test_a_repeated_delete_takes_what_was_written_again_meanwhile(url: str) -> None:
    """Delivered twice, the second time late."""
    weather, store = opened(url, Script(fates={1: Fate.REPEATED}))
    with store:
        store.delete(columns.ids_batch([name(1)]))
        assert store.count() == ROWS - 1
        store.write(BEFORE.slice(1, 1))
        assert store.count() == ROWS
        weather.tick()
        assert store.count() == ROWS - 1


@pytest.mark.parametrize(("fate", "arrives"), [(Fate.UNKNOWN, True), (Fate.LOST, False)])
def test_after_an_error_a_write_is_there_or_not(url: str, fate: Fate, arrives: bool) -> None:
    """The caller sees the same error for both."""
    weather, store = opened(url, Script(fates={1: fate}))
    with store:
        with pytest.raises(RetryLater):
            store.delete(columns.ids_batch([name(4), name(5)]))
        assert store.count() == ROWS - 2 * arrives
    assert weather.outstanding == 0


def test_a_refused_record_stops_its_batch_where_it_stands(url: str) -> None:
    """Those before it were taken, those behind it were not."""
    _, store = opened(url, Script(refused=frozenset({name(2)})))
    with store:
        with pytest.raises(BadRecord, match="doc-2"):
            store.write(AFTER)
        assert later(store) == {name(0), name(1)}


def test_a_torn_scan_misses_some_records_and_sees_others_twice(url: str) -> None:
    """The count and the point reads know better; the next scan is whole."""
    _, store = opened(url, Script(missed=frozenset({name(3)}), twice=frozenset({name(4), name(6)})))
    with store:
        slices = store.slices(2)
        seen = [str(item) for part in slices for batch in store.read(part) for item in columns.record_ids(batch)]
        assert sorted(seen) == sorted([*(f"'doc-{n}'" for n in range(ROWS) if n != 3), "'doc-4'", "'doc-6'"])
        assert store.count() == ROWS
        assert store.fetch(columns.ids_batch([name(3)])).num_rows == 1
        assert len(rows_of(batch for part in slices for batch in store.read(part))) == ROWS


def test_the_same_seed_brings_the_same_weather() -> None:
    """Rates are drawn by the number of a call, whatever else was called."""
    rates = {Fate.HELD: 0.3, Fate.UNKNOWN: 0.3}
    first, again, other = (
        [Script(rates=rates, seed=seed).fate(call) for call in range(200)] for seed in ("one", "one", "two")
    )
    assert first == again != other
    assert {fate: 40 < first.count(fate) < 110 for fate in (Fate.HELD, Fate.UNKNOWN, Fate.APPLIED)} == dict.fromkeys(
        (Fate.HELD, Fate.UNKNOWN, Fate.APPLIED), True
    )


def test_time_passes_by_calls_where_the_script_says_so() -> None:
    """For a run in which nobody ticks."""
    place = f"memory:///{uuid4().hex}"
    fill(place, [BEFORE])
    weather, store = opened(place, Script(fates={1: Fate.HIDDEN}, calls_per_tick=3))
    store.delete(columns.ids_batch([name(1)]))
    assert [store.count() for _ in range(3)] == [ROWS, ROWS - 1, ROWS - 1]
    assert weather.outstanding == 0


def test_a_late_write_to_a_collection_that_is_gone_is_noted_and_hurts_nobody() -> None:
    """Nobody waits for its answer any more."""
    place = f"memory:///{uuid4().hex}"
    fill(place, [BEFORE])
    weather, store = opened(place, Script(fates={1: Fate.HELD}))
    with pytest.raises(RetryLater):
        store.write(AFTER)
    store.drop()
    assert weather.calm() == 1
    assert "does not exist" in weather.happened[-1].error


def test_calm_ends_the_weather_for_good() -> None:
    """All that was late has landed, and nothing is late from then on."""
    place = f"memory:///{uuid4().hex}"
    fill(place, [BEFORE])
    weather, store = opened(place, Script(rates={Fate.HIDDEN: 1.0}, delay_ticks=50, missed=frozenset({name(1)})))
    store.delete(columns.ids_batch([name(1)]))
    store.delete(columns.ids_batch([name(2)]))
    assert weather.calm() == 2
    store.delete(columns.ids_batch([name(3)]))
    assert read_all(store).keys() == {name(0)} | {name(number) for number in range(4, ROWS)}


class TestCalmWeather(test_memory.TestMemory):
    """Without a script the wrapped store is held to the suite as the store itself is."""

    pytestmark = pytest.mark.slow

    @pytest.fixture
    def place(self) -> Iterator[Place]:  # type: ignore[override]
        self._inner: dict[str, str] = {}
        prefix = uuid4().hex
        with contextlib.ExitStack() as stack:

            def made(collection: str) -> Address:
                inner = f"memory:///{quote(f'{prefix} {collection}', safe='')}"
                found = stack.enter_context(registered(inner, Turbulence()))
                self._inner[found] = inner
                return parse(found)

            yield made

    def raw_rows(self, address: Address) -> dict[str, RawRow]:
        return super().raw_rows(parse(self._inner[str(address)]))


def test_a_migration_in_bad_weather_arrives_by_its_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Each write's answer is lost or its write is: the run stops, goes on when it is resumed, and the verdict is true.
    A write that is repeated after the verdict changes nothing."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    source, target = (f"memory:///{request.node.name}-{side}" for side in ("source", "target"))
    fill(source, [mixed_batch(200)])
    weather = Turbulence(Script(fates={1: Fate.UNKNOWN, 2: Fate.REPEATED, 3: Fate.LOST}, delay_ticks=1))
    harness = Harness(tmp_path)
    with registered(target, weather) as turbulent:
        ref = harness.start(source, turbulent, slice_rows=50)
        for _ in range(2):
            with pytest.raises(RetryLater):
                harness.run(ref)
        harness.run(ref)
        assert harness.migration(ref).state is State.SWITCHED
        weather.calm()
        assert harness.records(turbulent) == harness.records(source)
    with pytest.raises(BadOption, match="scheme"):
        registry.open_target(parse(turbulent))


def test_writes_that_nobody_sees_are_no_arrival(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """An engine that acknowledges and does not show is found out by the other reader, before any switch."""
    monkeypatch.setenv("VECFERRY_HOME", str(tmp_path / "home"))
    source, target = (f"memory:///{request.node.name}-{side}" for side in ("source", "target"))
    fill(source, [mixed_batch(60)])
    harness = Harness(tmp_path)
    with registered(target, Turbulence(Script(fates={1: Fate.HIDDEN}))) as turbulent:
        ref = harness.start(source, turbulent)
        with pytest.raises(DataDiffer, match="V2"):
            harness.run(ref)
        assert harness.migration(ref).state is not State.SWITCHED
