"""Bad weather for any store: writes that show late, land late, come twice or are lost; scans that are torn.

A store that is not kept from moving, or a network that repeats, does this once a year. Here it happens by a script,
the same each time, and nothing sleeps: time is `tick()`.

    weather = Turbulence(Script(fates={2: Fate.HELD}))
    store = TurbulentTarget(target, weather)     # any Target, through the contract alone; TurbulentSource for a Source
    store.write(batch)                           # the first call: applied
    store.write(batch)                           # the second: RetryLater; it lands at the next tick
    weather.tick()

Where a store is opened by its URL (a migration's configuration), `registered` lends it a scheme of its own:

    with registered("memory:///docs", weather) as url:     # turbulent:///0/docs
        harness.migrate(url, ...)
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from vecferry import batch as batches
from vecferry import plain, sealing
from vecferry.address import Address, parse
from vecferry.contract import Reader, Source, Target
from vecferry.errors import BadOption, BadRecord, RetryLater
from vecferry.forwarding import ForwardingSource, ForwardingTarget
from vecferry.idtable import IdTable
from vecferry.model import ALL_PARTS, Part, RecordId, Slice
from vecferry.stores import registry
from vecferry.stores.registry import StoreEntry
from vecferry.testing.weather import Change, Fate, Happened, Opener, Script, Turbulence

__all__ = [
    "Fate",
    "Happened",
    "Script",
    "Turbulence",
    "TurbulentSource",
    "TurbulentTarget",
    "open_source",
    "open_target",
    "registered",
]

SCHEME = "turbulent"


class TurbulentSource(ForwardingSource):
    """A source whose scans are torn. `url` is what it calls itself (by default the inner store's)."""

    def __init__(self, inner: Source, weather: Turbulence, url: str = "") -> None:
        super().__init__(inner)
        self.weather, self.url = weather, url or inner.url

    def count(self) -> int:
        self.weather.called()
        return self.inner.count()

    def read(
        self, part: Slice, columns: frozenset[Part] = ALL_PARTS, batch_rows: int = 1000
    ) -> Iterator[pa.RecordBatch]:
        """The records of a slice; torn, without those that are missed and with those that are seen twice."""
        self.weather.called()
        script = self.weather.script
        torn = self.weather.tears(plain.to_json(part.bounds))
        missed = script.missed if torn else frozenset()
        for batch in self.inner.read(part, columns, batch_rows):
            left = batch.filter(pa.array(~_among(batch, missed))) if missed else batch
            if left.num_rows:
                yield left
            self.weather.called()
        if torn and script.twice and part.number == 0:
            again = self.inner.fetch(batches.ids_batch(sorted(script.twice)), columns)
            for start in range(0, again.num_rows, batch_rows):
                yield again.slice(start, batch_rows)

    def fetch(self, ids: pa.RecordBatch, columns: frozenset[Part] = ALL_PARTS) -> pa.RecordBatch:
        self.weather.called()
        return self.inner.fetch(ids, columns)


class TurbulentTarget(TurbulentSource, ForwardingTarget):
    """A target whose writes and deletes have a fate; all else goes straight through.

    What lands late does so on `opener()`, by default this very handle, which must then be open still.
    """

    inner: Target

    def __init__(self, inner: Target, weather: Turbulence, url: str = "", opener: Opener | None = None) -> None:
        super().__init__(inner, weather, url)
        self._opener: Opener = opener or (lambda: contextlib.nullcontext(inner))

    def write(self, batch: pa.RecordBatch) -> None:
        """Raises RetryLater for a write that is lost, late or of unknown fate, BadRecord for a refused record."""
        refused = _among(batch, self.weather.script.refused)
        if refused.any():
            row = int(np.argmax(refused))
            self._send(partial(_write, batch.slice(0, row)))
            name = batches.record_ids(batch.slice(row, 1))[0]
            raise BadRecord(f"{self.url} does not take the record {name}", advice="it was told to refuse it")
        self._send(partial(_write, batch))

    def delete(self, ids: pa.RecordBatch) -> None:
        """Raises RetryLater as `write` does."""
        self._send(partial(_delete, ids))

    def _send(self, change: Change) -> None:
        self.weather.called()
        fate = self.weather.send(change, self.inner, self._opener)
        if fate in (Fate.HELD, Fate.UNKNOWN, Fate.LOST):
            raise RetryLater(f"{self.url} did not answer in time", advice="the weather is bad")

    def around(self, inner: Target) -> Target:
        return TurbulentTarget(inner, self.weather, self.url, self._opener)


def _among(batch: pa.RecordBatch, ids: frozenset[RecordId]) -> npt.NDArray[np.bool_]:
    """Which records are of these ids: `(n,) bool`."""
    return ~IdTable([sealing.hash_ids(batches.ids_batch(ids))]).absent(sealing.hash_ids(batch))


def _write(batch: pa.RecordBatch, store: Target) -> None:
    store.write(batch)


def _delete(ids: pa.RecordBatch, store: Target) -> None:
    store.delete(ids)


# A scheme of its own


@dataclass(frozen=True, slots=True)
class _Place:
    inner: Address
    weather: Turbulence


_places: dict[str, _Place] = {}
_numbers = itertools.count()


@contextlib.contextmanager
def registered(inner: str | Address, weather: Turbulence) -> Iterator[str]:
    """The URL under which a collection, wherever it is, is opened in this weather, while the block lasts.

    The weather must be over before it ends: what has not landed then never does.
    """
    place = _Place(parse(inner) if isinstance(inner, str) else inner, weather)
    number = str(next(_numbers))
    url = f"{SCHEME}:///{number}/{place.inner.raw_path.rstrip('/').rpartition('/')[2]}"
    _places[number] = place
    registry.STORES[SCHEME] = StoreEntry(
        SCHEME, __name__, (f"{SCHEME}:///NUMBER/COLLECTION",), "bad weather, for tests"
    )
    try:
        yield url
    finally:
        del _places[number]
        if not _places:
            registry.STORES.pop(SCHEME, None)


def open_source(address: Address, reader: Reader = Reader.FAST) -> Source:
    """Open a registered collection for reading. Raises BadOption for a number that is not registered."""
    place = _place(address)
    return TurbulentSource(registry.open_source(place.inner, reader), place.weather, str(address))


def open_target(address: Address, reader: Reader = Reader.FAST) -> Target:
    """Open a registered collection for writing. What lands late does so by a handle of its own."""
    place = _place(address)
    inner = registry.open_target(place.inner, reader)
    return TurbulentTarget(inner, place.weather, str(address), lambda: registry.open_target(place.inner))


def _place(address: Address) -> _Place:
    address.only_options()
    place = _places.get(address.folder().name)
    if place is None:
        raise BadOption(f"{address} is not registered", advice="vecferry.testing.turbulence.registered lends such URLs")
    return place
