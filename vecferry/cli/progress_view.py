"""Progress on stderr: bars on a terminal, a line every few seconds anywhere else. One line for each phase."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from vecferry.cli import tables
from vecferry.strategies.sheets import Sheet
from vecferry.transfer.progress import Progress

__all__ = ["Bars", "Lines", "View", "view"]

LINE_EVERY_S = 3.0
"""Between two lines of one phase where there is no terminal."""


class View(Protocol):
    """Shows progress, and lines and tables that come between."""

    def note(self, found: Progress) -> None:
        """Counts of a phase changed. Called from any thread."""
        ...

    def say(self, text: str) -> None:
        """A line of text."""
        ...

    def show(self, sheet: Sheet) -> None:
        """A table."""
        ...

    def pause(self) -> None:
        """Stop moving: the terminal is needed for a question."""
        ...

    def go_on(self) -> None:
        """Move again."""
        ...

    def close(self) -> None:
        """The last state stays visible."""
        ...


def view(stream: TextIO) -> View:
    """The view that suits a stream."""
    return Bars(stream) if stream.isatty() else Lines(stream)


class _Rate(ProgressColumn):
    """Records a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f}/s", style="progress.data.speed")


class Bars:
    """One bar for each phase, with rows, rate and time left."""

    def __init__(self, stream: TextIO) -> None:
        self._progress = RichProgress(
            TextColumn("{task.description:<10}"),
            BarColumn(),
            TextColumn("{task.completed:>11,.0f} of {task.fields[of]} records"),
            _Rate(),
            TimeRemainingColumn(),
            console=Console(file=stream),
        )
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def note(self, found: Progress) -> None:
        """Move the phase's bar."""
        with self._lock:
            known = self._tasks.get(found.phase)
            if known is None:
                self._progress.start()
                of = "?" if found.total is None else f"{found.total:,}"
                known = self._progress.add_task(found.phase, total=found.total, completed=found.done, of=of)
                self._tasks[found.phase] = known
        self._progress.update(known, completed=found.done, total=found.total)

    def say(self, text: str) -> None:
        """Above the bars."""
        self._progress.console.print(Text(text))

    def show(self, sheet: Sheet) -> None:
        """Above the bars."""
        self._progress.console.print(tables.rich_table(sheet))

    def pause(self) -> None:
        """Leave the bars as they are."""
        self._progress.stop()

    def go_on(self) -> None:
        """Later phases get bars again, below."""
        with self._lock:
            for task in self._tasks.values():
                self._progress.update(task, visible=False)
            self._tasks.clear()

    def close(self) -> None:
        """Leave the bars as they are."""
        self._progress.stop()


class Lines:
    """A line every few seconds for each phase, and one at its end."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._started: dict[str, tuple[float, int]] = {}
        self._next: dict[str, float] = {}
        self._lock = threading.Lock()

    def note(self, found: Progress) -> None:
        """Print a line when it is time, or the phase is done."""
        now = self._clock()
        with self._lock:
            if found.phase not in self._started:
                self._started[found.phase] = (now, found.done)
                self._next[found.phase] = now + LINE_EVERY_S
            finished = found.total is not None and found.done >= found.total
            if now >= self._next[found.phase] or (finished and self._next[found.phase] < float("inf")):
                self._next[found.phase] = float("inf") if finished else now + LINE_EVERY_S
                self.say(self._line(found, now))

    def _line(self, found: Progress, now: float) -> str:
        since, before = self._started[found.phase]
        rate = (found.done - before) / (now - since) if now > since else 0.0
        of = "" if found.total is None else f" of {found.total:,}"
        parts = [f"{found.phase}: {found.done:,}{of} records"]
        if rate > 0:
            parts.append(f"{rate:,.0f}/s")
            if found.total is not None and found.done < found.total:
                parts.append(f"{(found.total - found.done) / rate:,.0f} s left")
        return ", ".join(parts)

    def say(self, text: str) -> None:
        """A line."""
        print(text, file=self._stream, flush=True)

    def show(self, sheet: Sheet) -> None:
        """Aligned text."""
        tables.write(sheet, self._stream)

    def pause(self) -> None:
        """Nothing moves here."""

    def go_on(self) -> None:
        """Nothing moves here."""

    def close(self) -> None:
        """Nothing to put away."""
