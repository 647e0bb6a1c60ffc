"""The weather of a store as data: a script says which call is late, lost or repeated; time passes by ticks."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from vecferry.contract import Target
from vecferry.errors import VecferryError
from vecferry.model import RecordId

__all__ = ["Change", "Fate", "Happened", "Opener", "Script", "Turbulence"]


class Fate(StrEnum):
    """What becomes of one call of `write` or `delete`.

    `APPLIED`: all is well. `HIDDEN`: acknowledged, and seen by nobody before a later tick; what is written after it
    stays in order behind it. `HELD`: RetryLater, and it lands at a later tick, over whatever is there then.
    `REPEATED`: applied, and once more at a later tick. `UNKNOWN`: applied, then RetryLater. `LOST`: RetryLater alone.
    """

    APPLIED = "applied"
    HIDDEN = "hidden"
    HELD = "held"
    REPEATED = "repeated"
    UNKNOWN = "unknown"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Script:
    """What happens, and when. Calls of `write` and `delete` count from 1 over all handles.

    `fates`: of single calls; `rates`: of all others, drawn with `seed`. A late call is late by `delay_ticks` ticks;
    with `calls_per_tick`, each so many calls of any kind are a tick (0: only `tick()` is).
    `refused`: records that are never taken (BadRecord; those before them in their batch are).
    The first `torn_scans` readings of each slice are torn: they pass over `missed` records, and slice 0 gives the
    `twice` ones once more at its end, as they are by then, wherever they were seen before.
    """

    fates: Mapping[int, Fate] = field(default_factory=dict)
    rates: Mapping[Fate, float] = field(default_factory=dict)
    seed: int = 0
    delay_ticks: int = 1
    calls_per_tick: int = 0
    refused: frozenset[RecordId] = frozenset()
    missed: frozenset[RecordId] = frozenset()
    twice: frozenset[RecordId] = frozenset()
    torn_scans: int = 1

    def fate(self, call: int) -> Fate:
        """What becomes of a call."""
        if call in self.fates:
            return self.fates[call]
        drawn = random.Random(f"{self.seed}:{call}").random()
        for fate in Fate:
            drawn -= self.rates.get(fate, 0.0)
            if drawn < 0:
                return fate
        return Fate.APPLIED


@dataclass(frozen=True, slots=True)
class Happened:
    """One line of what happened: the number of a call, its fate, and whether this is its late landing.

    `error`: why a late landing failed; nobody is there to be told.
    """

    call: int
    fate: Fate
    late: bool = False
    error: str = ""


Change = Callable[[Target], None]
Opener = Callable[[], contextlib.AbstractContextManager[Target]]


@dataclass(frozen=True, slots=True)
class _Waiting:
    due: int
    call: int
    fate: Fate
    change: Change
    opener: Opener


class Turbulence:
    """The weather of one store, shared by all its handles. Safe to use from several threads."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.happened: list[Happened] = []
        self._lock = threading.RLock()
        self._waiting: list[_Waiting] = []
        self._writes = self._calls = self._ticks = 0
        self._read: dict[str, int] = {}

    @property
    def outstanding(self) -> int:
        """How many calls have not landed yet."""
        return len(self._waiting)

    def tick(self, ticks: int = 1) -> int:
        """Let time pass; how many late calls landed, in the order in which they were made."""
        with self._lock:
            self._ticks += ticks
            due = [item for item in self._waiting if item.due <= self._ticks]
            self._waiting = [item for item in self._waiting if item.due > self._ticks]
            for item in due:
                self._land(item)
            return len(due)

    def calm(self) -> int:
        """End the bad weather for good: all that is late lands now; how many calls that were."""
        with self._lock:
            self.script = Script(torn_scans=0)
            return self.tick(max((item.due - self._ticks for item in self._waiting), default=0))

    def called(self) -> None:
        """Count any call to the store; time may pass by it."""
        with self._lock:
            self._calls += 1
            if self.script.calls_per_tick and self._calls % self.script.calls_per_tick == 0:
                self.tick()

    def tears(self, part: str) -> bool:
        """Whether this reading of a slice is torn; each one counts."""
        with self._lock:
            read = self._read[part] = self._read.get(part, 0) + 1
            return read <= self.script.torn_scans

    def send(self, change: Change, store: Target, opener: Opener) -> Fate:
        """Carry out a change by its fate, now or later. Raises what the store raises for one that is applied now."""
        with self._lock:
            self._writes += 1
            fate = self.script.fate(self._writes)
            if fate is Fate.APPLIED and any(item.fate is Fate.HIDDEN for item in self._waiting):
                fate = Fate.HIDDEN
            if fate in (Fate.HIDDEN, Fate.HELD, Fate.REPEATED):
                due = self._ticks + self.script.delay_ticks
                self._waiting.append(_Waiting(due, self._writes, fate, change, opener))
            self.happened.append(Happened(self._writes, fate))
            # Under the lock, so that the order of calls is the order in which they are applied.
            if fate in (Fate.APPLIED, Fate.REPEATED, Fate.UNKNOWN):
                change(store)
            return fate

    def _land(self, item: _Waiting) -> None:
        error = ""
        try:
            with item.opener() as store:
                item.change(store)
        except VecferryError as refused:
            error = str(refused)
        self.happened.append(Happened(item.call, item.fate, late=True, error=error))
